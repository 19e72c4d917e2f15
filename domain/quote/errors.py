"""What a quote refuses."""

from domain.errors import DomainError, Kind


class QuoteNotFound(DomainError):
    """No such quote of this tenant."""

    kind = Kind.MISSING
    reason = "QUOTE_NOT_FOUND"


class QuoteExpired(DomainError):
    """The quote's time was over when it was accepted; ask for a new one."""

    kind = Kind.REFUSED
    reason = "QUOTE_EXPIRED"


class QuoteAlreadyAccepted(DomainError):
    """A quote is used once; `metadata["trade_id"]` is what came of it."""

    kind = Kind.REFUSED
    reason = "QUOTE_ALREADY_ACCEPTED"


class QuoteCanceled(DomainError):
    """The quote was canceled; ask for a new one."""

    kind = Kind.REFUSED
    reason = "QUOTE_CANCELED"


class SameAsset(DomainError):
    """Base and quote asset are the same."""

    reason = "SAME_ASSET"


class NoLiquidity(DomainError):
    """No LP gave a usable answer in time; nothing was promised, ask again."""

    kind = Kind.UPSTREAM
    reason = "NO_LIQUIDITY"
