"""What to do about a refusal: by its code and retry class, or in words of its own."""

from collections.abc import Mapping
from typing import Final

_OF_RETRY: Final[Mapping[str, str]] = {
    "same_request": "Send the same request again, under the same request id.",
    "later": "Wait for the `RetryInfo` beside it, then send the same request again.",
}
_OF_CODE: Final[Mapping[str, str]] = {
    "INVALID_ARGUMENT": "Mend the request; `field`, where it is told, says which part of it.",
    "FAILED_PRECONDITION": "Read the state of what the request names, and go on from there.",
    "UNAUTHENTICATED": "Send a valid key as `Authorization: Bearer …`.",
    "PERMISSION_DENIED": "Use a key that may do this.",
    "NOT_FOUND": "Check the id. What is another tenant's is not found either.",
    "ALREADY_EXISTS": "Use what is there, or another name.",
    "UNIMPLEMENTED": "Use a method that the `Allow` header names.",
}

REMEDIES: Final[Mapping[str, str]] = {
    "ROUTE_NOT_FOUND": "Compare the path with `/openapi.json`.",
    "BODY_TOO_LARGE": "Send at most 64 KiB over REST; larger batches go over gRPC.",
    "HEADERS_TOO_LARGE": "Send at most 16 KiB of headers.",
    "UNSUPPORTED_MEDIA_TYPE": "Send `Content-Type: application/json`.",
    "INTERNAL": "Send the same request again, under the same request id. If it stays, tell us the"
    " `incident`.",
    "INVALID_PAGE_TOKEN": "Begin again at the first page.",
    "STREAM_ENDED": "Open the stream again.",
    "TOO_MANY_STREAMS": "End a stream, or wait for the `RetryInfo` and open it then.",
    "API_KEY_REVOKED": "Use another key; a revoked one stays revoked.",
    "SCOPE_MISSING": "Use a key with the `scope` that is told, or create one.",
    "OPERATOR_ONLY": "Ask the operator: the method is not for partners.",
    "SANDBOX_ONLY": "Pay in over a rail; only the sandbox gives money away.",
    "REQUEST_ID_REQUIRED": "Send an `Idempotency-Key` of your own making, a new one each time that"
    " you mean something new.",
    "REQUEST_ID_MISMATCH": "Send one of the two.",
    "REQUEST_ID_REUSED": "Send what was sent the first time, or choose a new id for a new request.",
    "TOO_MANY_DIGITS": "Round to the asset's scale: `GET /v1/assets` tells it.",
    "UNKNOWN_ASSET": "Choose one that `GET /v1/assets` lists.",
    "INSTRUMENT_NOT_FOUND": "Choose one that `GET /v1/instruments` lists.",
    "TENANT_SUSPENDED": "Ask the operator.",
    "TENANT_CLOSED": "None: a tenant that was closed stays closed.",
    "CUSTOMER_SUSPENDED": "Activate the customer first.",
    "CUSTOMER_CLOSED": "Create another customer: one that was closed stays closed.",
    "BALANCE_NOT_ZERO": "Trade or pay out what is left, wait for what is held, then close.",
    "QUOTE_EXPIRED": "Ask for a new quote and accept it in time, under a new request id.",
    "QUOTE_ALREADY_ACCEPTED": "Read the trade that `trade_id` names.",
    "QUOTE_CANCELED": "Ask for a new quote.",
    "NO_LIQUIDITY": "Ask again; nothing was promised.",
    "INSUFFICIENT_FUNDS": "Fund the account, or ask for less, and try again under a new request"
    " id; a quote stays open until it expires.",
    "SECOND_KEY_REQUIRED": "Have another operator approve it.",
    "BREAK_SECOND_KEY_REQUIRED": "Have another operator approve it.",
    "LP_SETTLEMENT_SECOND_KEY_REQUIRED": "Have another operator approve it.",
    "ENTRY_ALREADY_FAILED": "Make a new id and send the entry under it.",
    "TRANSFER_ALREADY_FAILED": "Make a new id and send the transfer under it.",
    "ENTRY_CONFLICT": "Send what was sent the first time, or make a new id.",
    "TRANSFER_CONFLICT": "Make a new id.",
    "ID_OUT_OF_WINDOW": "Make the id, a UUIDv7, when the request is made.",
}
"""For those where the class alone would not help."""


def remedy_of(reason: str, *, code: str, retry: str) -> str:
    """Return what the caller may do, in a sentence or two; nothing if even the code is unknown."""
    return REMEDIES.get(reason) or _OF_RETRY.get(retry) or _OF_CODE.get(code, "")
