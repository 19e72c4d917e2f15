"""What reconciliation refuses."""

from domain.errors import DomainError, Kind


class BreakNotFound(DomainError):
    """No such break of this tenant."""

    kind = Kind.MISSING
    reason = "BREAK_NOT_FOUND"
