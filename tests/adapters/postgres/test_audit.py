"""The audit: it finds books clean that are, and names the row wherever somebody breaks one."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from adapters.lp.sandbox.venue_book import SandboxVenueBook
from adapters.postgres.audit.books import PROBES, open_snapshot
from adapters.postgres.audit.event import NOTED
from adapters.postgres.audit.probe import ID_OF, typeid
from adapters.postgres.audit.reference import REFERENCES
from adapters.postgres.audit.request import CHANGES, MAKES
from adapters.postgres.audit.settlement import rules
from adapters.system.clock import SystemClock
from app.audit.command import BROKEN, CLEAN, IMPOSSIBLE, command
from app.audit.run import Unwatched, audit
from app.database_url import APP_ROLE, WORK_ROLE, role_url
from app.stack.postgres import PostgresServer
from app.usecase.audit.audit_books import AuditBooks, Report
from app.usecase.audit.compare_executions import CHECKS as VENUE_CHECKS
from app.usecase.house.mirror_trades import CONSUMER
from app.usecase.house.mirror_trades import NOTED as NOTED_TYPES
from domain.ids import BreakId, TradeId
from domain.side import Side
from domain.trade.settlement import settlement
from ports.audit import SHOWN, AuditableBooks, AuditImpossible, BooksSnapshot, Finding
from tests.support.audited_books import AuditedBooks, audited_books
from tests.support.builders import a_fill, a_quote, a_sent_trade, ngn, some_terms
from tests.support.bulk_books import TRANSFERS_PER_TRADE, write_bulk
from tests.support.chain import chain_database
from tests.support.protos import RPCS
from tests.support.stack import a_database

CHECKS = {check.id for probe in PROBES for check in probe.checks} | {
    check.id for check in VENUE_CHECKS
}
TRADES_AT_SCALE = 10_000


WITHOUT_CHECKS = """
DO $$ DECLARE c record; BEGIN
    FOR c IN SELECT conname, conrelid::regclass AS on_table FROM pg_constraint
        WHERE connamespace = 'core'::regnamespace AND contype = 'c' AND coninhcount = 0
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.on_table, c.conname); END LOOP;
END $$
"""


@pytest.fixture(scope="module")
async def books(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AuditedBooks]:
    url = await a_database(postgres_server.url, "audited")
    async with audited_books(url, tmp_path_factory.mktemp("audited")) as made:
        yield made


@pytest.fixture(scope="module")
async def owner(books: AuditedBooks) -> AsyncIterator[Any]:
    """The database's owner of owners, and no CHECK that would keep a row whole."""
    connection = await asyncpg.connect(books.url)
    await connection.execute(WITHOUT_CHECKS)
    # Some lines are listed, and some wait for it.
    half = "SELECT sum(transfers) / 2 FROM core.unlisted_lines"
    await connection.execute(f"SELECT core.list_lines(({half})::bigint)")
    yield connection
    await connection.close()


@dataclass(frozen=True)
class Break:
    """One thing done to a row that no code of ours would do.

    Attributes:
        pick: SQL that returns the tenant and the id of a row.
        change: SQL that breaks it.
        table, names: what the audit must name; by default the row that was picked.
        needs: what keeps the row whole, and is taken away for the while.
    """

    check: str
    table: str
    pick: str
    change: str
    names: str = ""
    needs: str = ""

    def __str__(self) -> str:
        words = re.sub(r"[^a-z0-9_]+", "-", self.change.lower())
        return f"{self.check} {words[:60]}"


def of_trade(purpose: str, trade: str = ":settled") -> str:
    return (
        "SELECT t.tenant_id, t.id FROM core.transfers AS t JOIN core.trades AS d "
        "ON d.tenant_id = t.tenant_id AND t.entry_id IN (d.hold_entry_id, d.settlement_entry_id, "
        f"d.release_entry_id) WHERE d.id = {trade} AND t.purpose = '{purpose}' LIMIT 1"
    )


def row(table: str, condition: str = "true") -> str:
    return f"SELECT tenant_id, id FROM core.{table} WHERE {condition} ORDER BY id LIMIT 1"


def change(table: str, what: str, id: str = "id") -> str:
    return f"UPDATE core.{table} SET {what} WHERE tenant_id = :tenant AND {id} = :id"


def drop(table: str, id: str = "id") -> str:
    return f"DELETE FROM core.{table} WHERE tenant_id = :tenant AND {id} = :id"


SETTLED = row("trades", "id = :settled")
REJECTED = row("trades", "id = :rejected")
UNKNOWN = row("trades", "id = :unknown")
FEE = of_trade("platform_fee")
A_DEBT = (
    "SELECT t.tenant_id, t.id FROM core.transfers AS t JOIN core.accounts AS a "
    "ON a.tenant_id = t.tenant_id AND a.id = t.debit_account_id WHERE a.kind = 'customer' LIMIT 1"
)
A_CUSTOMER = row("accounts", "kind = 'customer' AND version > 3")
FILLED = row("attempts", "trade_id = :settled AND state = 'filled'")
A_RECORD = row("audit_records", "request_id <> '' AND refusal_reason = '' AND sequence > 2")
AN_EVENT = row("outbox", "type = 'quote.created' AND sequence > 2")
A_SETTLEMENT = row("outbox", "type = 'trade.settled'")
A_PAYMENT = row("lp_settlements", "state = 'settled'")
STEP = "SELECT tenant_id, trade_id AS id FROM core.trade_transitions WHERE {} LIMIT 1"
HOLD_OF = "SELECT tenant_id, hold_id AS id FROM core.trades WHERE id = {}"
HOUSE_ENTRY = (
    "SELECT tenant_id, id FROM core.entries WHERE tenant_id = :house AND source = 'trade' "
    "ORDER BY id LIMIT 1"
)
A_MIRROR = (
    "SELECT e.tenant_id, t.id FROM core.entries AS e JOIN core.transfers AS t "
    "ON t.tenant_id = e.tenant_id AND t.entry_id = e.id "
    "WHERE e.tenant_id = :house AND e.source = 'trade' ORDER BY t.id LIMIT 1"
)
DATED = "SELECT tenant_id, account_id AS id FROM core.dated_lines LIMIT 1"
LISTED = (
    "SELECT tenant_id, account_id AS id FROM core.account_lines "
    "WHERE cardinality(transfer_ids) > 1 LIMIT 1"
)
UNLISTED = "SELECT tenant_id, debit_account_ids[1] AS id FROM core.unlisted_lines LIMIT 1"
OTHER_ORDER = "transfer_ids = transfer_ids[2:] || transfer_ids[1]"
KEY = "account_id"
A_REVERSAL = "SELECT tenant_id, entry_id AS id FROM core.reversals LIMIT 1"
EXPIRING = "SELECT tenant_id, transfer_id AS id FROM core.expiring_holds LIMIT 1"
CHAINED = row("entries", "source = 'deposit'")
FLIPPED = "set_byte(leaves, 7, get_byte(leaves, 7) # 1)"
OF_IT = "WHERE tenant_id = :tenant AND :id = ANY (entry_ids)"
A_BOOK = "SELECT tenant_id, tenant_id AS id FROM core.chain_heads ORDER BY checkpoints DESC LIMIT 1"
NOT_LAST = "WHERE tenant_id = :id AND first_position = (" + (
    "SELECT min(first_position) FROM core.entry_pages WHERE tenant_id = :id AND first_position > 1)"
)
LAST_DAY = "day = (SELECT max(day) FROM core.daily_closes WHERE tenant_id = :tenant)"
OUR_LINE = row("reconciliation_lines", "side = 'book'")
THEIR_LINE = row("reconciliation_lines", "side = 'statement'")
MATCHED = row("reconciliation_lines", "match_id IS NOT NULL")
A_BREAK = row("breaks", "source IS NOT NULL")
NAMED_ONLY = ("reconciled_accounts",)
OF_STATEMENT = ("statements",)
ANY_LINE = ("reconciliation_lines",)
A_SHEET = (
    "SELECT tenant_id, tenant_id AS id FROM core.liability_sheets AS s WHERE total > 0 "
    "AND asset = 'NGN' ORDER BY tenant_id LIMIT 1"
)
A_RECEIPT = "SELECT tenant_id, trade_id AS id FROM core.receipts WHERE trade_id = :settled"
A_CLOSE = "SELECT tenant_id, tenant_id AS id FROM core.daily_closes ORDER BY day DESC LIMIT 1"
LATE_FILL = row("breaks", "id = :late_fill")
LATE_ATTEMPT = (
    "attempts SELECT a.id FROM core.attempts AS a JOIN core.breaks AS b "
    "ON b.tenant_id = a.tenant_id AND b.trade_id = a.trade_id AND b.attempt = a.number "
    "WHERE b.id = :late_fill"
)
RAISING = "SELECT id FROM core.outbox WHERE type = 'break.raised' AND subject = " + typeid(
    BreakId, ":late_fill"
)
INVENTORY_ENTRY = (
    "SELECT tenant_id, id FROM core.entries WHERE source = 'break' AND reference = "
    + typeid(BreakId, ":late_fill")
)
LATE_CHECK = "SELECT tenant_id, trade_id AS id FROM core.late_checks WHERE due_at {} LIMIT 1"
A_REQUEST = (
    "SELECT tenant_id, resource_id AS id FROM core.requests "
    "WHERE rpc LIKE '%AcceptQuote' AND resource_id IS NOT NULL ORDER BY 2 LIMIT 1"
)
RESOLUTION = row("trade_resolutions", "approved_by IS NOT NULL")
QUOTE_OF_SETTLED = "SELECT tenant_id, quote_id AS id FROM core.trades WHERE id = :settled"

