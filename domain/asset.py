"""Assets and instruments: what can be held, and what can be traded for what."""

from dataclasses import dataclass

from domain.errors import DomainError, Kind


class UnknownAsset(DomainError):
    """No asset of that code exists."""

    reason = "UNKNOWN_ASSET"


class InstrumentNotFound(DomainError):
    """The two assets are not traded for each other."""

    kind = Kind.MISSING
    reason = "INSTRUMENT_NOT_FOUND"


class InstrumentHalted(DomainError):
    """The instrument is not open for quotes."""

    kind = Kind.REFUSED
    reason = "INSTRUMENT_HALTED"


@dataclass(frozen=True, slots=True)
class Asset:
    """Something that is held in whole minor units.

    Attributes:
        code: upper-case letters and digits, such as `BTC` or `USDT`.
        scale: digits after the point; it never changes, a new scale is a new asset.
    """

    code: str
    scale: int

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable pair; the base is bought or sold, the quote asset prices it.

    Attributes:
        tolerance_bps: how much worse than quoted an LP's later price may be.
        is_open: whether new quotes are given.
    """

    base: Asset
    quote: Asset
    tolerance_bps: int = 10
    is_open: bool = True

    @property
    def code(self) -> str:
        return f"{self.base.code}-{self.quote.code}"

    def __str__(self) -> str:
        return self.code
