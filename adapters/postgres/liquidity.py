"""How the LPs stand."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.latest import Latest
from adapters.postgres.scope import Scope
from domain.ids import LpId
from domain.liquidity.circuit import Circuit, CircuitState
from domain.liquidity.lp import Lp
from domain.routing import LpRecord
from domain.tenant.errors import UnknownLp
from domain.trading_state import TradingState
from ports.clock import Clock
from ports.lp import LpBoard, LpRepository

MAX_AGE_S: Final = 0.5
"""A halt and an open circuit work within a second everywhere, without anybody being told."""

_COUNTS: Final = LpRecord._fields

_REGISTER: Final = """
INSERT INTO core.lps (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING
"""

_ALL: Final = f"""
SELECT l.*, {", ".join(f"coalesce(sum(t.{one}), 0)::bigint AS {one}" for one in _COUNTS)}
FROM core.lps AS l
LEFT JOIN core.lp_tallies AS t
    ON t.lp = l.name AND t.minute > core.now() - interval '15 minutes'
GROUP BY l.name ORDER BY l.name
"""

_GET: Final = "SELECT * FROM core.lps WHERE name = $1 FOR NO KEY UPDATE"

_SAVE: Final = """
UPDATE core.lps SET circuit_state = $2, circuit_since = $3, failures_in_a_row = $4,
    answers_in_a_row = $5, window_began_at = $6, window_calls = $7, window_failures = $8
WHERE name = $1
"""

_COUNT: Final = f"""
INSERT INTO core.lp_tallies AS t (lp, minute, {", ".join(_COUNTS)})
VALUES ($1, date_trunc('minute', $2::timestamptz),
    {", ".join(f"${number}" for number in range(3, 3 + len(_COUNTS)))})
ON CONFLICT (lp, minute) DO UPDATE SET
    {", ".join(f"{one} = t.{one} + EXCLUDED.{one}" for one in _COUNTS)}
"""

_FORGET: Final = """
DELETE FROM core.lp_tallies WHERE lp = $1 AND minute < $2::timestamptz - interval '1 hour'
"""


class PostgresLpBoard(LpBoard):
    """Reads all LPs at once; the first time it makes the rows of those that are new."""

    def __init__(self, engine: AsyncEngine, clock: Clock, names: Sequence[str]) -> None:
        self._engine = engine
        self._names = names
        self._latest = Latest(self._read, clock, max_age_s=MAX_AGE_S)
        self._is_registered = False

    async def lps(self) -> Mapping[str, Lp]:
        return await self._latest.get()

    async def _read(self) -> Mapping[str, Lp]:
        async with borrowed_driver(self._engine) as driver:
            if not self._is_registered:
                await driver.execute(_REGISTER, list(self._names))
                self._is_registered = True
            return {row["name"]: _lp_with_record(row) for row in await driver.fetch(_ALL)}


class PostgresLps(LpRepository):
    """All LPs, whoever is in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, name: str) -> Lp:
        row = await self._scope.driver.fetchrow(_GET, name)
        if row is None:
            raise UnknownLp("no LP of that name is connected", lp=name)
        return _lp(row, LpRecord())

    async def all(self) -> Sequence[Lp]:
        return [_lp_with_record(row) for row in await self._scope.driver.fetch(_ALL)]

    async def save(self, lp: Lp) -> None:
        circuit = lp.circuit
        await self._scope.driver.execute(
            _SAVE,
            lp.name,
            circuit.state,
            circuit.since,
            circuit.failures_in_a_row,
            circuit.answers_in_a_row,
            circuit.window_began_at,
            circuit.window_calls,
            circuit.window_failures,
        )

    async def count(self, name: str, record: LpRecord, *, now: datetime) -> None:
        await self._scope.driver.execute(_COUNT, name, now, *record)
        await self._scope.driver.execute(_FORGET, name, now)


def _lp_with_record(row: Any) -> Lp:
    return _lp(row, LpRecord(*(row[one] for one in _COUNTS)))


def _lp(row: Any, record: LpRecord) -> Lp:
    return Lp(
        id=LpId(row["id"]),
        name=row["name"],
        trading_state=TradingState(row["trading_state"]),
        circuit=Circuit(
            state=CircuitState(row["circuit_state"]),
            since=row["circuit_since"],
            failures_in_a_row=row["failures_in_a_row"],
            answers_in_a_row=row["answers_in_a_row"],
            window_began_at=row["window_began_at"],
            window_calls=row["window_calls"],
            window_failures=row["window_failures"],
        ),
        record=record,
    )