BREAKS = [
    Break("I1.balanced", "transfers", FEE, change("transfers", "asset = 'BTC'")),
    Break(
        "I1.balanced", "transfers", FEE, change("transfers", "credit_account_id = debit_account_id")
    ),
    Break("I1.balanced", "transfers", FEE, change("transfers", "units = -units")),
    Break("I1.entry", "entries", row("entries"), drop("transfers", "entry_id")),
    Break(
        "I1.entry",
        "entries",
        row("entries", "cardinality(transfer_ids) = 1"),
        change("entries", "transfer_ids = ARRAY[uuidv7()]"),
    ),
    Break(
        "I1.entry",
        "entries",
        row("entries", "cardinality(transfer_ids) > 1"),
        change("entries", OTHER_ORDER),
    ),
    Break(
        "I1.entry",
        "transfers",
        FEE,
        drop("transfers"),
        "entries SELECT settlement_entry_id FROM core.trades WHERE id = :settled",
    ),
    Break("I2.held", "transfers", FEE, change("transfers", "debit_held = 1")),
    Break("I2.held", "transfers", of_trade("hold"), change("transfers", "debit_held = 0")),
    Break("I2.columns", "accounts", A_CUSTOMER, change("accounts", "version = version + 1")),
    Break(
        "I2.columns",
        "accounts",
        A_CUSTOMER,
        change("accounts", "credits_posted = credits_posted + 1"),
    ),
    Break(
        "I2.columns",
        "accounts",
        A_CUSTOMER,
        change("accounts", "debits_pending = debits_pending + 1"),
    ),
    Break("I2.columns", "transfers", FEE, drop("transfers"), "accounts"),
    Break(
        "I2.zero",
        "accounts",
        A_CUSTOMER,
        change("accounts", "credits_posted = credits_posted + 1"),
        "tenants SELECT :tenant",
    ),
    Break(
        "I2.zero",
        "accounts",
        A_CUSTOMER,
        change("accounts", "credits_pending = credits_pending + 1"),
        "tenants SELECT :tenant",
    ),
    Break(
        "I2.lines",
        "transfers",
        FEE,
        change("transfers", "credit_balance_after = credit_balance_after + 1"),
    ),
    Break(
        "I2.lines", "transfers", FEE, change("transfers", "debit_version = debit_version + 1000")
    ),
    Break("I2.lines", "transfers", FEE, change("transfers", "credit_version = 1000")),
    Break("I2.listed", "accounts", LISTED, drop("account_lines", KEY)),
    Break(
        "I2.listed",
        "accounts",
        LISTED,
        change("account_lines", OTHER_ORDER.replace("transfer_ids", "newest_first"), KEY),
    ),
    Break(
        "I2.listed",
        "accounts",
        LISTED,
        change("account_lines", "first_version = first_version + 100", KEY),
    ),
    Break("I2.listed", "accounts", UNLISTED, drop("unlisted_lines", "debit_account_ids[1]")),
    Break("I2.recorded", "accounts", A_CUSTOMER, change("accounts", "recorded_at = NULL")),
    Break(
        "I2.recorded",
        "accounts",
        A_CUSTOMER,
        change("accounts", "recorded_at = recorded_at - interval '1 second'"),
    ),
    Break("I2.dated", "dated_lines", DATED, drop("dated_lines", "account_id")),
    Break("I2.dated", "dated_lines", DATED, change("dated_lines", "change = change + 1", KEY)),
    Break(
        "I2.dated",
        "dated_lines",
        DATED,
        change("dated_lines", "effective_at = effective_at - interval '1 day'", KEY),
    ),
    Break(
        "I2.dated",
        "dated_lines",
        A_CUSTOMER,
        "INSERT INTO core.dated_lines VALUES "
        "(:tenant, :id, 1000, core.now(), core.now() - interval '1 day', 1)",
    ),
    Break(
        "I12.reversal",
        "reversals",
        A_REVERSAL,
        "UPDATE core.transfers SET units = units + 1 WHERE tenant_id = :tenant AND entry_id = :id",
    ),
    Break(
        "I12.reversal",
        "reversals",
        A_REVERSAL,
        "UPDATE core.reversals SET reversal_id = (SELECT id FROM core.entries "
        "WHERE tenant_id = :tenant AND source = 'expiry' LIMIT 1) "
        "WHERE tenant_id = :tenant AND entry_id = :id",
    ),
    Break(
        "I3.limit", "accounts", A_CUSTOMER, change("accounts", "debits_pending = credits_posted")
    ),
    Break("I3.limit", "accounts", A_CUSTOMER, change("accounts", "overdraft_limit = 1")),
    Break("I3.limit", "accounts", A_CUSTOMER, change("accounts", "overdraft_limit = NULL")),
    Break("I3.prefix", "transfers", A_DEBT, change("transfers", "debit_balance_after = -1")),
    Break("I3.prefix", "transfers", of_trade("hold"), change("transfers", "debit_held = 1e20")),
    Break(
        "I4.deposit",
        "sandbox_deposits",
        row("sandbox_deposits"),
        change("sandbox_deposits", "units = units + 1"),
    ),
    Break(
        "I4.deposit",
        "sandbox_deposits",
        row("sandbox_deposits"),
        drop("sandbox_deposits"),
        "entries SELECT id FROM core.entries WHERE reference = "
        + typeid(ID_OF["sandbox_deposits"], ":id"),
    ),
    Break(
        "I4.deposit",
        "sandbox_deposits",
        row("sandbox_deposits"),
        change("sandbox_deposits", "customer_id = NULL"),
    ),
    Break(
        "I4.request",
        "requests",
        A_REQUEST,
        change("requests", "resource_id = uuidv7()", "resource_id"),
        "requests",
    ),
    Break(
        "I4.request",
        "requests",
        A_REQUEST,
        change("requests", "rpc = 'reli.quote.v1.QuoteService/Steal'", "resource_id"),
        "requests",
    ),
    Break(
        "I4.request",
        "requests",
        A_REQUEST,
        change("requests", "resource_id = NULL", "resource_id"),
        "requests",
    ),
    Break(
        "I4.once",
        "trades",
        A_REQUEST,
        "UPDATE core.requests SET resource_id = :id WHERE tenant_id = :tenant "
        "AND rpc LIKE '%AcceptQuote' AND resource_id IS NOT NULL",
        "trades",
    ),
    Break(
        "I4.once",
        "requests",
        A_REQUEST,
        "INSERT INTO core.requests SELECT * FROM core.requests WHERE resource_id = :id",
        "requests",
        "ALTER TABLE core.requests DROP CONSTRAINT requests_pkey",
    ),
    Break(
        "I4.quote",
        "quotes",
        QUOTE_OF_SETTLED,
        "UPDATE core.trades SET quote_id = :id WHERE tenant_id = :tenant "
        "AND id = (SELECT id FROM core.trades WHERE tenant_id = :tenant AND quote_id <> :id "
        "LIMIT 1)",
        "quotes",
        "ALTER TABLE core.trades DROP CONSTRAINT trades_quote_key",
    ),
    Break("I5.fill", "attempts", FILLED, change("attempts", "filled_units = filled_units + 1")),
    Break("I5.fill", "attempts", FILLED, change("attempts", "venue_order_id = 'alpha-0'")),
    Break(
        "I5.fill",
        "trades",
        SETTLED,
        change("trades", "side = 'sell'"),
        "attempts SELECT id FROM core.attempts WHERE trade_id = :settled",
    ),
    Break(
        "I5.execution",
        "attempts",
        FILLED,
        change("attempts", "state = 'absent', filled_units = NULL"),
    ),
    Break("I5.execution", "attempts", FILLED, drop("attempts"), "the book of alpha"),
    *(
        Break("I5.fill", "breaks", LATE_FILL, change("breaks", wrong), LATE_ATTEMPT)
        for wrong in ("units = units + 1", "base_units = 1", "venue_order_id = 'alpha-0'")
    ),
    *(
        Break("I5.execution", "breaks", LATE_FILL, undone, LATE_ATTEMPT)
        for undone in (
            drop("breaks"),
            change("breaks", "kind = 'FILL_BEYOND_TOLERANCE'"),
            change("breaks", "attempt = 2"),
        )
    ),
    Break(
        "I6.resolution",
        "resolutions",
        HOLD_OF.format(":settled"),
        drop("resolutions", "pending_id"),
        "transfers SELECT settlement_ids[1] FROM core.trades WHERE id = :settled",
    ),
    Break(
        "I6.resolution",
        "resolutions",
        HOLD_OF.format(":settled"),
        change("resolutions", "transfer_id = :id", "pending_id"),
        "resolutions",
    ),
    Break("I6.resolution", "transfers", of_trade("payment"), change("transfers", "kind = 'void'")),
    Break(
        "I6.resolution",
        "transfers",
        of_trade("payment"),
        change("transfers", "units = units + 1"),
    ),
    Break(
        "I6.resolution",
        "transfers",
        of_trade("payment"),
        "INSERT INTO core.transfers SELECT tenant_id, uuidv7(), entry_id, 9, kind, "
        "debit_account_id, credit_account_id, asset, units, pending_id, expires_at, purpose, "
        "debit_held, debit_version + 100, debit_balance_after, credit_version + 100, "
        "credit_balance_after, recorded_at FROM core.transfers WHERE id = :id",
        "transfers SELECT max(id::text)::uuid FROM core.transfers",
    ),
    Break(
        "I6.resolution",
        "transfers",
        row("transfers", "kind = 'expire'"),
        "UPDATE core.transfers SET expires_at = expires_at + interval '3 hours' "
        "WHERE id = (SELECT pending_id FROM core.transfers WHERE id = :id)",
    ),
    Break("I6.expiring", "expiring_holds", EXPIRING, drop("expiring_holds", "transfer_id")),
    Break(
        "I6.expiring",
        "expiring_holds",
        HOLD_OF.format(":settled"),
        "INSERT INTO core.expiring_holds VALUES (:tenant, :id, core.now() + interval '1 hour')",
    ),
    Break(
        "I6.hold",
        "trades",
        SETTLED,
        "DELETE FROM core.resolutions WHERE pending_id = "
        "(SELECT hold_id FROM core.trades WHERE id = :id)",
    ),
    Break(
        "I6.hold",
        "trades",
        UNKNOWN,
        "INSERT INTO core.resolutions SELECT tenant_id, hold_id, 'void', release_id, core.now() "
        "FROM core.trades WHERE id = :id",
    ),
    Break(
        "I6.hold",
        "trades",
        REJECTED,
        "UPDATE core.resolutions SET kind = 'post' WHERE pending_id = "
        "(SELECT hold_id FROM core.trades WHERE id = :id)",
    ),
    Break("I6.open", "transfers", HOLD_OF.format(":rejected"), drop("resolutions", "pending_id")),
    Break("I6.open", "transfers", HOLD_OF.format(":unknown"), drop("trades", "hold_id")),
    Break(
        "I7.evidence",
        "trade_transitions",
        STEP.format("from_state = 'unknown'"),
        "UPDATE core.trade_transitions SET evidence = '' WHERE trade_id = :id "
        "AND from_state = 'unknown'",
    ),
    Break(
        "I7.two_keys",
        "trade_resolutions",
        RESOLUTION,
        change("trade_resolutions", "approved_by = proposed_by"),
    ),
    Break(
        "I7.two_keys",
        "trade_resolutions",
        RESOLUTION,
        change("trade_resolutions", "approved_by = uuidv7()"),
    ),
    Break(
        "I7.two_keys",
        "trade_resolutions",
        RESOLUTION,
        change("trade_resolutions", "verdict = 'filled'"),
    ),
    Break(
        "I7.two_keys",
        "trade_resolutions",
        RESOLUTION,
        change("trade_resolutions", "approved_by = NULL, approved_at = NULL"),
        "trade_transitions SELECT trade_id FROM core.trade_resolutions WHERE id = :id",
    ),
    Break("I8.fill", "trades", SETTLED, change("attempts", "state = 'rejected'", "trade_id")),
    Break(
        "I8.fill",
        "trades",
        REJECTED,
        "UPDATE core.attempts SET state = 'filled' WHERE trade_id = :id AND number = 1",
    ),
    Break(
        "I8.fill",
        "trades",
        row("trades", "id = :failed_over"),
        change("attempts", "state = 'filled'", "trade_id"),
        needs="DROP INDEX core.attempts_one_fill",
    ),
    Break(
        "I8.backup",
        "attempts",
        row("attempts", "trade_id = :failed_over AND number = 1"),
        change("attempts", "state = 'unknown'"),
    ),
    Break(
        "I8.backup",
        "attempts",
        row("attempts", "trade_id = :failed_over AND number = 2"),
        change("attempts", "number = 3"),
    ),
    Break(
        "I8.execution",
        "attempts",
        FILLED,
        "UPDATE core.attempts SET lp = o.lp, venue_order_id = o.venue_order_id "
        "FROM core.attempts AS o WHERE o.id = :id AND attempts.id = (SELECT id FROM core.attempts "
        "WHERE tenant_id <> :tenant AND state = 'filled' LIMIT 1)",
    ),
    Break(
        "I9.legal",
        "trade_transitions",
        STEP.format("trade_id = :settled AND action = 'settle'"),
        "UPDATE core.trade_transitions SET action = 'reject' WHERE trade_id = :id "
        "AND action = 'settle'",
    ),
    Break(
        "I9.legal",
        "trade_transitions",
        STEP.format("trade_id = :settled"),
        "UPDATE core.trade_transitions SET to_state = 'unknown' WHERE trade_id = :id "
        "AND attempt = 1 AND to_state = 'filled'",
    ),
    Break(
        "I9.contiguous",
        "trade_transitions",
        STEP.format("trade_id = :settled"),
        "DELETE FROM core.trade_transitions WHERE trade_id = :id AND action = 'submit'",
    ),
    Break(
        "I9.contiguous",
        "trade_transitions",
        STEP.format("trade_id = :settled"),
        "DELETE FROM core.trade_transitions WHERE trade_id = :id AND action = 'prepare'",
    ),
    Break("I9.state", "trades", SETTLED, change("trades", "state = 'filled'")),
    Break("I9.state", "attempts", FILLED, change("attempts", "state = 'sent'")),
    Break("I9.state", "attempts", FILLED, drop("attempts"), "trade_transitions SELECT :settled"),
    Break("I9.versions", "trades", SETTLED, change("trades", "version = version + 1")),
    Break("I9.versions", "trades", UNKNOWN, change("attempts", "checks = checks + 1", "trade_id")),
    Break("I9.unknown", "trades", UNKNOWN, change("trades", "state = 'submitted'")),
    Break("I9.unknown", "trades", SETTLED, change("trades", "state = 'outcome_unknown'")),
    Break(
        "I11.sequence",
        "outbox",
        AN_EVENT,
        "DELETE FROM core.outbox WHERE tenant_id = :tenant AND sequence = "
        "(SELECT sequence - 1 FROM core.outbox WHERE tenant_id = :tenant AND id = :id)",
    ),
    Break("I11.sequence", "outbox", AN_EVENT, change("outbox", "sequence = 1"), "outbox"),
    Break(
        "I28.sequence",
        "audit_records",
        A_RECORD,
        "DELETE FROM core.audit_records WHERE tenant_id = :tenant AND sequence = "
        "(SELECT sequence - 1 FROM core.audit_records WHERE tenant_id = :tenant AND id = :id)",
    ),
    Break(
        "I28.sequence",
        "audit_heads",
        "SELECT tenant_id, tenant_id AS id FROM core.audit_heads LIMIT 1",
        "UPDATE core.audit_heads SET last = last + 1 WHERE tenant_id = :tenant",
    ),
    Break(
        "I28.request",
        "audit_records",
        A_RECORD,
        change("audit_records", "refusal_reason = 'QUOTE_EXPIRED', subject = '', after_hash = ''"),
    ),
    Break(
        "I11.sequence",
        "event_heads",
        "SELECT tenant_id, tenant_id AS id FROM core.event_heads LIMIT 1",
        "UPDATE core.event_heads SET last = last + 1 WHERE tenant_id = :tenant",
    ),
    Break(
        "I11.sequence",
        "event_heads",
        "SELECT tenant_id, tenant_id AS id FROM core.event_heads LIMIT 1",
        "DELETE FROM core.event_heads WHERE tenant_id = :tenant",
    ),
    Break(
        "I11.published",
        "event_heads",
        "SELECT tenant_id, tenant_id AS id FROM core.event_heads LIMIT 1",
        "UPDATE core.event_heads SET published = last + 1 WHERE tenant_id = :tenant",
    ),
    Break(
        "I11.trade",
        "trades",
        SETTLED,
        f"DELETE FROM core.outbox WHERE subject = {typeid(TradeId, ':id')} "
        "AND type = 'trade.accepted'",
    ),
    Break(
        "I11.trade",
        "trades",
        SETTLED,
        f"UPDATE core.outbox SET type = 'trade.rejected' WHERE subject = {typeid(TradeId, ':id')} "
        "AND type = 'trade.settled'",
    ),
    Break(
        "I11.trade",
        "trades",
        SETTLED,
        f"UPDATE core.outbox SET sequence = 1 WHERE subject = {typeid(TradeId, ':id')} "
        "AND type = 'trade.settled'",
    ),
    Break(
        "I11.trade",
        "outbox",
        AN_EVENT,
        change("outbox", "type = 'trade.settled', subject = 'nobody'"),
    ),
    Break("I11.break", "outbox", LATE_FILL, drop("breaks"), f"outbox {RAISING}"),
    *(
        Break("I11.break", "breaks", LATE_FILL, f"{wrong} WHERE id = ({RAISING})")
        for wrong in ("DELETE FROM core.outbox", "UPDATE core.outbox SET type = 'break.resolved'")
    ),
    Break(
        "I11.break",
        "breaks",
        LATE_FILL,
        "INSERT INTO core.outbox SELECT tenant_id, uuidv7(), type, subject, payload, "
        f"recorded_at FROM core.outbox WHERE id = ({RAISING})",
    ),
    Break(
        "I11.position",
        "consumer_positions",
        "SELECT source_tenant_id AS tenant_id, source_tenant_id AS id "
        "FROM core.consumer_positions LIMIT 1",
        "UPDATE core.consumer_positions SET sequence = sequence + 1 "
        "WHERE source_tenant_id = :tenant",
    ),
    Break(
        "I11.inbox",
        "outbox",
        A_SETTLEMENT,
        "DELETE FROM core.inbox WHERE event_id = :id",
    ),
    Break(
        "I11.inbox",
        "inbox",
        A_SETTLEMENT,
        "UPDATE core.consumer_positions SET sequence = 0 WHERE source_tenant_id = :tenant",
    ),
    Break("I11.inbox", "inbox", A_SETTLEMENT, drop("outbox"), "inbox SELECT :id"),
    Break(
        "I11.inbox",
        "dead_letters",
        row("dead_letters", "state = 'replayed'"),
        "DELETE FROM core.inbox WHERE event_id = "
        "(SELECT event_id FROM core.dead_letters WHERE id = :id)",
    ),
    Break(
        "I11.inbox",
        "dead_letters",
        row("dead_letters", "state = 'replayed'"),
        change("dead_letters", "state = 'buried', replayed_at = NULL"),
    ),
    Break(
        "I4.request",
        "requests",
        row("dead_letters", "state = 'replayed'"),
        drop("dead_letters"),
        "requests",
    ),
    *(
        Break(
            "I12.scope",
            child,
            f"SELECT tenant_id, {key} AS id FROM core.{child} WHERE {column} IS NOT NULL LIMIT 1",
            f"UPDATE core.{child} SET {column} = uuidv7() WHERE tenant_id = :tenant "
            f"AND {key} = :id",
            child,
        )
        for child, column in REFERENCES
        for key in [
            {
                "account_lines": "account_id",
                "daily_closes": "tenant_id",
                "dated_lines": "account_id",
                "expiring_holds": "transfer_id",
                "resolutions": "pending_id",
                "reversals": "entry_id",
                "trade_queue": "trade_id",
                "trade_transitions": "trade_id",
                "late_checks": "trade_id",
                "lp_settlement_legs": "settlement_id",
                "audit_heads": "tenant_id",
                "event_heads": "tenant_id",
                "inbox": "event_id",
                "reconciled_accounts": "account_id",
                "requests": "resource_id",
                "unlisted_lines": "tenant_id",
                "webhook_attempts": "delivery_id",
                "webhook_queues": "endpoint_id",
                "receipts": "trade_id",
                "statement_balances": "statement_id",
            }.get(child, "id")
        ]
    ),
    Break("I12.scope", "accounts", A_CUSTOMER, change("accounts", "owner = 'nobody'")),
    Break(
        "I17.book", "reconciliation_lines", OUR_LINE, change("reconciliation_lines", "units = 1")
    ),
    Break("I17.book", "reconciled_accounts", OUR_LINE, drop("reconciliation_lines"), *NAMED_ONLY),
    Break(
        "I17.book",
        "reconciled_accounts",
        "SELECT tenant_id, account_id AS id FROM core.reconciled_accounts LIMIT 1",
        change("reconciled_accounts", "units_before = units_before + 1", "account_id"),
    ),
    Break("I17.statement", "statements", THEIR_LINE, drop("reconciliation_lines"), *OF_STATEMENT),
    *(
        Break(
            "I17.statement",
            "statements",
            THEIR_LINE,
            change("reconciliation_lines", what),
            *OF_STATEMENT,
        )
        for what in (
            "units = units + 1",
            "reference = reference || 'x'",
            "value_at = value_at + interval '1 microsecond'",
        )
    ),
    Break(
        "I17.statement",
        "statements",
        row("statements"),
        "UPDATE core.statement_balances SET told = told + 1 WHERE statement_id = :id",
        *OF_STATEMENT,
    ),
    Break("I17.match", "reconciliation_lines", MATCHED, drop("reconciliation_lines"), *ANY_LINE),
    Break(
        "I17.match",
        "reconciliation_lines",
        MATCHED,
        change("reconciliation_lines", "units = -units"),
        *ANY_LINE,
    ),
    Break("I17.break", "breaks", A_BREAK, change("breaks", "units = units + 1")),
    Break("I17.break", "breaks", A_BREAK, drop("breaks")),
    Break("I17.break", "breaks", A_BREAK, drop("reconciliation_lines", "break_id")),
    Break(
        "I17.break",
        "breaks",
        A_BREAK,
        "UPDATE core.break_resolutions SET approved_by = uuidv7(), approved_at = core.now(), "
        "entry_id = uuidv7(), transfer_id = uuidv7() "
        "WHERE tenant_id = :tenant AND break_id = :id",
    ),
    Break(
        "I17.waiting",
        "reconciliation_lines",
        "SELECT tenant_id, id FROM core.reconciliation_lines WHERE break_id IS NOT NULL LIMIT 1",
        change("reconciliation_lines", "break_id = NULL"),
    ),
    Break(
        "I12.scope",
        "trades",
        SETTLED,
        "UPDATE core.trades SET tenant_id = :other WHERE id = :id",
    ),
    *(
        Break("I12.book", "transfers", pick, change("transfers", f"{column} = uuidv7()"))
        for pick, column in (
            (FEE, "entry_id"),
            (FEE, "debit_account_id"),
            (FEE, "credit_account_id"),
            (of_trade("payment"), "pending_id"),
        )
    ),
    Break("I12.book", "transfers", FEE, change("transfers", "tenant_id = :other")),
    Break(
        "I12.source",
        "entries",
        row("entries", "source = 'operator'"),
        change("entries", "reference = 'nobody'"),
    ),
    Break(
        "I12.source",
        "transfers",
        row("transfers", "kind = 'expire'"),
        "UPDATE core.entries SET source = 'deposit' WHERE id = "
        "(SELECT entry_id FROM core.transfers WHERE id = :id)",
    ),
    Break(
        "I12.source",
        "transfers",
        row("transfers", "kind = 'expire'"),
        "UPDATE core.entries SET reference = 'x' WHERE id = "
        "(SELECT entry_id FROM core.transfers WHERE id = :id)",
    ),
    Break("I13.terms", "trades", SETTLED, change("trades", "quote_units = quote_units + 1")),
    Break("I13.terms", "trades", SETTLED, change("trades", "customer_id = NULL")),
    Break("I13.terms", "trades", SETTLED, change("quotes", "trade_id = uuidv7()", "trade_id")),
    Break(
        "I13.terms",
        "trades",
        SETTLED,
        change("quotes", "state = 'open', trade_id = NULL", "trade_id"),
    ),
    Break(
        "I13.time",
        "trades",
        SETTLED,
        "UPDATE core.trades SET accepted_at = q.expires_at FROM core.quotes AS q "
        "WHERE trades.id = :id AND q.trade_id = :id",
    ),
    Break("I13.postings", "transfers", FEE, change("transfers", "units = units + 1")),
    Break("I13.postings", "transfers", FEE, change("transfers", "purpose = 'tenant_markup'")),
    Break("I13.postings", "transfers", FEE, drop("transfers"), "trades SELECT :settled"),
    Break(
        "I13.postings",
        "transfers",
        FEE,
        "UPDATE core.transfers SET credit_account_id = a.id FROM core.accounts AS a "
        "WHERE a.tenant_id = :tenant AND a.kind = 'tenant_markup' AND a.asset = 'NGN' "
        "AND transfers.tenant_id = :tenant AND transfers.id = :id",
    ),
    Break(
        "I13.postings",
        "transfers",
        of_trade("slippage", "(SELECT trade_id FROM core.breaks LIMIT 1)"),
        change("transfers", "units = units - 1"),
    ),
    Break(
        "I13.postings",
        "transfers",
        FEE,
        "UPDATE core.entries SET reference = 'trade_x' WHERE id = "
        "(SELECT settlement_entry_id FROM core.trades WHERE id = :settled)",
    ),
    Break(
        "I13.postings",
        "transfers",
        of_trade("release", ":rejected"),
        "UPDATE core.trades SET state = 'settled' WHERE id = :rejected",
    ),
    Break(
        "I13.postings",
        "transfers",
        of_trade("hold"),
        "UPDATE core.trades SET hold_id = uuidv7() WHERE id = :settled",
    ),
    Break(
        "I13.clearing",
        "accounts",
        row("accounts", "kind = 'trade_clearing'"),
        change("accounts", "credits_posted = credits_posted + 1"),
    ),
    Break(
        "I13.clearing",
        "accounts",
        row("accounts", "kind = 'trade_clearing'"),
        change("accounts", "credits_pending = credits_pending + 1"),
    ),
    Break(
        "I13.clearing",
        "accounts",
        "SELECT a.tenant_id, a.id FROM core.accounts AS a JOIN core.trades AS t "
        "ON t.tenant_id = a.tenant_id WHERE t.id = :unknown AND a.kind = 'trade_clearing' "
        "AND a.asset = 'NGN'",
        "UPDATE core.trades SET state = 'rejected' WHERE id = :unknown",
    ),
    Break("I16.queue", "trades", UNKNOWN, drop("trade_queue", "trade_id")),
    Break(
        "I16.queue",
        "trades",
        SETTLED,
        "INSERT INTO core.trade_queue VALUES (:tenant, :id, core.now(), core.now())",
    ),
    Break(
        "I16.queue",
        "trade_queue",
        UNKNOWN,
        "DELETE FROM core.trades WHERE id = :id",
    ),
    Break(
        "I16.due",
        "trade_queue",
        UNKNOWN,
        change(
            "trade_queue",
            "due_at = core.now() - interval '61 s', leased_until = core.now() - interval '61 s'",
            "trade_id",
        ),
    ),
    *(
        Break("I16.looks", "attempts", LATE_CHECK.format(due), wrong, "attempts")
        for due, wrong in (
            ("IS NULL", change("late_checks", "looks = 0", "trade_id")),
            ("IS NOT NULL", drop("late_checks", "trade_id")),
            (
                "IS NOT NULL",
                change(
                    "late_checks",
                    "due_at = core.now() - interval '61 s', leased_until = '-infinity'",
                    "trade_id",
                ),
            ),
        )
    ),
    Break(
        "I16.looks",
        "late_checks",
        LATE_CHECK.format("IS NOT NULL"),
        drop("attempts", "trade_id"),
    ),
    Break(
        "I16.expired",
        "expiring_holds",
        EXPIRING,
        change("expiring_holds", "expires_at = core.now() - interval '61 s'", "transfer_id"),
    ),
    Break(
        "I20.trade",
        "transfers",
        A_MIRROR,
        change("transfers", "units = units + 1"),
        "entries SELECT entry_id FROM core.transfers WHERE id = :id",
    ),
    Break("I20.trade", "entries", HOUSE_ENTRY, drop("transfers", "entry_id"), "trades"),
    Break(
        "I20.trade",
        "entries",
        HOUSE_ENTRY,
        "UPDATE core.consumer_positions SET sequence = 0",
    ),
    Break(
        "I20.trade",
        "entries",
        HOUSE_ENTRY,
        "WITH again AS (INSERT INTO core.entries SELECT tenant_id, uuidv7(), source, reference, "
        "description, effective_at, recorded_at, transfer_ids FROM core.entries WHERE id = :id "
        "RETURNING id) "
        "INSERT INTO core.transfers SELECT tenant_id, uuidv7(), again.id, ordinal, kind, "
        "debit_account_id, credit_account_id, asset, units, pending_id, expires_at, purpose, "
        "debit_held, debit_version, debit_balance_after, credit_version, credit_balance_after, "
        "recorded_at FROM core.transfers, again WHERE entry_id = :id",
        "trades",
    ),
    *(
        Break("I20.inventory", "breaks", LATE_FILL, wrong)
        for wrong in (
            change("breaks", "units = units + 1"),
            change("breaks", "base_units = base_units + 1"),
            "UPDATE core.entries SET reference = 'nobody' WHERE source = 'break'",
            "UPDATE core.transfers SET debit_account_id = credit_account_id, "
            "credit_account_id = debit_account_id WHERE purpose = 'late_fill'",
            "UPDATE core.attempts SET lp = 'beta' WHERE trade_id = "
            "(SELECT trade_id FROM core.breaks WHERE id = :id) AND number = 1",
            "INSERT INTO core.entries SELECT tenant_id, uuidv7(), source, reference, description, "
            "effective_at, recorded_at, transfer_ids FROM core.entries WHERE source = 'break'",
        )
    ),
    *(
        Break("I20.inventory", "entries", INVENTORY_ENTRY, wrong)
        for wrong in (
            "DELETE FROM core.breaks WHERE kind = 'LATE_FILL'",
            "UPDATE core.consumer_positions SET sequence = 0",
        )
    ),
    Break(
        "I20.inventory",
        "transfers",
        INVENTORY_ENTRY,
        drop("transfers", "entry_id"),
        "breaks SELECT :late_fill",
    ),
    Break(
        "I20.sum",
        "transfers",
        A_MIRROR,
        change("transfers", "units = units + 1"),
        "accounts",
    ),
    Break(
        "I20.sum",
        "trades",
        SETTLED,
        "UPDATE core.transfers SET units = units + 5 WHERE purpose = 'platform_fee' AND entry_id = "
        "(SELECT settlement_entry_id FROM core.trades WHERE id = :id)",
        "accounts",
    ),
    Break("I21.waterfall", "trades", SETTLED, change("trades", "fee_units = fee_units + 1")),
    Break(
        "I21.waterfall",
        "trades",
        SETTLED,
        change("trades", "fee_units = -1, markup_units = markup_units + fee_units + 1"),
    ),
    Break(
        "I21.waterfall",
        "quotes",
        QUOTE_OF_SETTLED,
        change("quotes", "markup_units = markup_units + 1"),
    ),
    Break(
        "I21.answer",
        "quotes",
        QUOTE_OF_SETTLED,
        "UPDATE core.lp_answers SET quote_units = quote_units + 1 WHERE quote_id = :id "
        "AND verdict = 'used'",
    ),
    Break(
        "I21.answer",
        "quotes",
        QUOTE_OF_SETTLED,
        "UPDATE core.lp_answers SET verdict = 'used' WHERE quote_id = :id",
    ),
    Break("I10.page", "entries", CHAINED, drop("entries")),
    Break(
        "I10.page", "entries", CHAINED, f"UPDATE core.entry_pages SET recorded_at = now() {OF_IT}"
    ),
    Break(
        "I10.page",
        "entries",
        CHAINED,
        "INSERT INTO core.entry_pages (tenant_id, recorded_at, entry_ids) "
        "SELECT tenant_id, recorded_at, ARRAY[id] FROM core.entries WHERE id = :id",
    ),
    Break("I10.page", "entries", CHAINED, f"DELETE FROM core.entry_pages {OF_IT}"),
    Break("I10.place", "entry_pages", A_BOOK, f"DELETE FROM core.entry_pages {NOT_LAST}"),
    Break(
        "I10.place",
        "entry_pages",
        A_BOOK,
        f"UPDATE core.entry_pages SET first_position = first_position + 1000000 {NOT_LAST}",
    ),
    Break("I10.place", "chain_heads", A_BOOK, drop("chain_heads", "tenant_id")),
    Break("I10.place", "chain_heads", A_BOOK, change("chain_heads", "entries = 1", "tenant_id")),
    Break(
        "I10.place",
        "checkpoints",
        A_BOOK,
        "DELETE FROM core.checkpoints WHERE tenant_id = :tenant AND number = 1",
    ),
    *(
        Break("I10.leaf", "entries", CHAINED, statement)
        for statement in (
            drop("entries"),
            *(
                change("entries", what)
                for what in (
                    "source = 'break'",
                    "reference = reference || ' '",
                    "description = 'another'",
                    "effective_at = effective_at + interval '1 microsecond'",
                    "recorded_at = recorded_at + interval '1 microsecond'",
                )
            ),
            drop("transfers", "entry_id"),
            *(
                change("transfers", what, "entry_id")
                for what in (
                    "units = units + 1",
                    "asset = 'USD'",
                    "kind = 'expire'",
                    "purpose = purpose || 'x'",
                    "ordinal = ordinal + 1",
                    "pending_id = id",
                    "expires_at = now()",
                    "debit_account_id = credit_account_id",
                    "credit_account_id = debit_account_id",
                    "id = uuidv7()",
                )
            ),
            "INSERT INTO core.reversals VALUES (:tenant, uuidv7(), :id)",
            f"UPDATE core.entry_pages SET leaves = {FLIPPED} {OF_IT}",
        )
    ),
    Break(
        "I10.chain",
        "entry_pages",
        A_BOOK,
        f"UPDATE core.entry_pages SET hash_before = sha256('x') {NOT_LAST}",
    ),
    Break(
        "I10.chain", "chain_heads", A_BOOK, change("chain_heads", "hash = sha256('x')", "tenant_id")
    ),
    Break(
        "I10.chain",
        "chain_heads",
        A_BOOK,
        change("chain_heads", "peaks = sha256('x') || substr(peaks, 33)", "tenant_id"),
    ),
    *(
        Break("I10.checkpoint", "checkpoints", A_BOOK, change("checkpoints", what, "tenant_id"))
        for what in (
            "entries = entries + 1000",
            "chain_hash = sha256('x')",
            "root = sha256('x')",
            "previous = sha256('x')",
            "made_at = made_at + interval '1 microsecond'",
            "key_id = 'x'",
            "signature = set_byte(signature, 33, get_byte(signature, 33) # 1)",
        )
    ),
    *(
        Break("I10.close", "daily_closes", A_CLOSE, statement)
        for statement in (
            change("daily_closes", "content = content || ' '::bytea", "tenant_id"),
            change("daily_closes", "digest = sha256('x')", "tenant_id"),
            change(
                "daily_closes",
                "signature = set_byte(signature, 33, get_byte(signature, 33) # 1)",
                "tenant_id",
            ),
            change("daily_closes", "key_id = NULL, signature = NULL", "tenant_id"),
            change("daily_closes", "key_id = 'x'", "tenant_id"),
            change("daily_closes", "day = day + 1", "tenant_id") + " AND " + LAST_DAY,
            # Nobody signed it, so only what it says can tell.
            "UPDATE core.daily_closes AS c SET content = n.content, digest = sha256(n.content), "
            "key_id = NULL, signature = NULL FROM (SELECT day, convert_to(replace(replace("
            "convert_from(content, 'UTF8'), key_id, ''), '\"opening\":\"0.00\"', "
            "'\"opening\":\"0.01\"'), 'UTF8') AS content FROM core.daily_closes "
            "WHERE tenant_id = :tenant) AS n "
            f"WHERE tenant_id = :tenant AND c.day = n.day AND c.{LAST_DAY}",
        )
    ),
    *(
        Break("I25.sheet", "liability_sheets", A_SHEET, statement)
        for statement in (
            *(
                change("liability_sheets", what, "tenant_id")
                for what in (
                    "as_of = as_of + interval '1 microsecond'",
                    "checkpoint = checkpoint + 1000",
                    "customers = customers + 1",
                    "total = total + 1",
                    "root = sha256('x')",
                    "key_id = 'x'",
                    "secret = sha256('x')",
                    "signature = set_byte(signature, 33, get_byte(signature, 33) # 1)",
                )
            ),
            *(
                change("liability_blocks", what, "tenant_id")
                for what in (
                    "block = block + 1",
                    "first_customer = first_customer || 'x'",
                    "customers[1] = customers[1] || 'x'",
                    "customers = customers || customers[1], units = units || 0::numeric",
                    "units[1] = units[1] + 1",
                    "units[1] = -1",
                    "root = sha256('x')",
                    "total = total + 1",
                )
            ),
            drop("liability_blocks", "tenant_id"),
        )
    ),
    Break(
        "I25.total",
        "liability_sheets",
        A_SHEET,
        "UPDATE core.accounts SET credits_posted = credits_posted + 1 "
        "WHERE tenant_id = :id AND kind = 'customer'",
    ),
    Break(
        "I25.total",
        "liability_sheets",
        A_SHEET,
        "DELETE FROM core.accounts WHERE tenant_id = :id AND kind = 'customer'",
    ),
    *(
        Break("I20.settlement", "lp_settlements", A_PAYMENT, statement)
        for statement in (
            change("lp_settlements", "state = 'canceled'"),
            change("lp_settlements", "lp = lp || 'x'"),
            change("lp_settlements", "rail = rail || 'x'"),
            change("lp_settlement_legs", "units = units + 1", "settlement_id"),
            change("lp_settlement_legs", "units = -units", "settlement_id"),
            change("lp_settlement_legs", "entry_id = NULL", "settlement_id"),
            change("lp_settlement_legs", "entry_id = uuidv7()", "settlement_id"),
            drop("lp_settlement_legs", "settlement_id"),
        )
    ),
    Break(
        "I20.settlement",
        "lp_settlements",
        row("lp_settlements", "state = 'approved'"),
        change("lp_settlements", "state = 'settled'"),
    ),
    *(
        Break("I20.agreed", "lp_settlements", A_PAYMENT, change("lp_settlements", what))
        for what in ("approved_by = proposed_by", "approved_by = NULL")
    ),
    Break(
        "I20.agreed",
        "lp_settlements",
        row("lp_settlements", "reference = 'PAY-1'"),
        change("lp_settlements", "as_of = as_of - interval '1 hour'"),
    ),
    *(
        Break("I26.receipt", "receipts", A_RECEIPT, statement)
        for statement in (
            *(
                change("receipts", what, "trade_id")
                for what in (
                    "content = content || ' '::bytea",
                    "evidence = evidence || ' '::bytea",
                    "key_id = 'x'",
                    "signature = set_byte(signature, 33, get_byte(signature, 33) # 1)",
                )
            ),
            *(
                change("trades", what)
                for what in (
                    "base_units = base_units + 1",
                    "side = 'sell'",
                    "state = 'rejected'",
                    "ended_at = NULL",
                    "ended_at = ended_at + interval '1 microsecond'",
                    "settlement_entry_id = hold_entry_id",
                )
            ),
        )
    ),
    Break(
        "I26.made",
        "receipts",
        A_RECEIPT,
        drop("receipts", "trade_id"),
        "outbox SELECT id FROM core.outbox WHERE type = 'trade.settled' AND subject = "
        + typeid(TradeId, ":settled"),
    ),
    Break(
        "I24.burned",
        "transfers",
        FEE,
        "INSERT INTO core.burned_ids VALUES (:tenant, :id, 'INSUFFICIENT_FUNDS', core.now())",
    ),
]


