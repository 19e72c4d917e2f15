"""What can be refused, and what the caller may do about it."""

from enum import StrEnum
from typing import ClassVar, TypeGuard


class Kind(StrEnum):
    """The class of a refusal; it decides the gRPC code and the HTTP status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    EXISTS = "exists"
    REFUSED = "refused"
    CONFLICT = "conflict"
    EXHAUSTED = "exhausted"
    UPSTREAM = "upstream"


class Retry(StrEnum):
    """What a caller may do with a refused request."""

    NEVER = "never"
    """Sending it again gives the same answer: fix the request or the state behind it."""

    SAME_REQUEST = "same_request"
    """Nothing was decided, or it cannot be known: send the same request again, same request id."""

    LATER = "later"
    """Wait for the delay in RetryInfo, then send the same request again."""


RETRY_OF_KIND: dict[Kind, Retry] = {
    Kind.INVALID: Retry.NEVER,
    Kind.UNAUTHENTICATED: Retry.NEVER,
    Kind.FORBIDDEN: Retry.NEVER,
    Kind.MISSING: Retry.NEVER,
    Kind.EXISTS: Retry.NEVER,
    Kind.REFUSED: Retry.NEVER,
    Kind.CONFLICT: Retry.SAME_REQUEST,
    Kind.EXHAUSTED: Retry.LATER,
    Kind.UPSTREAM: Retry.SAME_REQUEST,
}


class DomainError(Exception):
    """A refusal with a stable reason.

    Attributes:
        kind: the class of the refusal.
        reason: a stable name in UPPER_SNAKE_CASE, registered in `error_reason.proto`.
        metadata: every dynamic part of the message again, by name.
    """

    kind: ClassVar[Kind] = Kind.INVALID
    reason: ClassVar[str] = ""

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = {name: str(value) for name, value in metadata.items()}

    @property
    def retry(self) -> Retry:
        return RETRY_OF_KIND[self.kind]


def may_pass(error: BaseException) -> TypeGuard[DomainError]:
    """Say whether the same thing, done again, may go well with nothing mended."""
    return isinstance(error, DomainError) and error.retry is not Retry.NEVER


def all_errors() -> list[type[DomainError]]:
    """Return every concrete error class that has been imported."""
    found: list[type[DomainError]] = []
    pending = list(DomainError.__subclasses__())
    while pending:
        error = pending.pop()
        pending.extend(error.__subclasses__())
        if "reason" in error.__dict__:
            found.append(error)
    return sorted(found, key=lambda error: error.reason)


class InvalidArgument(DomainError):
    """A field is missing or malformed; `metadata["field"]` names it."""

    reason = "INVALID_ARGUMENT"


class InvalidId(DomainError):
    """The text is no id, or an id of another kind."""

    reason = "INVALID_ID"


class IllegalTransition(DomainError):
    """The thing is not in a state from which this can happen."""

    kind = Kind.REFUSED
    reason = "ILLEGAL_TRANSITION"


class VersionConflict(DomainError):
    """Somebody else changed the same row first; the whole call may be sent again."""

    kind = Kind.CONFLICT
    reason = "VERSION_CONFLICT"
