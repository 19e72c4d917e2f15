"""What liquidity providers are refused for."""

from domain.errors import DomainError, Kind


class LpHalted(DomainError):
    """The quote's LP is halted, or only selling is open there; wait, or ask for a new quote."""

    kind = Kind.EXHAUSTED
    reason = "LP_HALTED"
