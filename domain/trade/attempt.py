"""An attempt is one execution asked of one LP under one client order id."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.amount import Amount
from domain.ids import AttemptId


class AttemptState(StrEnum):
    PREPARED = "prepared"
    SENT = "sent"
    FILLED = "filled"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class AttemptAction(StrEnum):
    SEND = "send"
    ABANDON = "abandon"
    FILL = "fill"
    REJECT = "reject"
    FIND_ABSENT = "find_absent"
    LOSE = "lose"
    FILL_LATE = "fill_late"


TRANSITIONS: Final = {
    (AttemptState.PREPARED, AttemptAction.SEND): AttemptState.SENT,
    # No byte has left yet: the LP could not be asked, or the execution window has passed.
    (AttemptState.PREPARED, AttemptAction.ABANDON): AttemptState.NOT_SENT,
    (AttemptState.SENT, AttemptAction.FILL): AttemptState.FILLED,
    (AttemptState.SENT, AttemptAction.REJECT): AttemptState.REJECTED,
    # The connection was never made, so the LP cannot have the order.
    (AttemptState.SENT, AttemptAction.ABANDON): AttemptState.NOT_SENT,
    (AttemptState.SENT, AttemptAction.FIND_ABSENT): AttemptState.ABSENT,
    (AttemptState.SENT, AttemptAction.LOSE): AttemptState.UNKNOWN,
    (AttemptState.UNKNOWN, AttemptAction.FILL): AttemptState.FILLED,
    (AttemptState.UNKNOWN, AttemptAction.REJECT): AttemptState.REJECTED,
    (AttemptState.UNKNOWN, AttemptAction.FIND_ABSENT): AttemptState.ABSENT,
    # The trade went on without it, so this fill is the house's and no longer the trade's.
    (AttemptState.ABSENT, AttemptAction.FILL_LATE): AttemptState.ABSENT,
}

WITHOUT_FILL: Final = frozenset({AttemptState.REJECTED, AttemptState.NOT_SENT, AttemptState.ABSENT})
"""States that prove that the LP did not execute; only after them may another LP be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Attributes:
    id: its text is the client order id, stored before the first byte is sent.
    number: 1 for the first attempt of the trade.
    lp_reference, lp_amount, lp_expires_at: the LP's quote that is executed, or was not because of
        its price; `lp_amount` is its all-in amount in the quote asset. Absent until the LP has been
        asked.
    venue_order_id: the LP's own id of the execution.
    filled_amount: what the LP really took or paid, in the quote asset.
    reason: why there was no fill, or why the outcome is unknown.
    checks: how often the LP was asked about an unknown outcome.
    next_check_at: when it is asked again.
    """

    id: AttemptId
    number: int
    lp: str
    state: AttemptState = AttemptState.PREPARED
    lp_reference: str = ""
    lp_amount: Amount | None = None
    lp_expires_at: datetime | None = None
    sent_at: datetime | None = None
    venue_order_id: str = ""
    filled_amount: Amount | None = None
    reason: str = ""
    checks: int = 0
    next_check_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        return self.state not in WITHOUT_FILL and self.state is not AttemptState.FILLED

    def needs_new_lp_quote(self, now: datetime) -> bool:
        return self.lp_expires_at is None or now >= self.lp_expires_at
