"""What happened in a run, as one hash that a second run of the same seed must meet."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from domain.ids import TypedId

_IDS = re.compile(
    r"[a-z]+_[0-7][0-9a-hjkmnp-tv-z]{25}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_SHORTEST_ID = 30


class Trace:
    """Ids are named in the order of their appearance, times counted from the run's start."""

    def __init__(self, start: datetime, *, keep_lines: bool = False) -> None:
        self._start = start
        self._hash = hashlib.blake2b(digest_size=8)
        self._names: dict[str, str] = {}
        self.lines: list[str] | None = [] if keep_lines else None

    def add(self, *parts: object) -> None:
        line = " ".join(self._text(part) for part in parts)
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

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
