"""An amount is a whole number of minor units of one asset."""

import re
from dataclasses import dataclass
from typing import Final

from domain.asset import Asset
from domain.errors import DomainError

MAX_UNITS: Final = 10**30
"""The largest single amount, in minor units."""

_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_MAX_TEXT: Final = 64


class MalformedAmount(DomainError):
    """The text is no plain decimal number."""

    reason = "MALFORMED_AMOUNT"


class TooManyDigits(DomainError):
    """More digits after the point than the asset has, or than is traded."""

    reason = "TOO_MANY_DIGITS"


class AmountNotPositive(DomainError):
    """Zero or less, where something must move."""

    reason = "AMOUNT_NOT_POSITIVE"


class AmountTooLarge(DomainError):
    """More than 10^30 minor units."""

    reason = "AMOUNT_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Amount:
    """`units` minor units of `asset`; exact, and of any sign."""

    asset: Asset
    units: int

    @classmethod
    def parse(cls, text: str, asset: Asset, *, field: str = "amount") -> "Amount":
        """Read a decimal such as `0.01500000`.

        Raises `MalformedAmount`, or `TooManyDigits` when the asset cannot hold the fraction, or
        `AmountTooLarge`.
        """
        if len(text) > _MAX_TEXT or not _DECIMAL.fullmatch(text):
            raise MalformedAmount(
                f"{field} must be a decimal number such as 0.015, without exponent", field=field
            )
        whole, _, fraction = text.partition(".")
        if len(fraction) > asset.scale:
            raise TooManyDigits(
                f"{field} has {len(fraction)} digits after the point, {asset} has {asset.scale}",
                field=field,
                asset=asset,
                scale=asset.scale,
            )
        units = int(whole + fraction.ljust(asset.scale, "0"))
        if abs(units) > MAX_UNITS:
            raise AmountTooLarge(
                f"{field} is more than 10^30 minor units", field=field, asset=asset
            )
        return cls(asset, units)

    @classmethod
    def parse_positive(cls, text: str, asset: Asset, *, field: str = "amount") -> "Amount":
        """Read an amount that must be more than zero, or raise `AmountNotPositive`."""
        amount = cls.parse(text, asset, field=field)
        if amount.units <= 0:
            raise AmountNotPositive(f"{field} must be more than zero", field=field, asset=asset)
        return amount

    @property
    def value(self) -> str:
        """The decimal text with exactly the asset's digits, without the asset."""
        sign = "-" if self.units < 0 else ""
        digits = str(abs(self.units)).rjust(self.asset.scale + 1, "0")
        if not self.asset.scale:
            return sign + digits
        return f"{sign}{digits[: -self.asset.scale]}.{digits[-self.asset.scale :]}"

    @property
    def is_positive(self) -> bool:
        return self.units > 0

    def __str__(self) -> str:
        return f"{self.value} {self.asset}"

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.asset, self.units + self._same(other))

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.asset, self.units - self._same(other))

    def __neg__(self) -> "Amount":
        return Amount(self.asset, -self.units)

    def __lt__(self, other: "Amount") -> bool:
        return self.units < self._same(other)

    def __le__(self, other: "Amount") -> bool:
        return self.units <= self._same(other)

    def _same(self, other: "Amount") -> int:
        assert self.asset == other.asset, f"{self.asset} is not {other.asset}"
        return other.units
