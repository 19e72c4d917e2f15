"""The registry of reasons, as `error_reason.proto` has it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from adapters.envoy.refusals import REFUSALS
from adapters.openapi.contract import Contract

_REGISTRY: Final = "reli.error.v1.ErrorReason"
_PREFIX: Final = "ERROR_REASON_"
_EXPLANATION: Final = re.compile(r"(.+) Code ([A-Z_]+), retry (\w+)\.")

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, as Envoy does it.
_HTTP_STATUS: Final[Mapping[str, int]] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_EDGE_STATUS: Final[Mapping[str, int]] = {one.reason: one.http_status for one in REFUSALS}
"""What the front door refuses itself has statuses that no gRPC code has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a call was refused.

    Attributes:
        cause: what went wrong, as sentences.
        code: the gRPC code.
        retry: never, same_request or later.
    """

    name: str
    number: int
    cause: str
    code: str
    http_status: int
    retry: str


def read_reasons(contract: Contract) -> Mapping[str, Reason]:
    """Return every reason by its name, in the order of the registry."""
    reasons: dict[str, Reason] = {}
    for value in contract.enums[_REGISTRY].values:
        name = value.name.removeprefix(_PREFIX)
        if explained := _EXPLANATION.fullmatch(value.comment):
            cause, code, retry = explained.groups()
            reasons[name] = Reason(
                name=name,
                number=value.number,
                cause=cause,
                code=code,
                http_status=_EDGE_STATUS.get(name, _HTTP_STATUS[code]),
                retry=retry,
            )
    return reasons
