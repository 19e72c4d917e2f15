"""The log of requests: the same request id has the same effect once, for ever."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domain.errors import DomainError, Kind


class RequestIdInvalid(DomainError):
    """A request id is 1 to 64 printable ASCII characters."""

    reason = "REQUEST_ID_INVALID"


class RequestIdRequired(DomainError):
    """The method moves money, so it needs a request id."""

    reason = "REQUEST_ID_REQUIRED"


class RequestIdMismatch(DomainError):
    """`request_id` and the `Idempotency-Key` header differ."""

    reason = "REQUEST_ID_MISMATCH"


class RequestIdReused(DomainError):
    """The request id was used with another body."""

    kind = Kind.EXISTS
    reason = "REQUEST_ID_REUSED"


class RequestInProgress(DomainError):
    """The first request of this id is still at work; ask again."""

    kind = Kind.CONFLICT
    reason = "REQUEST_IN_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """What makes a request the same request.

    Attributes:
        rpc: full method name.
        fingerprint: SHA-256 of the request without its request id.
    """

    rpc: str
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A final refusal, kept so that a replay hears it again."""

    kind: Kind
    reason: str
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What a request id stands for: exactly one of the two is set."""

    resource_id: UUID | None
    refusal: Refusal | None


class RequestLog(Protocol):
    """Requests of one tenant."""

    async def claim(self, key: RequestKey, resource_id: UUID) -> RequestRecord | None:
        """Record that the request makes `resource_id`; None means that it is new.

        A known request returns what it stands for. Waits for a first request that is still in its
        transaction. Raises `RequestIdReused` for another fingerprint, `RequestInProgress` when the
        first one takes longer than the lock timeout.
        """
        ...

    async def refuse(self, key: RequestKey, refusal: Refusal) -> RequestRecord | None:
        """Record a final refusal; None means that it is now the outcome of the request.

        If another request with the same id got an outcome in between, that one is returned.
        """
        ...

    async def find(self, key: RequestKey) -> RequestRecord | None:
        """Return what a known request stands for, or raise `RequestIdReused`."""
        ...
