"""What happened in a run, as one hash that a second run of the same seed must meet."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from domain.ids import TypedId

_IDS = re.compile(
    r"[a-z]+_[0-7][0-9a-hjkmnp-tv-z]{25}"
    r"|[0-9a-f]{32}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_SHORTEST_ID = 30


def _order(row: object) -> str:
    """Return what tells rows apart, whatever their ids are."""
    return _IDS.sub("", str(row))


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer of the database."""

    rows: Sequence[object]


class Trace:
    """Ids are named in the order of their appearance, times counted from the run's start.

    What is added must not change any more: it is written out only when somebody asks.
    """

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._names: dict[str, str] = {}
        self._parts: list[tuple[object, ...]] = []

    def add(self, *parts: object) -> None:
        self._parts.append(parts)

    def lines(self) -> list[str]:
        self._names.clear()
        return [" ".join(self._text(part) for part in parts) for parts in self._parts]

    def digest(self) -> str:
        return hashlib.blake2b("\n".join(self.lines()).encode(), digest_size=8).hexdigest()

    def _text(self, value: object) -> str:
        if isinstance(value, str):
            if len(value) < _SHORTEST_ID:
                return value
            return _IDS.sub(lambda found: self._name(found.group()), value)
        if value is None or isinstance(value, bool | int | float):
            return str(value)
        if isinstance(value, UUID):
            return self._name(str(UUID(int=value.int)))
        if isinstance(value, TypedId):
            return self._name(str(value.uuid))
        if isinstance(value, datetime):
            return str((value - self._start) // timedelta(microseconds=1))
        if isinstance(value, timedelta):
            return str(value.total_seconds())
        if isinstance(value, bytes):
            return f"{len(value)}B"
        if isinstance(value, Enum):
            return str(value.value)
        if isinstance(value, Rows):
            # Without ORDER BY the rows of an answer come in any order.
            return self._text(sorted(value.rows, key=_order))
        if is_dataclass(value):
            inner = ",".join(self._text(getattr(value, each.name)) for each in fields(value))
            return f"{type(value).__name__}({inner})"
        if isinstance(value, BaseException):
            return f"{type(value).__name__}: {self._text(str(value))}"
        if isinstance(value, Mapping):
            inner = ",".join(f"{key}={self._text(each)}" for key, each in value.items())
            return f"{{{inner}}}"
        try:
            return "[" + ",".join(self._text(each) for each in value) + "]"  # type: ignore[attr-defined]
        except TypeError:
            return type(value).__name__

    def _name(self, id: str) -> str:
        return self._names.setdefault(id, f"#{len(self._names)}")
