"""What Envoy says when it refuses a call itself: the same envelope as the app's errors."""

import base64
from dataclasses import dataclass
from typing import Any, Final, Literal

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

_DOMAIN: Final = "reli.dev"
_RICH_STATUS: Final = "grpc-status-details-bin"
# Where its own words tell the caller more than ours could.
_ENVOY_SAYS: Final = "%LOCAL_REPLY_BODY%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One HTTP status that Envoy answers by itself, in our terms."""

    http_status: int
    code: int
    reason: str
    retry: Literal["never", "same_request"]
    message: str
    grpc_code: int | None = None
    """The code a native gRPC caller hears, for the refusals that one can meet."""

    def status(self, code: int) -> Status:
        detail = AnyMessage()
        detail.Pack(
            ErrorInfo(reason=self.reason, domain=_DOMAIN, metadata={"retry": self.retry}),
        )
        return Status(code=code, message=self.message, details=[detail])

    def envelope(self) -> dict[str, Any]:
        """The JSON form of `status`, spelled out because Envoy fills in the message."""
        return {
            "code": self.code,
            "message": self.message,
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": self.reason,
                    "domain": _DOMAIN,
                    "metadata": {"retry": self.retry},
                }
            ],
        }


REFUSALS: Final = (
    Refusal(
        http_status=400,
        code=Code.INVALID_ARGUMENT,
        reason="MALFORMED_REQUEST",
        retry="never",
        message=f"malformed request: {_ENVOY_SAYS}",
    ),
    Refusal(
        http_status=404,
        code=Code.NOT_FOUND,
        grpc_code=Code.UNIMPLEMENTED,
        reason="ROUTE_NOT_FOUND",
        retry="never",
        message="no such path or method",
    ),
    Refusal(
        http_status=405,
        code=Code.UNIMPLEMENTED,
        reason="METHOD_NOT_ALLOWED",
        retry="never",
        message="this path does not take this HTTP method",
    ),
    Refusal(
        http_status=408,
        code=Code.DEADLINE_EXCEEDED,
        reason="REQUEST_TIMEOUT",
        retry="same_request",
        message="the request did not arrive in time",
    ),
    Refusal(
        http_status=413,
        code=Code.INVALID_ARGUMENT,
        reason="BODY_TOO_LARGE",
        retry="never",
        message="the request body is too large",
    ),
    Refusal(
        http_status=415,
        code=Code.INVALID_ARGUMENT,
        reason="UNSUPPORTED_MEDIA_TYPE",
        retry="never",
        message="the request body must be application/json",
    ),
    Refusal(
        http_status=431,
        code=Code.INVALID_ARGUMENT,
        reason="HEADERS_TOO_LARGE",
        retry="never",
        message="the request headers are too large",
    ),
    Refusal(
        http_status=500,
        code=Code.INTERNAL,
        reason="EDGE_FAILURE",
        retry="same_request",
        message="the answer could not be delivered",
    ),
    Refusal(
        http_status=502,
        code=Code.UNAVAILABLE,
        reason="UPSTREAM_UNAVAILABLE",
        retry="same_request",
        message="the service broke off; whether the call took effect is not known",
    ),
    Refusal(
        http_status=503,
        code=Code.UNAVAILABLE,
        grpc_code=Code.UNAVAILABLE,
        reason="UPSTREAM_UNAVAILABLE",
        retry="same_request",
        message="the service is unavailable; whether the call took effect is not known",
    ),
    Refusal(
        http_status=504,
        code=Code.DEADLINE_EXCEEDED,
        grpc_code=Code.DEADLINE_EXCEEDED,
        reason="DEADLINE_EXCEEDED",
        retry="same_request",
        message="no answer in time; whether the call took effect is not known",
    ),
)


def local_reply_config() -> dict[str, Any]:
    """The first mapper that fits wins: gRPC callers must never get JSON for a message."""
    return {
        "mappers": [
            *(_grpc_mapper(refusal) for refusal in REFUSALS if refusal.grpc_code is not None),
            {"filter": _IS_NATIVE_GRPC, "body_format_override": _text(_ENVOY_SAYS)},
            *(_json_mapper(refusal) for refusal in REFUSALS),
        ]
    }


# The transcoder gives its requests the content type of gRPC too, and remembers their path.
_IS_NATIVE_GRPC: Final = {
    "and_filter": {
        "filters": [
            {
                "header_filter": {
                    "header": {
                        "name": "content-type",
                        "string_match": {"prefix": "application/grpc"},
                    }
                }
            },
            {
                "header_filter": {
                    "header": {
                        "name": "x-envoy-original-path",
                        "present_match": True,
                        "invert_match": True,
                    }
                }
            },
        ]
    }
}


def _grpc_mapper(refusal: Refusal) -> dict[str, Any]:
    assert refusal.grpc_code is not None
    status = refusal.status(refusal.grpc_code).SerializeToString()
    encoded = base64.b64encode(status).decode().rstrip("=")
    return {
        "filter": {"and_filter": {"filters": [_has_status(refusal), _IS_NATIVE_GRPC]}},
        # Clients compare the message with the one in the rich status.
        "body_format_override": _text(refusal.message),
        "headers_to_add": [{"header": {"key": _RICH_STATUS, "value": encoded}}],
    }


def _json_mapper(refusal: Refusal) -> dict[str, Any]:
    return {
        "filter": _has_status(refusal),
        "body_format_override": {"json_format": refusal.envelope()},
    }


def _has_status(refusal: Refusal) -> dict[str, Any]:
    value = {
        "default_value": refusal.http_status,
        "runtime_key": f"reli.refusal.{refusal.http_status}",
    }
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _text(format_string: str) -> dict[str, Any]:
    return {"text_format_source": {"inline_string": format_string}}
