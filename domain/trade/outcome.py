"""What an LP said, or failed to say, about an execution."""

from dataclasses import dataclass
from typing import Final

from domain.amount import Amount

ORDER_NOT_FOUND: Final = "LP_ORDER_NOT_FOUND"
"""Why an outcome is unknown if the LP answered that it has no such order, which proves nothing."""

ORDER_WORKING: Final = "LP_ORDER_WORKING"
"""Why an outcome is unknown of an order that the LP has said it has. It stays the reason until
there is a fill or a verdict: that the LP finds no such order later does not prove that there was
none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The LP executed; the amounts are its own."""

    base: Amount
    quote: Amount
    venue_order_id: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The LP refused by a verdict it is known to mean.

    Attributes:
        lp_quote_expired: its quote was over, so the same LP may be asked for a new one.
    """

    reason: str
    evidence: str
    lp_quote_expired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """No byte reached the LP.

    Attributes:
        lp_reference, lp_amount: the LP's quote that was not executed, where its price was why.
    """

    reason: str
    evidence: str
    lp_reference: str = ""
    lp_amount: Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The LP has no such order and will never have one."""

    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The order may have been executed; only evidence can tell."""

    reason: str
    evidence: str


Outcome = Filled | Rejected | NotSent | Absent | Unknown