@dataclass(frozen=True)
class OpenBooks(AuditableBooks):
    """What a transaction sees that will be rolled back."""

    connection: Any

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[BooksSnapshot]:
        yield await open_snapshot(self.connection)


async def report_of(books: AuditedBooks, connection: Any) -> Report:
    async with aiohttp.ClientSession() as session:
        venues = [SandboxVenueBook(name, url, session) for name, url in books.venue_books.items()]
        return await AuditBooks(OpenBooks(connection), venues, SystemClock())(Unwatched())


async def finding_of(books: AuditedBooks, connection: Any, check: str) -> Finding:
    """Ask one probe only, or the venues."""
    if check in {check.id for check in VENUE_CHECKS}:
        return (await report_of(books, connection))[check]
    snapshot = await open_snapshot(connection)
    (probe,) = [p for p in snapshot.probes if check in {c.id for c in p.checks}]
    return next(f for f in await snapshot.examine(probe) if f.check.id == check)


def filled_in(sql: str, books: AuditedBooks, **values: UUID) -> str:
    values |= {
        "settled": books.settled,
        "rejected": books.rejected,
        "failed_over": books.failed_over,
        "unknown": books.unknown,
        "late_fill": books.late_fill,
        "house": books.platform.environment.house_id.uuid,
        "other": books.other_tenant_id,
    }
    return re.sub(r"(?<!:):([a-z_]+)\b", lambda m: f"'{values[m[1]]}'::uuid", sql)


