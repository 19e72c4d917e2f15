"""Looks at the database from above, as no role may: what is there, and does it add up."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from domain.ids import TenantId

REFERENCE_TABLES: Final = {
    "assets": "the same for every tenant, and nobody may write it",
    "instruments": "the same for every tenant; what an operator may change is its trading state",
    "environment": "one row that says what the database is",
    "alembic_version": "which migrations have run",
}
"""Tables of `core` that every role may read and that hold no tenant's rows, with the reason."""

WORK_TABLES: Final = {
    "leases": "which process does what",
    "consumer_positions": "how far each consumer has come in the events of all tenants",
}
"""Tables of `core` that are for the workers alone, with the reason."""

SHARED_TABLES: Final = {
    "signing_keys": "public keys: a worker adds its own, and everybody may see them",
    "lps": "how each LP stands, for every process and every tenant",
    "lp_tallies": "what became of the calls to each LP, whoever they were for",
}
"""Tables of `core` that hold no tenant's rows and to which something is added, with the reason."""

WITHOUT_TENANT: Final = (*REFERENCE_TABLES, *SHARED_TABLES, *WORK_TABLES)

_TABLES: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'core'::regnamespace AND c.relkind IN ('r', 'p')
    AND c.relispartition = $1 AND c.relname <> ALL ($2) AND c.relpersistence::text = ANY ($3)
ORDER BY c.relname
"""

_ACCOUNTS_AND_LINES: Final = """
SELECT a.*, coalesce(l.posted, 0) AS lines_posted, coalesce(l.held, 0) AS lines_held,
    coalesce(l.lines, 0) AS lines
FROM core.accounts AS a LEFT JOIN (
    SELECT account_id, sum(change) AS posted, sum(held) AS held, count(*) AS lines FROM (
        SELECT debit_account_id AS account_id, debit_held AS held,
            CASE WHEN kind IN ('regular', 'post') THEN -units ELSE 0 END AS change
        FROM core.transfers WHERE tenant_id = $1
        UNION ALL
        SELECT credit_account_id, 0, CASE WHEN kind IN ('regular', 'post') THEN units ELSE 0 END
        FROM core.transfers WHERE tenant_id = $1
    ) AS line GROUP BY account_id
) AS l ON l.account_id = a.id
WHERE a.tenant_id = $1
"""

_LIVE_HOLDS: Final = """
SELECT i.quote_asset, i.base_asset, t.side, t.quote_units, t.base_units
FROM core.trades AS t JOIN core.instruments AS i ON i.code = t.instrument
WHERE t.tenant_id = $1 AND t.state NOT IN ('settled', 'rejected')
"""


def uuid_of(tenant_id: str) -> UUID:
    return TenantId.parse(tenant_id).uuid


async def tenant_tables(owner: Any) -> list[str]:
    """Return every table with rows of tenants, by the name through which it is reached."""
    return await _tables(owner, is_partition=False, persistence="pu")


async def lasting_tables(owner: Any) -> list[str]:
    """Return those of them that hold facts; the others are unlogged, and lost in a crash."""
    return await _tables(owner, is_partition=False, persistence="p")


async def partitions(owner: Any) -> list[str]:
    return await _tables(owner, is_partition=True, persistence="pu")


async def _tables(owner: Any, *, is_partition: bool, persistence: str) -> list[str]:
    found = await owner.fetch(_TABLES, is_partition, list(WITHOUT_TENANT), list(persistence))
    return [row["relname"] for row in found]


async def rows_of(
    owner: Any, tenant_id: str, tables: Sequence[str] | None = None
) -> Mapping[str, str]:
    """Return by table how many rows a tenant has and a hash of their every byte; of the lasting
    tables where none are named."""
    return {
        table: await owner.fetchval(
            f"""SELECT count(*) || ':' || coalesce(md5(string_agg(line, '' ORDER BY line)), '')
            FROM (SELECT md5(t::text) AS line FROM core.{table} AS t WHERE tenant_id = $1) AS l""",
            uuid_of(tenant_id),
        )
        for table in tables or await lasting_tables(owner)
    }


async def assert_books_balance(owner: Any, tenant_id: str) -> None:
    """Assert what holds between any two transactions: sums, limits, clearing, lines."""
    tenant = uuid_of(tenant_id)
    async with owner.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        accounts = await connection.fetch(_ACCOUNTS_AND_LINES, tenant)
        trades = await connection.fetch(_LIVE_HOLDS, tenant)
    assert accounts
    for asset in {account["asset"] for account in accounts}:
        mine = [account for account in accounts if account["asset"] == asset]
        assert sum(a["credits_posted"] - a["debits_posted"] for a in mine) == 0, asset
        assert sum(a["credits_pending"] - a["debits_pending"] for a in mine) == 0, asset
    held = dict.fromkeys((account["asset"] for account in accounts), 0)
    for trade in trades:
        given = "quote" if trade["side"] == "buy" else "base"
        held[trade[f"{given}_asset"]] += trade[f"{given}_units"]
    for account in accounts:
        name = f"{account['kind']} {account['owner']} {account['asset']}"
        balance = account["credits_posted"] - account["debits_posted"]
        assert balance == account["lines_posted"], name
        assert account["debits_pending"] == account["lines_held"], name
        assert account["version"] == account["lines"], name
        if account["overdraft_limit"] is not None:
            assert balance - account["debits_pending"] + account["overdraft_limit"] >= 0, name
        if account["kind"] == "trade_clearing":
            assert balance == 0, name
            assert account["credits_pending"] == held[account["asset"]], name
