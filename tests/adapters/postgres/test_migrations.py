"""What was written before a migration is whole after it."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic import command

from adapters.postgres.migrations import versions
from app.audit.run import audit
from app.stack.postgres import PostgresServer
from reli.trade.v1 import trade_pb2
from tests.support.audited_books import follow_events
from tests.support.platform import a_platform
from tests.support.stack import migrate

NEWER: Final = "".join(
    next(Path(versions.__path__[0]).glob(f"*_pre_{name}.sql")).read_text()
    for name in ("liquidity", "api_keys", "audit_log", "rate_limits", "request_signing", "stamping")
)
"""What today's servers ask of tables that were there before."""

NO_DAY_IS_CLOSED: Final = """
CREATE FUNCTION core.closed_until(tenant uuid) RETURNS timestamptz
    LANGUAGE sql RETURN NULL::timestamptz
"""

WITHOUT_NEWER: Final = """
DROP TABLE core.lp_tallies, core.lps, core.trading_state_changes, core.rate_buckets,
    core.seen_nonces, core.request_signing_keys;
DROP FUNCTION core.lease_tokens;
DROP FUNCTION core.note_nonces;
DROP FUNCTION core.stamp_events;
DROP FUNCTION core.number_audit_records;
DROP FUNCTION core.closed_until;
DROP FUNCTION core.list_tenants(uuid, integer);
CREATE FUNCTION core.list_tenants(before uuid, page_size integer) RETURNS boolean
    LANGUAGE sql RETURN true;
ALTER TABLE core.instruments
    DROP COLUMN is_open, DROP COLUMN trading_state, ADD COLUMN is_open boolean DEFAULT true;
ALTER TABLE core.tenants DROP COLUMN trading_state, DROP COLUMN routing,
    DROP COLUMN rate_limits, DROP COLUMN signing_required;
ALTER TABLE core.quotes DROP COLUMN routing;
ALTER TABLE core.lp_answers DROP COLUMN score;
DROP TABLE core.audit_records, core.audit_heads;
DROP FUNCTION core.refuse_change();
DELETE FROM core.leases WHERE name = 'audit log';
DROP FUNCTION core.find_api_key(bytea);
CREATE FUNCTION core.find_api_key(wanted bytea) RETURNS boolean LANGUAGE sql RETURN true;
ALTER TABLE core.api_keys DROP COLUMN expires_at, DROP COLUMN allowed_ip_ranges,
    DROP COLUMN last_used_at, DROP COLUMN rotated_from_id, DROP COLUMN methods;
"""


async def test_books_of_a_time_before_lines_were_listed_are_listed_by_the_migration(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await asyncpg.connect(postgres_server.url)
    await owner.execute("CREATE DATABASE before_lines")
    await owner.close()
    url = urlunsplit(urlsplit(postgres_server.url)._replace(path="/before_lines"))
    to_head: Any = command.upgrade
    with monkeypatch.context() as before:
        before.setattr(command, "upgrade", lambda config, _: to_head(config, "0014"))
        migrate(url)
    await _run(url, NEWER)
    await _run(url, NO_DAY_IS_CLOSED)
    async with a_platform(url, tmp_path) as platform:
        _, client = await platform.a_tenant()
        customer_id = await platform.a_funded_customer(client)
        for _ in range(3):
            quote = await client.quote(customer_id)
            trade = await client.accept(quote.id)
            assert trade.state == trade_pb2.TRADE_STATE_SETTLED
        await follow_events(platform)

        await _run(url, WITHOUT_NEWER)
        migrate(url)
        await client.deposit(customer_id, "1.00", "NGN")

        books = {venue.name: venue.admin_url for venue in (platform.alpha, platform.beta)}
        report = await audit(url, books)
        assert report.is_clean, [one for one in report.findings if one.violations]
        listed, waiting = await platform.owner.fetchrow(
            "SELECT (SELECT count(*) FROM core.account_lines),"
            " (SELECT sum(transfers) FROM core.unlisted_lines)"
        )
        assert listed > 0
        assert waiting == 1


async def _run(url: str, statements: str) -> None:
    owner = await asyncpg.connect(url)
    await owner.execute("SET ROLE reli_owner")
    await owner.execute(statements)
    await owner.close()