@asynccontextmanager
async def unguarded(owner: Any) -> AsyncIterator[None]:
    """A transaction in which rows can be broken, and that never was."""
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute("SET LOCAL session_replication_role = replica")
        yield
    finally:
        await transaction.rollback()


async def test_books_that_nobody_broke_are_clean(books: AuditedBooks) -> None:
    report = await audit(books.url, books.venue_books)

    assert report.is_clean, [v for f in report.findings for v in f.violations]
    assert {finding.check.id for finding in report.findings} == CHECKS
    assert {finding.note for finding in report.findings} == {""}
    looked_at_nothing = {f.check.id for f in report.findings if not f.looked_at}
    assert not looked_at_nothing, "a check that sees no row proves nothing"


def test_every_check_is_broken_by_some_test() -> None:
    assert {b.check for b in BREAKS} == CHECKS


@pytest.mark.parametrize("broken", BREAKS, ids=str)
async def test_whoever_breaks_a_row_is_found(
    books: AuditedBooks, owner: Any, broken: Break
) -> None:
    async with unguarded(owner):
        if broken.needs:
            await owner.execute(broken.needs)
        picked = await owner.fetchrow(filled_in(broken.pick, books))
        values = {"tenant": picked["tenant_id"], "id": picked["id"]}
        table, _, named = broken.names.partition(" SELECT ")
        named_id = values["id"]
        if named:
            named_id = await owner.fetchval(filled_in(f"SELECT {named}", books, **values))
        await owner.execute(filled_in(broken.change, books, **values))
        if named and "max(" in named:
            named_id = await owner.fetchval(filled_in(f"SELECT {named}", books, **values))

        finding = await finding_of(books, owner, broken.check)

    assert finding.broken
    assert len(finding.violations) == min(finding.broken, SHOWN)
    table = table or broken.table
    if not broken.names or named:
        kind = ID_OF[table]
        assert any(
            v.table == table and v.id.startswith(str(kind(named_id))) for v in finding.violations
        ), finding.violations
    assert any(v.table == table for v in finding.violations), finding.violations
    assert all(v.expected and v.found != v.expected for v in finding.violations)


