"""Daily closes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.chain import ADD_KEY
from adapters.postgres.engine import borrowed_driver
from adapters.postgres.ledger import LINES_IN_A_ROW, archived, list_lines
from adapters.postgres.scope import Scope, page_of
from domain.ids import AccountId, TenantId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.close import AccountDay, DailyClose, ends_of
from domain.ledger.errors import DailyCloseNotFound
from domain.ledger.statement import INSTANT
from ports.chain import Signer
from ports.close import BooksToClose, DailyCloses
from ports.page import Page, PageRequest

_NEXT_DAY = """
SELECT coalesce(
    (SELECT max(day) + 1 FROM core.daily_closes WHERE tenant_id = $1),
    (SELECT (created_at AT TIME ZONE 'UTC')::date FROM core.tenants WHERE tenant_id = $1))
"""

# Whose lines were all recorded before the day has one balance all day long.
_ACCOUNTS = """
SELECT a.id, a.kind, a.owner, a.asset,
    CASE WHEN a.version = 0 OR a.recorded_at < $4 THEN a.credits_posted - a.debits_posted END
        AS rests_at
FROM core.accounts AS a
WHERE a.tenant_id = $1 AND ($2::uuid IS NULL OR a.id > $2) AND a.created_at < $5
ORDER BY a.id LIMIT $3
"""

_VERSIONS = """
SELECT v.*, core.balance_after($1, v.id, v.first) AS opening,
    core.balance_after($1, v.id, v.last) AS closing
FROM (
    SELECT id, core.version_at($1, id, $3) AS first, core.version_at($1, id, $4) AS last
    FROM unnest($2::uuid[]) AS a (id)
) AS v
"""

_MOVED = f"""
SELECT w.id, count(*) AS found, count(*) FILTER (WHERE t.moves) AS lines,
    coalesce(sum(t.units) FILTER (WHERE t.moves AND t.debit_account_id = w.id), 0) AS debits,
    coalesce(sum(t.units) FILTER (WHERE t.moves AND t.credit_account_id = w.id), 0) AS credits
FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS w (id, first, last)
CROSS JOIN LATERAL (
    SELECT first_version - 1 + place AS version, transfer_id
    FROM core.account_lines
    CROSS JOIN LATERAL unnest(transfer_ids) WITH ORDINALITY AS line (transfer_id, place)
    WHERE tenant_id = $1 AND account_id = w.id AND first_version > w.first - {LINES_IN_A_ROW}
        AND first_version <= w.last
) AS l
CROSS JOIN LATERAL (
    SELECT *, kind IN ('regular', 'post') AS moves FROM core.transfers
    WHERE tenant_id = $1 AND id = l.transfer_id
) AS t
WHERE l.version > w.first AND l.version <= w.last
GROUP BY w.id
"""

_ADD = """
INSERT INTO core.daily_closes (tenant_id, day, content, digest, closed_at, key_id, signature)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING true
"""

_GET = "SELECT * FROM core.daily_closes WHERE tenant_id = $1 AND day = $2"

_LIST = """
SELECT * FROM core.daily_closes WHERE tenant_id = $1 AND day < $2
ORDER BY day DESC LIMIT $3
"""

# Whoever has a book has told of it.
_BOOKS = """
SELECT tenant_id FROM (
    SELECT tenant_id FROM core.event_heads
    UNION SELECT house_id FROM core.environment
) AS t WHERE $1::uuid IS NULL OR tenant_id > $1 ORDER BY tenant_id LIMIT $2
"""

_LINES_AT_ONCE: Final = 20_000
"""Added up by one statement: a fraction of the time that one may take."""

Window = tuple[UUID, int, int]


class PostgresDailyCloses(DailyCloses):
    """The closes of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def next_day(self) -> date:
        day: date = await self._scope.driver.fetchval(_NEXT_DAY, self._scope.tenant)
        return day

    async def accounts_of(
        self, day: date, *, after: AccountId | None, limit: int
    ) -> tuple[Sequence[AccountDay], AccountId | None]:
        start, end = ends_of(day)
        driver, tenant = self._scope.driver, self._scope.tenant
        await list_lines(self._scope)
        accounts = await driver.fetch(_ACCOUNTS, tenant, after and after.uuid, limit, start, end)
        moving = [row["id"] for row in accounts if row["rests_at"] is None]
        rows = await driver.fetch(_VERSIONS, tenant, moving, start - INSTANT, end - INSTANT)
        for row in rows:
            if None in row.values():
                raise archived(AccountId(row["id"]))
        versions = {row["id"]: row for row in rows}
        moved = await self._moved([(row["id"], row["first"], row["last"]) for row in rows])
        days = []
        for row in accounts:
            key = AccountKey(
                AccountKind(row["kind"]), self._scope.asset(row["asset"]), row["owner"]
            )
            if (rests_at := row["rests_at"]) is not None:
                days.append(AccountDay(key, rests_at, 0, 0, rests_at, 0))
                continue
            found = versions[row["id"]]
            debits, credits, lines = moved.get(row["id"], (0, 0, 0))
            days.append(AccountDay(key, found["opening"], debits, credits, found["closing"], lines))
        return days, AccountId(accounts[-1]["id"]) if len(accounts) == limit else None

    async def _moved(self, windows: Sequence[Window]) -> Mapping[UUID, tuple[int, int, int]]:
        """Return debits, credits and lines between two versions of each account.

        Raises `LinesArchived` unless every line is there.
        """
        moved: dict[UUID, tuple[int, int, int]] = {}
        for pack in _packs(windows):
            rows = await self._scope.driver.fetch(
                _MOVED, self._scope.tenant, *map(list, zip(*pack, strict=True))
            )
            found = {row["id"]: row["found"] for row in rows}
            for id, first, last in pack:
                if found.get(id, 0) != last - first:
                    raise archived(AccountId(id))
            for row in rows:
                debits, credits, lines = moved.get(row["id"], (0, 0, 0))
                moved[row["id"]] = (
                    debits + row["debits"],
                    credits + row["credits"],
                    lines + row["lines"],
                )
        return moved

    async def add(self, close: DailyClose, signer: Signer | None) -> bool:
        if signer:
            await self._scope.driver.execute(ADD_KEY, signer.key_id, signer.public_key)
        return bool(
            await self._scope.driver.fetchval(
                _ADD,
                self._scope.tenant,
                close.day,
                close.content,
                close.digest,
                close.closed_at,
                close.key_id or None,
                close.signature or None,
            )
        )

    async def get(self, day: date) -> DailyClose:
        row = await self._scope.driver.fetchrow(_GET, self._scope.tenant, day)
        if row is None:
            raise DailyCloseNotFound("no close of that day", day=day)
        return _close(row)

    async def list(self, page: PageRequest) -> Page[DailyClose]:
        # Whatever a token says, it names a day.
        ordinal = page.before if isinstance(page.before, int) else date.max.toordinal()
        before = date.fromordinal(min(max(ordinal, 1), date.max.toordinal()))
        rows = await self._scope.driver.fetch(_LIST, self._scope.tenant, before, page.size + 1)
        return page_of(
            [_close(row) for row in rows], [row["day"].toordinal() for row in rows], page
        )


class PostgresBooksToClose(BooksToClose):
    """Its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def after(self, tenant_id: TenantId | None, *, limit: int) -> Sequence[TenantId]:
        async with borrowed_driver(self._engine) as driver:
            rows = await driver.fetch(_BOOKS, tenant_id and tenant_id.uuid, limit)
        return [TenantId(row["tenant_id"]) for row in rows]


def _packs(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Yield windows that have not too many lines together; a large one is cut."""
    pack: list[Window] = []
    room = _LINES_AT_ONCE
    for id, first, last in windows:
        while first < last:
            take = min(room, last - first)
            pack.append((id, first, first + take))
            first += take
            room -= take
            if room == 0:
                yield pack
                pack, room = [], _LINES_AT_ONCE
    if pack:
        yield pack


def _close(row: Any) -> DailyClose:
    return DailyClose(
        day=row["day"],
        content=bytes(row["content"]),
        digest=bytes(row["digest"]),
        closed_at=row["closed_at"],
        key_id=row["key_id"] or "",
        signature=bytes(row["signature"] or b""),
    )
