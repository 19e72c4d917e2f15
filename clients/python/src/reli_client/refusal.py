"""A refusal: why a call had no answer, and whether to send it again."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Self

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

DOMAIN: Final = "reli.dev"
_DETAILS: Final = "grpc-status-details-bin"
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class Retry(StrEnum):
    """What a program may do about a refusal without knowing its reason."""

    NEVER = "never"
    """The same call gets the same answer."""
    SAME_REQUEST = "same_request"
    """Nothing was decided, or it cannot be known: send the same request again."""
    LATER = "later"
    """Not now: wait for as long as was told, then send the same request again."""


class Refusal(Exception):
    """A call that was refused, or that was lost on its way.

    Attributes:
        code: the gRPC code.
        message: for people; it may change from one day to the next.
        reason: a name such as "INSUFFICIENT_FUNDS", which never changes. Empty where the platform
            said nothing, such as when the connection broke; whether the call took effect is then
            not known.
        retry: whether to send the call again.
        metadata: what the message says, by names that docs/errors.md lists.
        wait_s: how many seconds to wait at least before the call is sent again.
        is_in_doubt: whether the call may have taken effect all the same: the answer to one of its
            attempts was lost, and nothing that was heard since tells its outcome. Ask for that by
            sending the call again under the same request id. It means nothing where a call only
            reads.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        retry: Retry = Retry.SAME_REQUEST,
        metadata: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
    ) -> None:
        super().__init__(f"{reason or code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.retry = retry
        self.metadata = dict(metadata or {})
        self.wait_s = wait_s
        self.is_in_doubt = retry is Retry.SAME_REQUEST

    @classmethod
    def of_status(cls, status: Status) -> Self:
        """Return what a status of the platform says."""
        info, retry_info = ErrorInfo(), RetryInfo()
        for detail in status.details:
            if not detail.Unpack(info):
                detail.Unpack(retry_info)
        is_ours = info.domain == DOMAIN
        return cls(
            _CODES.get(status.code, grpc.StatusCode.UNKNOWN),
            status.message,
            reason=info.reason if is_ours else "",
            retry=_retry(info.metadata.get("retry", "") if is_ours else ""),
            metadata=info.metadata if is_ours else None,
            wait_s=max(0.0, retry_info.retry_delay.ToTimedelta().total_seconds()),
        )

    @classmethod
    def of_error(cls, error: grpc.RpcError) -> Self:
        """Return what a failed call says of itself."""
        trailers: Any = error.trailing_metadata() or ()
        for name, value in trailers:
            if name == _DETAILS:
                try:
                    return cls.of_status(Status.FromString(value))
                except DecodeError:
                    break  # of something between the platform and here
        return cls(error.code(), error.details() or "")


def _retry(text: str) -> Retry:
    return Retry(text) if text in set(Retry) else Retry.SAME_REQUEST