@pytest.mark.parametrize("kind", ["FILL_BEYOND_TOLERANCE", "LATE_FILL"])
async def test_only_a_late_fill_explains_an_execution_that_nobody_settled(
    books: AuditedBooks, owner: Any, kind: str
) -> None:
    async with unguarded(owner):
        fill = await owner.fetchrow(
            "SELECT * FROM core.attempts WHERE trade_id = $1 AND state = 'filled'", books.settled
        )
        await owner.execute(
            "UPDATE core.attempts SET state = 'absent', filled_units = NULL, venue_order_id = '' "
            "WHERE trade_id = $1",
            books.settled,
        )
        await owner.execute(
            "INSERT INTO core.breaks SELECT tenant_id, uuidv7(), $2, id, 'NGN', $3, '', "
            "core.now(), 1, $4, base_units FROM core.trades WHERE id = $1",
            books.settled,
            kind,
            fill["filled_units"],
            fill["venue_order_id"],
        )

        finding = await finding_of(books, owner, "I5.execution")

    assert finding.broken == (kind != "LATE_FILL")


async def test_many_violations_are_all_counted_and_the_first_are_named(
    books: AuditedBooks, owner: Any
) -> None:
    async with unguarded(owner):
        await owner.execute("UPDATE core.transfers SET units = -units")
        count = await owner.fetchval("SELECT count(*) FROM core.transfers")

        finding = await finding_of(books, owner, "I1.balanced")

    assert finding.broken == count > SHOWN == len(finding.violations)


