"""Rows of several kinds, written by one statement."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from adapters.postgres.scope import Scope

_PARAMETER: Final = re.compile(r"\$(\d+)")


def _unchecked(_found: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Write:
    """Rows of one kind to be written.

    Attributes:
        expressions: the common table expressions that write them, whose names no other kind uses.
            `$1` is the tenant, `$2` the first argument.
        found: what is told of what was written, as an SQL expression.
        check: raises if that is not what was to be written.
    """

    expressions: str
    arguments: tuple[Any, ...]
    found: str = "NULL"
    check: Callable[[Any], None] = _unchecked


async def write_rows(scope: Scope, writes: Sequence[Write]) -> None:
    """Write all of it by one statement, or raise what the first check raises."""
    if not writes:
        return
    statement = _statement(tuple((write.expressions, write.found) for write in writes))
    arguments = [argument for write in writes for argument in write.arguments]
    row = await scope.driver.fetchrow(statement, scope.tenant, *arguments)
    for write, found in zip(writes, row, strict=True):
        write.check(found)


def array_literal(items: Iterable[str]) -> str:
    """Return a one-dimensional array as PostgreSQL reads it, to be one element of another.

    unnest() takes arrays of arrays apart to their last element, so an array in a column travels
    as text (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO).
    """
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return "{" + ",".join(f'"{item}"' for item in quoted) + "}"


@lru_cache(maxsize=256)
def _statement(parts: Sequence[tuple[str, str]]) -> str:
    expressions = []
    used = 1
    for text, _ in parts:
        numbers = [int(number) for number in _PARAMETER.findall(text)]
        expressions.append(_PARAMETER.sub(_moved_by(used - 1), text))
        used += max(numbers) - 1
    told = ", ".join(f"({found})" for _, found in parts)
    return f"WITH {', '.join(expressions)} SELECT {told}"


def _moved_by(places: int) -> Callable[[re.Match[str]], str]:
    def moved(found: re.Match[str]) -> str:
        number = int(found[1])
        return f"${number if number == 1 else number + places}"

    return moved
