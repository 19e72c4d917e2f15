"""Whether an instrument, a tenant or an LP may be traded with now, and who said so."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.ids import ApiKeyId, TradingStateChangeId
from domain.side import Side


class TradingState(StrEnum):
    """What an operator lets happen; live trades finish in every state.

    Reducing lets customers sell the base asset and nothing else: positions are given up and none
    is opened, whatever is wound down: the instrument, the tenant, or the LP that takes the other
    side. The words are those of trading systems (NautilusTrader's `TradingState`).
    """

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"

    def allows(self, side: Side) -> bool:
        """Say whether a customer may trade that way."""
        return side in _ALLOWED[self]

    @property
    def refusal(self) -> str:
        """Why a customer may not, to follow the name of what it is about."""
        return _REFUSAL[self]


class TradingAction(StrEnum):
    HALT = "halt"
    REDUCE = "reduce"
    RESUME = "resume"


TRANSITIONS: Final = {
    (TradingState.ACTIVE, TradingAction.HALT): TradingState.HALTED,
    (TradingState.ACTIVE, TradingAction.REDUCE): TradingState.REDUCING,
    (TradingState.REDUCING, TradingAction.HALT): TradingState.HALTED,
    (TradingState.REDUCING, TradingAction.RESUME): TradingState.ACTIVE,
    (TradingState.HALTED, TradingAction.REDUCE): TradingState.REDUCING,
    (TradingState.HALTED, TradingAction.RESUME): TradingState.ACTIVE,
}

ACTION_TO: Final = {
    TradingState.ACTIVE: TradingAction.RESUME,
    TradingState.REDUCING: TradingAction.REDUCE,
    TradingState.HALTED: TradingAction.HALT,
}
"""What an operator does to bring something into a state."""

_ALLOWED: Final = {
    TradingState.ACTIVE: frozenset(Side),
    TradingState.REDUCING: frozenset({Side.SELL}),
    TradingState.HALTED: frozenset[Side](),
}

_REFUSAL: Final = {
    TradingState.ACTIVE: "is active",
    TradingState.REDUCING: "is reducing: only selling is open; wait",
    TradingState.HALTED: "is halted; wait",
}


class TradedKind(StrEnum):
    """What has a trading state."""

    INSTRUMENT = "instrument"
    TENANT = "tenant"
    LP = "lp"


@dataclass(frozen=True, slots=True)
class Traded:
    """Something that has a trading state.

    Attributes:
        name: the instrument's code, the tenant's id or the LP's name.
    """

    kind: TradedKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingStateChange:
    """One decision of an operator, kept for ever.

    Attributes:
        reason: why, in the operator's words; a tenant reads what is said of it.
        changed_by: the operator's key.
    """

    id: TradingStateChangeId
    traded: Traded
    from_state: TradingState
    to_state: TradingState
    reason: str
    changed_by: ApiKeyId
    changed_at: datetime
