"""What a trade refuses."""

from domain.errors import DomainError, Kind


class TradeNotFound(DomainError):
    """No such trade of this tenant."""

    kind = Kind.MISSING
    reason = "TRADE_NOT_FOUND"


class TooManyLiveTrades(DomainError):
    """This process already runs as many trades as it may, or as many of this tenant.

    Nothing was accepted.
    """

    kind = Kind.EXHAUSTED
    reason = "TOO_MANY_LIVE_TRADES"


class StaleLease(DomainError):
    """Another worker took this trade over; what this one knows is of the past."""

    kind = Kind.CONFLICT
    reason = "STALE_LEASE"


class ReceiptPending(DomainError):
    """The trade has not ended, or did so a moment ago; wait, and ask again."""

    kind = Kind.EXHAUSTED
    reason = "RECEIPT_PENDING"
