"""What any port to the database may raise."""

from domain.errors import DomainError, Kind


class DatabaseBusy(DomainError):
    """A lock or a statement took too long; nothing was changed."""

    kind = Kind.CONFLICT
    reason = "DATABASE_BUSY"


class DatabaseUnavailable(DomainError):
    """The database cannot be reached, or went away before it said whether it committed."""

    kind = Kind.UPSTREAM
    reason = "DATABASE_UNAVAILABLE"
