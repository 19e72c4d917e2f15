"""Assets and instruments: what can be held, and what can be traded for what."""

from dataclasses import dataclass

from domain.errors import DomainError, Kind
from domain.side import Side
from domain.trading_state import TradingState


class UnknownAsset(DomainError):
    """No asset of that code exists."""

    reason = "UNKNOWN_ASSET"


class InstrumentNotFound(DomainError):
    """The two assets are not traded for each other."""

    kind = Kind.MISSING
    reason = "INSTRUMENT_NOT_FOUND"


class InstrumentHalted(DomainError):
    """The instrument is halted, or only sold while it is wound down; wait for the operator."""

    kind = Kind.EXHAUSTED
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
        trading_state: what is quoted and accepted now.
    """

    base: Asset
    quote: Asset
    tolerance_bps: int = 10
    trading_state: TradingState = TradingState.ACTIVE

    @property
    def code(self) -> str:
        return f"{self.base.code}-{self.quote.code}"

    def __str__(self) -> str:
        return self.code

    def require_open(self, side: Side) -> None:
        """Raise `InstrumentHalted` where customers may not trade that way now."""
        if not self.trading_state.allows(side):
            raise InstrumentHalted(
                f"{self.code} {self.trading_state.refusal}",
                instrument=self.code,
                trading_state=self.trading_state,
            )
