"""What servicers read from requests besides their own fields: request ids, pages, texts."""

import base64
import binascii
import hashlib
import re
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from app.rpc.caller import current_caller
from app.usecase.call import Call
from domain.errors import DomainError, InvalidArgument
from domain.ids import CustomerId, TenantId
from ports.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Page, PageRequest
from ports.request import RequestIdInvalid, RequestIdMismatch, RequestIdRequired, RequestKey

MAX_REASON: Final = 200

_REQUEST_ID: Final = re.compile(r"[\x20-\x7e]{1,64}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class InvalidPageToken(DomainError):
    """The page token was not made by this method."""

    reason = "INVALID_PAGE_TOKEN"


def call_of(request: Any) -> Call:
    """Return the call on the caller's own tenant; a request id is optional."""
    return replace(call_without_id(), key=_request_key(request))


def call_without_id() -> Call:
    """Return the call of a method whose requests carry no id of their own."""
    caller = current_caller()
    return Call(
        tenant_id=caller.tenant_id,
        api_key_id=caller.api_key_id,
        scopes=caller.scopes,
        method=caller.rpc,
        correlation_id=caller.correlation_id,
    )


def money_call_of(request: Any) -> Call:
    """Return the call, or raise `RequestIdRequired`: money moves, so it must be repeatable."""
    call = call_of(request)
    if call.key is None:
        raise RequestIdRequired("request_id is required, since money moves", field="request_id")
    return call


def named_tenant(request: Any) -> TenantId:
    """Return the tenant that an operator's request names."""
    return TenantId.parse(request.tenant_id, field="tenant_id")


def _request_key(request: Any) -> RequestKey | None:
    caller = current_caller()
    request_id: str = request.request_id
    if caller.idempotency_key and request_id and caller.idempotency_key != request_id:
        raise RequestIdMismatch(
            "request_id and the Idempotency-Key header differ", field="request_id"
        )
    request_id = request_id or caller.idempotency_key
    if not request_id:
        return None
    if not _REQUEST_ID.fullmatch(request_id):
        raise RequestIdInvalid(
            "request_id must be 1 to 64 printable ASCII characters", field="request_id"
        )
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    return RequestKey(
        rpc=caller.rpc,
        request_id=request_id,
        fingerprint=hashlib.sha256(content.SerializeToString(deterministic=True)).digest(),
    )


def page_of(request: Any, *, by: type = UUID) -> PageRequest:
    """Return the page asked for; `by` says what the method's tokens hold, a UUID or an int."""
    size = page_size_of(request)
    before = _read_token(request.page_token, by) if request.page_token else None
    return PageRequest(size=size, before=before)


def page_size_of(request: Any) -> int:
    """Return how many items are asked for."""
    size: int = request.page_size
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise InvalidArgument(f"page_size must be 1 to {MAX_PAGE_SIZE}", field="page_size")
    return size or DEFAULT_PAGE_SIZE


def next_token(page: Page[Any]) -> str:
    """Return the text that leads to the next page, empty on the last one."""
    match page.next_before:
        case None:
            return ""
        case UUID() as id:
            place = b"u" + id.bytes
        case number:
            place = b"n" + number.to_bytes(8)
    return base64.urlsafe_b64encode(_token_mark() + place).decode().rstrip("=")


def _token_mark() -> bytes:
    """Return what tells the tokens of one method from those of another."""
    return hashlib.sha256(current_caller().rpc.encode()).digest()[:4]


def _read_token(text: str, by: type) -> UUID | int:
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    mark, kind, place = content[:4], content[4:5], content[5:]
    if mark == _token_mark():
        if by is UUID and kind == b"u" and len(place) == 16:
            return UUID(bytes=place)
        if by is int and kind == b"n" and len(place) == 8 and place[0] < 0x80:
            return int.from_bytes(place)
    raise InvalidPageToken("page_token is none of this method's", field="page_token")


def text_of(value: str, *, field: str, maximum: int, pattern: str | None = None) -> str:
    """Return a text for people: 1 to `maximum` characters, none of them a control character."""
    if not 1 <= len(value) <= maximum:
        raise InvalidArgument(f"{field} must have 1 to {maximum} characters", field=field)
    if _CONTROL.search(value):
        raise InvalidArgument(f"{field} must have no control characters", field=field)
    if pattern is not None and not re.fullmatch(pattern, value, re.ASCII):
        raise InvalidArgument(f"{field} must match {pattern}", field=field)
    return value


def customer_filter(text: str) -> CustomerId | None:
    """Return the customer that a request names, or None where it names none."""
    return CustomerId.parse(text, field="customer_id") if text else None


def optional_text_of(value: str, *, field: str, maximum: int) -> str:
    """Return a text for people that may be empty."""
    return text_of(value, field=field, maximum=maximum) if value else ""


def reason_of(request: Any) -> str:
    """Return why an operator decides something, in 1 to 200 characters."""
    return text_of(request.reason, field="reason", maximum=MAX_REASON)
