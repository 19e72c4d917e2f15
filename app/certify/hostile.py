"""Answers that are almost right: one place of a true one changed."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

from domain.amount import Amount

_HUGE: Final = "a number beyond every range"
_ANYTHING: Final[tuple[object, ...]] = (
    *(None, True, [], {}, 0, -1, 7.5, float("nan"), _HUGE),
    *("", "0", "-1", "NaN", "1e400", "\x00", "\ud800", "x" * 300, "0001-01-01T00:00:00Z"),
)
"""No value of any of a venue's fields, or a harmless one."""

_Path = tuple[str | int, ...]


def spoiled(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the body with each place missing or of a wrong kind, and what was done to it."""
    values = json.loads(body)
    for path in _places(values):
        yield f"without {_name(path)}", _written(_without(values, path))
        for value in _ANYTHING:
            yield f"{value!r:.20} as {_name(path)}", _written(_with(values, path, value))
    yield "not JSON", b"{"
    yield "nothing", b""
    yield "a list", b"[]"
    yield "deep nesting", b"[" * 50_000
    yield "an endless number", b'{"code": ' + b"9" * 50_000 + b"}"
    yield "another encoding", b"\xff\xfe\x00"
    yield "a name twice", body.rstrip()[:-1] + b"," + body.lstrip()[1:]


def exchanged(body: bytes, swaps: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield the body with each text that is in `swaps` replaced, one at a time."""
    yield from _changed(body, lambda text: swaps.get(text))


def multiplied(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the body with each decimal number nine times as long to count, one at a time."""
    yield from _changed(body, lambda text: f"9{text}" if _is_decimal(text) else None)


def uncounted(body: bytes, amount: Amount) -> Iterator[tuple[str, bytes]]:
    """Yield the body with each place that tells the amount telling none, one at a time."""
    told = Decimal(amount.value)
    yield from _changed(
        body, lambda text: "some" if _is_decimal(text) and Decimal(text) == told else None
    )


def _changed(body: bytes, change: Callable[[str], str | None]) -> Iterator[tuple[str, bytes]]:
    values = json.loads(body)
    for path in _places(values):
        value = _at(values, path)
        if isinstance(value, str) and (other := change(value)) is not None:
            yield f"{other!r:.40} as {_name(path)}", _written(_with(values, path, other))


def _places(values: Any, path: _Path = ()) -> Iterator[_Path]:
    inside = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))


def _at(values: Any, path: _Path) -> Any:
    for key in path:
        values = values[key]
    return values


def _with(values: Any, path: _Path, value: object) -> Any:
    copy = json.loads(json.dumps(values))
    _at(copy, path[:-1])[path[-1]] = value
    return copy


def _without(values: Any, path: _Path) -> Any:
    copy = json.loads(json.dumps(values))
    del _at(copy, path[:-1])[path[-1]]
    return copy


def _written(values: Any) -> bytes:
    return json.dumps(values).replace(json.dumps(_HUGE), "1e400").encode()


def _name(path: _Path) -> str:
    return ".".join(map(str, path))


def _is_decimal(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and text.isascii()
