"""What the database has of a tenant, as checksums."""

import asyncio
from collections.abc import Mapping

import asyncpg

from domain.ids import TenantId


def rows_of(database_url: str, tenant_id: str) -> Mapping[str, str]:
    """Return a checksum of the tenant's rows for each table that has rows of tenants."""
    return asyncio.run(_rows_of(database_url, TenantId.parse(tenant_id)))


async def _rows_of(database_url: str, tenant_id: TenantId) -> Mapping[str, str]:
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetch(
            "SELECT relname AS name FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
            " WHERE relnamespace = 'core'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND attname = 'tenant_id'"
        )
        return {
            table["name"]: await connection.fetchval(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)),"
                f" '') FROM core.{table['name']} AS t WHERE tenant_id = $1",
                tenant_id.uuid,
            )
            for table in tables
        }
    finally:
        await connection.close()