async def test_what_the_house_has_not_seen_yet_is_no_difference(
    books: AuditedBooks, owner: Any
) -> None:
    async with unguarded(owner):
        await owner.execute("UPDATE core.consumer_positions SET sequence = 0")
        await owner.execute(
            "DELETE FROM core.transfers WHERE tenant_id = $1",
            books.platform.environment.house_id.uuid,
        )

        assert (await finding_of(books, owner, "I20.trade")).broken == 0
        assert (await finding_of(books, owner, "I20.sum")).broken == 0


async def test_venues_that_were_not_asked_are_said_to_be(books: AuditedBooks) -> None:
    alpha = {"alpha": books.platform.alpha.admin_url}

    assert (await audit(books.url))["I5.fill"].note == "not asked: alpha, beta"
    assert (await audit(books.url, alpha))["I5.execution"].note == "not asked: beta"


async def test_the_command_says_by_its_code_what_it_found(
    books: AuditedBooks, owner: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(url: str, **venue_books: str) -> int:
        return await asyncio.to_thread(command, url, venue_books, as_json=True)

    assert await run(books.url, **books.venue_books) == CLEAN
    assert json.loads(capsys.readouterr().out)["clean"]

    await owner.execute("UPDATE core.tenants SET version = version")
    await owner.execute("UPDATE core.event_heads SET last = last + 1")
    try:
        assert await run(books.url) == BROKEN
        document = json.loads(capsys.readouterr().out)
        (broken,) = [check for check in document["checks"] if check["broken"]]
        assert broken["id"] == "I11.sequence"
        assert broken["violations"][0]["id"].startswith("tenant_")
        assert await asyncio.to_thread(command, books.url, {}, as_json=False) == BROKEN
        assert "event_heads tenant_" in capsys.readouterr().out
    finally:
        await owner.execute("UPDATE core.event_heads SET last = last - 1")

    for url, venue_books, reason in (
        (role_url(books.url, APP_ROLE), {}, "must be able to read all tenants"),
        (books.url.replace("/audited", "/postgres"), {}, "was never migrated"),
        (books.url.replace("/audited", "/nowhere"), {}, "cannot be reached"),
        (books.url, {"alpha": "http://127.0.0.1:1"}, "the book of alpha cannot be read"),
        (books.url, {"alpha": books.platform.alpha.url}, "the book of alpha cannot be read"),
    ):
        assert await run(url, **venue_books) == IMPOSSIBLE
        captured = capsys.readouterr()
        assert reason in captured.err
        assert captured.out == ""
        with pytest.raises(AuditImpossible, match=reason):
            await audit(url, venue_books)


async def test_ids_are_written_as_the_domain_writes_them(owner: Any) -> None:
    ids = [UUID(int=0), UUID(int=2**128 - 1), *(UUID(int=secrets.randbits(128)) for _ in range(50))]

    written = await owner.fetch(
        f"SELECT {typeid(TradeId, 'id')} AS name FROM unnest($1::uuid[]) AS u (id)", ids
    )

    assert [row["name"] for row in written] == [str(TradeId(id)) for id in ids]


def test_the_consumers_are_those_that_there_are() -> None:
    assert {consumer for consumer, _ in NOTED} == {CONSUMER}
    assert {type for _, type in NOTED} == NOTED_TYPES


def test_every_rpc_with_a_request_id_is_known() -> None:
    with_request_id = {rpc.name for rpc in RPCS if "request_id" in rpc.request_fields}

    assert MAKES.keys() | CHANGES.keys() == with_request_id
    assert not MAKES.keys() & CHANGES.keys()


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("slippage", ["0.00", "12.34", "-12.34"])
@pytest.mark.parametrize(("fee_bps", "markup_bps"), [(25, 75), (0, 75), (25, 0), (0, 0)])
def test_the_rules_say_what_the_domain_settles(
    side: Side, slippage: str, fee_bps: int, markup_bps: int
) -> None:
    terms = some_terms(side, fee_bps=fee_bps, markup_bps=markup_bps)
    trade = a_sent_trade(a_quote(side=side, terms=terms))
    fill = a_fill(trade, quote=trade.waterfall.lp + ngn(slippage))
    trade = trade.conclude(fill, actor="test", now=trade.accepted_at)
    sign = -1 if side is Side.BUY else 1
    units = {
        "base_units": trade.base_amount.units,
        "quote_units": trade.quote_amount.units,
        "lp_units": trade.waterfall.lp.units,
        "fee_units": trade.waterfall.fee.units,
        "markup_units": trade.waterfall.markup.units,
        "gain": sign * ngn(slippage).units,
        "loss": -sign * ngn(slippage).units,
    }

    ruled = [
        (rule.debit, rule.credit, rule.asset == "base_asset", units[rule.part], rule.purpose)
        for rule in rules()
        if rule.side == side and rule.entry == "settlement" and units[rule.part] > 0
    ]

    assert ruled == [
        (
            movement.debit.replace("clearing", "trade_clearing"),
            movement.credit.replace("clearing", "trade_clearing"),
            movement.amount.asset == trade.base_amount.asset,
            movement.amount.units,
            movement.purpose,
        )
        for movement in settlement(trade)
    ]


async def test_a_hundred_thousand_transfers_are_audited_in_one_go(
    postgres_server: PostgresServer,
) -> None:
    url = await a_database(postgres_server.url, "audited_at_scale")
    connection = await asyncpg.connect(url)
    try:
        await write_bulk(connection, trades=TRADES_AT_SCALE)
    finally:
        await connection.close()
    await chain_database(role_url(url, WORK_ROLE))

    report = await audit(url)

    assert report.is_clean, [v for f in report.findings for v in f.violations]
    assert report["I1.balanced"].looked_at >= TRADES_AT_SCALE * TRANSFERS_PER_TRADE
    assert report.seconds < 60, "something is slower than linear"
