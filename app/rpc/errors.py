"""Refusals on the wire: one status, one ErrorInfo, and a RetryInfo where waiting helps."""

from collections.abc import Mapping
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from domain.errors import DomainError, Kind, Retry

ERROR_DOMAIN: Final = "reli.dev"
DETAILS_KEY: Final = "grpc-status-details-bin"

CODE: Final[Mapping[Kind, grpc.StatusCode]] = {
    Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Kind.MISSING: grpc.StatusCode.NOT_FOUND,
    Kind.EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Kind.REFUSED: grpc.StatusCode.FAILED_PRECONDITION,
    Kind.CONFLICT: grpc.StatusCode.ABORTED,
    Kind.EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.UPSTREAM: grpc.StatusCode.UNAVAILABLE,
}

RETRY_AFTER_MS: Final[Mapping[Kind, int]] = {
    Kind.CONFLICT: 100,
    Kind.EXHAUSTED: 1_000,
    Kind.UPSTREAM: 500,
}


class Internal(DomainError):
    """A bug of ours; `metadata["incident"]` finds it in the log. What was done is not known."""

    reason = "INTERNAL"

    @property
    def retry(self) -> Retry:
        return Retry.SAME_REQUEST


class DeadlineExceeded(DomainError):
    """The deadline passed first; the work may still finish. Ask again with the same request id."""

    reason = "DEADLINE_EXCEEDED"

    @property
    def retry(self) -> Retry:
        return Retry.SAME_REQUEST


class StreamEnded(DomainError):
    """The stream has lasted as long as it may, or the server stops; open it again."""

    kind = Kind.UPSTREAM
    reason = "STREAM_ENDED"


class TooManyStreams(DomainError):
    """The tenant, or all together, have as many streams open at this server as it allows."""

    kind = Kind.EXHAUSTED
    reason = "TOO_MANY_STREAMS"


class RateLimited(DomainError):
    """The key, or its tenant, has called methods of the class as often as its limits allow."""

    kind = Kind.EXHAUSTED
    reason = "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after_ms: int = 1_000, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after_ms = retry_after_ms


class MalformedRequest(DomainError):
    """The bytes are not the message that the method takes."""

    reason = "MALFORMED_REQUEST"


class UnknownField(DomainError):
    """The request names a field that its method does not have; `metadata["field"]` is its path."""

    reason = "UNKNOWN_FIELD"


class DuplicateField(DomainError):
    """The request says a field more than once, by either of its names, or two of one oneof."""

    reason = "DUPLICATE_FIELD"


def code_of(error: DomainError) -> grpc.StatusCode:
    match error:
        case Internal():
            return grpc.StatusCode.INTERNAL
        case DeadlineExceeded():
            return grpc.StatusCode.DEADLINE_EXCEEDED
        case _:
            return CODE[error.kind]


def status_of(error: DomainError) -> status_pb2.Status:
    """Return the status as partners read it."""
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=ERROR_DOMAIN,
        metadata={**error.metadata, "retry": error.retry},
    )
    status.details.add().Pack(info)
    delay_ms = (
        error.retry_after_ms if isinstance(error, RateLimited) else RETRY_AFTER_MS.get(error.kind)
    )
    if delay_ms is not None:
        delay = Duration()
        delay.FromMilliseconds(delay_ms)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status
