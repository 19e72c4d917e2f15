"""JSON over HTTP, as all faces of a venue read and write it."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final

from aiohttp import web

from adapters.lp.sandbox.desk import Refused
from domain.amount import Amount

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def respond(
    body: dict[str, Any] | list[dict[str, Any]], *, now: datetime, status: int = 200
) -> web.Response:
    return web.Response(
        body=json.dumps(body).encode(),
        status=status,
        content_type="application/json",
        headers={"Date": date_text(now)},
    )


def date_text(at: datetime) -> str:
    """Return a time as in the `Date` header."""
    return format_datetime(at.astimezone(UTC), usegmt=True)


def since_1970(at: datetime) -> timedelta:
    return at - _EPOCH


def unix_milliseconds(at: datetime) -> int:
    return since_1970(at) // _MILLISECOND


def time_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def plain_text(amount: Amount) -> str:
    """Return an amount without zeros at its end."""
    text = amount.value
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_query(request: web.Request, name: str, *, otherwise: int) -> int:
    """Return a whole number of the query."""
    text = request.query.get(name, "")
    if text and not (text.isascii() and text.isdigit()):
        raise malformed(f"{name} must be a whole number")
    return int(text) if text else otherwise


def malformed(message: str) -> Refused:
    return Refused(400, "MALFORMED_REQUEST", message)


async def read_body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise malformed("the body must be a JSON object") from None
    if not isinstance(body, dict):
        raise malformed("the body must be a JSON object")
    return body


def read_text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str):
        raise malformed(f"{field} must be a string")
    return value
