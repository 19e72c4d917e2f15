"""Rows of several kinds, written by one statement."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from adapters.postgres.scope import Scope
from domain.ids import TenantId

_PARAMETER: Final = re.compile(r"\$(\d+)")
_TENANT: Final = re.compile(r"\$1\b")

_ENTERED: Final = """
entered AS MATERIALIZED (SELECT set_config('app.tenant_id', $1, true)::uuid AS tenant_id)
"""


def _unchecked(_found: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Write:
    """Rows of one kind to be written.

    Attributes:
        expressions: the common table expressions that write them, whose names no other kind uses.
            `$1` is the tenant, `$2` the first argument.
        found: what is told of what was written, as an SQL expression. It is asked in the order of
            the writes, and what it reads from is done by then; what nobody reads from is done last.
        check: raises if that is not what was to be written.
        only_adds: nothing but rows of `$1` are added, and no row needs to be seen for it but by a
            function that makes the tenant known itself.
    """

    expressions: str
    arguments: tuple[Any, ...]
    found: str = "NULL"
    check: Callable[[Any], None] = _unchecked
    only_adds: bool = False


async def write_rows(scope: Scope, writes: Sequence[Write]) -> None:
    """Write all of it by one statement, or raise what the first check raises."""
    if not writes:
        return
    await _write(scope.driver, _statement(_parts(writes)), scope.tenant, writes)


async def add_rows(driver: Any, tenant_id: TenantId, writes: Sequence[Write]) -> None:
    """Add rows outside of any transaction: the statement is one of its own, and one round trip.

    Who the tenant is becomes known to the row policies while the statement runs. Each row gets its
    tenant from where that is done, so none can be looked at before; if one were, it would be
    refused, because nobody is the tenant then.
    """
    assert all(write.only_adds for write in writes)
    await _write(driver, _entering_statement(_parts(writes)), str(tenant_id.uuid), writes)


async def _write(driver: Any, statement: str, tenant: Any, writes: Sequence[Write]) -> None:
    arguments = [argument for write in writes for argument in write.arguments]
    row = await driver.fetchrow(statement, tenant, *arguments)
    for write, found in zip(writes, row, strict=True):
        write.check(found)


def _parts(writes: Sequence[Write]) -> tuple[tuple[str, str], ...]:
    return tuple((write.expressions, write.found) for write in writes)


def arrays(columns: str, *, first: int = 2) -> str:
    """Return a subquery that puts rows together from parameters, an array for each column.

    In the select list PostgreSQL takes arrays apart while it reads; in FROM it writes each one to a
    tuplestore of its own before it reads the first row.

    Args:
        columns: their names and types, as in "id uuid, version int".
        first: the number of the first parameter.
    """
    parts = [column.split() for column in columns.split(",")]
    taken = ", ".join(
        f"unnest(${number}::{type}[]) AS {name}"
        for number, (name, type) in enumerate(parts, start=first)
    )
    return f"(SELECT {taken})"


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


@lru_cache(maxsize=256)
def _entering_statement(parts: Sequence[tuple[str, str]]) -> str:
    statement = _TENANT.sub("(SELECT tenant_id FROM entered)", _statement(parts))
    return f"WITH {_ENTERED}, {statement.removeprefix('WITH ')}"


def _moved_by(places: int) -> Callable[[re.Match[str]], str]:
    def moved(found: re.Match[str]) -> str:
        number = int(found[1])
        return f"${number if number == 1 else number + places}"

    return moved
