"""A quote is a firm price for a fixed size, good until it expires."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import LpQuoteRequestId, QuoteId, TenantId
from domain.party import Party
from domain.price import Price
from domain.quote import errors
from domain.routing import RoutingRule
from domain.side import Side
from domain.waterfall import Waterfall


class QuoteState(StrEnum):
    """Expired is how an open quote reads once its time is over; it is never stored."""

    OPEN = "open"
    ACCEPTED = "accepted"
    CANCELED = "canceled"
    EXPIRED = "expired"


class LpVerdict(StrEnum):
    """What became of one question to one LP."""

    USED = "used"
    OUTBID = "outbid"
    REFUSED = "refused"
    TOO_LATE = "too_late"
    FAILED = "failed"
    UNUSABLE = "unusable"
    OUTRANKED = "outranked"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class LpAnswer:
    """One LP's answer to one request for quote, kept whether it was used or not.

    Attributes:
        id: our id of the question.
        reference: the LP's own quote id.
        base, quote: the LP's all-in amounts.
        reason: why it was not used, in the LP's or our words.
        score: in millionths, where the rule gives scores and the answer was usable.
    """

    id: LpQuoteRequestId
    lp: str
    verdict: LpVerdict
    latency_ms: int
    reference: str = ""
    base: Amount | None = None
    quote: Amount | None = None
    expires_at: datetime | None = None
    reason: str = ""
    score: int | None = None

    def is_usable_at(self, now: datetime) -> bool:
        """Say whether it was a price that could have been used then."""
        return (
            self.verdict in _PRICED
            and self.base is not None
            and self.quote is not None
            and self.expires_at is not None
            and now < self.expires_at
        )


_PRICED: Final = frozenset({LpVerdict.USED, LpVerdict.OUTBID, LpVerdict.OUTRANKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The promise: settled at exactly its two amounts, or rejected with the hold released.

    Attributes:
        lp: the LP whose answer was priced.
        lp_reference: the LP's own quote id.
        lp_expires_at: until when the LP honors it, on the LP's word.
        lp_order: the LPs to try at execution, the priced one first.
        tolerance_bps: how much worse an LP's later price may be.
        routing: the rule that chose the LP.
    """

    id: QuoteId
    tenant_id: TenantId
    party: Party
    side: Side
    instrument: Instrument
    base_amount: Amount
    quote_amount: Amount
    waterfall: Waterfall
    lp: str
    lp_reference: str
    lp_expires_at: datetime
    lp_order: tuple[str, ...]
    tolerance_bps: int
    created_at: datetime
    expires_at: datetime
    routing: RoutingRule = RoutingRule.BEST_PRICE
    state: QuoteState = QuoteState.OPEN
    version: int = 1

    def __post_init__(self) -> None:
        assert self.base_amount.is_positive
        assert self.quote_amount.is_positive
        assert self.created_at < self.expires_at

    @property
    def price(self) -> Price:
        return Price.of(self.base_amount, self.quote_amount)

    @property
    def gives(self) -> Amount:
        """All that the party gives, and so what is held."""
        return self.quote_amount if self.side is Side.BUY else self.base_amount

    def accept(self, *, now: datetime) -> "Quote":
        """Return the accepted quote; `now` is the database's clock, read under the row's lock."""
        # State outranks time: a late second accept must hear "already accepted", not "expired".
        self._require_open()
        if now >= self.expires_at:
            raise errors.QuoteExpired(
                "the quote has expired; ask for a new one",
                quote_id=self.id,
                expire_time=self.expires_at.isoformat(),
            )
        return replace(self, state=QuoteState.ACCEPTED, version=self.version + 1)

    def cancel(self, *, now: datetime) -> "Quote":
        self._require_open()
        if now >= self.expires_at:
            raise errors.QuoteExpired("the quote has expired", quote_id=self.id)
        return replace(self, state=QuoteState.CANCELED, version=self.version + 1)

    def state_at(self, now: datetime) -> QuoteState:
        if self.state is QuoteState.OPEN and now >= self.expires_at:
            return QuoteState.EXPIRED
        return self.state

    def _require_open(self) -> None:
        if self.state is QuoteState.ACCEPTED:
            raise errors.QuoteAlreadyAccepted("the quote was accepted before", quote_id=self.id)
        if self.state is QuoteState.CANCELED:
            raise errors.QuoteCanceled("the quote was canceled", quote_id=self.id)
