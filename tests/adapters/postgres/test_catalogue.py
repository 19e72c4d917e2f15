"""The live schema keeps its own rules: each lint is asked of the catalogue, and each can fail."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import asyncpg
import pytest

from app.database_url import WORK_ROLE, role_url
from app.stack.postgres import PostgresServer
from app.worker.partition_maker import MONTHS_AHEAD
from domain.dead_letter import DeadLetterState
from domain.ledger.account import AccountKind
from domain.ledger.entry import EntrySource
from domain.ledger.transfer import RESOLVING, TransferKind
from domain.liquidity.circuit import CircuitState
from domain.liquidity.lp_settlement import LpSettlementState
from domain.quote.quote import LpVerdict, QuoteState
from domain.reconciliation.matching import LineSide, MatchRule
from domain.reconciliation.resolution import ResolutionKind
from domain.reconciliation.statement import LineKind, SourceKind, StatementFormat
from domain.routing import RoutingRule
from domain.side import Side
from domain.tenant.api_key import Scope
from domain.tenant.customer import CustomerState
from domain.tenant.rate_limit import CostClass
from domain.tenant.request_signing import SignatureAlgorithm
from domain.tenant.tenant import TenantState
from domain.trade.attempt import AttemptState
from domain.trade.resolution import ResolutionVerdict
from domain.trade.trade import TradeState
from domain.trading_state import TradedKind, TradingState
from domain.webhook.delivery import DeliveryState, Failure
from domain.webhook.endpoint import DisabledReason, EndpointState
from tests.support.audit import (
    REFERENCE_TABLES,
    WITHOUT_TENANT,
    WORK_TABLES,
    partitions,
    tenant_tables,
)
from tests.support.stack import a_database

Connection = Any
Lint = Callable[[Connection], Awaitable[list[str]]]

RUNTIME: Final = ["reli_app", "reli_work"]
OUR_ROLES: Final = [*RUNTIME, "reli_directory", "reli_owner"]

SCOPED: Final = "(tenant_id = (current_setting('app.tenant_id'::text))::uuid)"
TENANT_POLICY: Final = ("tenant", "PERMISSIVE", "reli_app,reli_work", "ALL", SCOPED, SCOPED)
OTHER_POLICIES: Final = {
    "account_lines": ("lister", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    "unlisted_lines": ("lister", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    "trade_queue": ("queue", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    "late_checks": ("queue", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    "expiring_holds": ("queue", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    "outbox": ("relay", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    **dict.fromkeys(
        ("entry_pages", "chain_heads", "chain_tiles", "checkpoints"),
        ("chainer", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    ),
    **dict.fromkeys(
        ("audit_records", "audit_heads"),
        ("numberer", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    ),
    "liability_heads": ("keeper", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    "event_heads": ("sequencer", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    **dict.fromkeys(
        ("webhook_queues", "webhook_deliveries", "webhook_attempts"),
        ("queue", "PERMISSIVE", "reli_work", "ALL", "true", "true"),
    ),
    "webhook_endpoints": ("queue", "PERMISSIVE", "reli_work", "SELECT", "true", None),
    **dict.fromkeys(
        ("api_keys", "tenants", "trades"),
        ("directory", "PERMISSIVE", "reli_directory", "SELECT", "true", None),
    ),
}
"""What may be asked across tenants, and by whom."""

UNIQUE_ACROSS_TENANTS: Final = {
    "tenants_slug_key": "a slug names a tenant to the whole world; only the operator sets one",
}

DEFINER_FUNCTIONS: Final = {
    "find_api_key",
    "list_stuck_trades",
    "list_tenants",
    "make_partitions",
}
PINNED_PATH: Final = "search_path=pg_catalog, pg_temp"

DIRECTORY_MAY_READ: Final = {
    *((table, "*") for table in ("api_keys", "tenants", "environment")),
    *(("trades", column) for column in ("tenant_id", "id", "unknown_since")),
}

MAY_DELETE: Final = {
    (role, queue)
    for role in RUNTIME
    for queue in ("trade_queue", "expiring_holds", "unlisted_lines")
} | {
    *(("reli_work", table) for table in ("liability_sheets", "liability_blocks")),
    *((role, "lp_tallies") for role in RUNTIME),
    ("reli_app", "seen_nonces"),
    *(("reli_work", table) for table in ("webhook_deliveries", "webhook_attempts")),
}
"""A queue's row is gone once its work is done, a sheet once there are enough newer ones, a tally,
a nonce or what was delivered once it is old; nothing else ever goes."""

MAY_UPDATE: Final = {
    *((role, table, "*") for role in RUNTIME for table in ("tenants", "customers", "api_keys")),
    *((role, table, "*") for role in RUNTIME for table in ("accounts", "quotes", "trades")),
    ("reli_app", "rate_buckets", "*"),
    ("reli_app", "request_signing_keys", "revoked_at"),
    *((role, table, "*") for role in RUNTIME for table in ("attempts", "trade_queue")),
    # Nobody changes one; whoever locks a row must be able to.
    *((role, "unlisted_lines", "transfers") for role in RUNTIME),
    *((role, "account_lines", "newest_first") for role in RUNTIME),
    ("reli_app", "seen_nonces", "seen_at"),
    *(
        ("reli_work", "late_checks", column)
        for column in ("due_at", "looks", "unanswered", "leased_until", "token")
    ),
    *((role, table, "*") for role in RUNTIME for table in ("lps", "lp_tallies")),
    ("reli_app", "instruments", "trading_state"),
    *(("reli_app", "trade_resolutions", f"approved_{what}") for what in ("by", "at")),
    *(("reli_app", "break_resolutions", f"approved_{what}") for what in ("by", "at")),
    *(("reli_app", "break_resolutions", f"{what}_id") for what in ("entry", "transfer")),
    *(("reli_app", "breaks", column) for column in ("owner", "note")),
    *(
        ("reli_app", "lp_settlements", column)
        for column in (
            *("state", "approved_by", "approved_at", "reference", "evidence"),
            *("ended_by", "ended_at"),
        )
    ),
    ("reli_app", "lp_settlement_legs", "entry_id"),
    *((role, "reconciled_accounts", "version") for role in RUNTIME),
    *(
        (role, "reconciliation_lines", column)
        for role in RUNTIME
        for column in ("match_id", "match_rule", "break_id")
    ),
    *(
        ("reli_app", "dead_letters", column)
        for column in ("state", "replay_requested_by", "replay_requested_at")
    ),
    *(("reli_work", table, "sequence") for table in ("outbox", "audit_records")),
    *(
        ("reli_work", "entry_pages", column)
        for column in ("first_position", "leaves", "hash_before")
    ),
    *(
        ("reli_work", "chain_heads", column)
        for column in (
            "entries",
            "hash",
            "peaks",
            "checkpoints",
            "checkpointed",
            "checkpointed_at",
        )
    ),
    ("reli_work", "chain_tiles", "hashes"),
    *(("reli_work", "liability_heads", column) for column in ("checkpoint", "looked_at")),
    *(("reli_app", table, "*") for table in ("webhook_endpoints", "webhook_queues")),
    *(
        ("reli_work", "webhook_endpoints", column)
        for column in ("state", "disabled_reason", "version")
    ),
    ("reli_work", "webhook_queues", "*"),
    *(
        ("reli_app", "webhook_deliveries", column)
        for column in ("state", "due_at", "expires_at", "failures", "ended_at")
    ),
    *(
        ("reli_work", "webhook_deliveries", column)
        for column in ("state", "due_at", "attempts", "failures", "ended_at")
    ),
    *(
        ("reli_work", table, "*")
        for table in ("audit_heads", "event_heads", "dead_letters", *WORK_TABLES)
    ),
}
"""Every other row is never changed once it is written."""

STORED: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(values)
    for name, values in {
        "accounts.kind": AccountKind,
        "api_keys.scopes": Scope,
        "attempts.state": AttemptState,
        "break_resolutions.kind": ResolutionKind,
        "breaks.source_kind": SourceKind,
        "customers.state": CustomerState,
        "dead_letters.state": DeadLetterState,
        "entries.source": EntrySource,
        "environment.name": ("sandbox", "live"),
        "instruments.trading_state": TradingState,
        "lp_answers.verdict": LpVerdict,
        "lps.circuit_state": CircuitState,
        "lps.trading_state": TradingState,
        "lp_settlements.state": LpSettlementState,
        "rate_buckets.cost_class": CostClass,
        "request_signing_keys.algorithm": SignatureAlgorithm,
        # Expired is how an open quote reads, not what is stored.
        "quotes.state": set(QuoteState) - {QuoteState.EXPIRED},
        "quotes.routing": RoutingRule,
        "quotes.side": Side,
        "reconciled_accounts.source_kind": SourceKind,
        "reconciliation_lines.kind": LineKind,
        "reconciliation_lines.match_rule": MatchRule,
        "reconciliation_lines.side": LineSide,
        "reconciliation_lines.source_kind": SourceKind,
        "resolutions.kind": RESOLVING,
        "statements.format": StatementFormat,
        "statements.source_kind": SourceKind,
        "tenants.state": TenantState,
        "tenants.trading_state": TradingState,
        "trade_resolutions.verdict": ResolutionVerdict,
        "trades.side": Side,
        "trades.source": ("quote",),
        "trades.state": TradeState,
        "trading_state_changes.from_state": TradingState,
        "trading_state_changes.kind": TradedKind,
        "trading_state_changes.to_state": TradingState,
        "transfers.kind": TransferKind,
        "webhook_attempts.failure": Failure,
        "webhook_deliveries.state": DeliveryState,
        "webhook_endpoints.disabled_reason": DisabledReason,
        "webhook_endpoints.state": EndpointState,
    }.items()
}

# A column that is allowed a list of words is checked by exactly one constraint on it alone.
_WORDS: Final = """
SELECT c.relname || '.' || a.attname AS name, pg_get_constraintdef(k.oid) AS text
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
WHERE k.contype = 'c' AND c.relnamespace = 'core'::regnamespace AND NOT c.relispartition
    AND cardinality(k.conkey) = 1 AND a.atttypid IN ('text'::regtype, 'text[]'::regtype)
    AND pg_get_constraintdef(k.oid) ~ '(= ANY|<@|= ''[a-z0-9_]+''::text)'
    AND k.conname NOT IN ('sandbox_deposits_environment_check')
"""


async def tables_without_forced_row_security(db: Connection) -> list[str]:
    return await _names(
        db,
        """SELECT relname FROM pg_class
        WHERE relnamespace = 'core'::regnamespace AND relkind IN ('r', 'p')
            AND relname <> ALL ($1) AND NOT (relrowsecurity AND relforcerowsecurity)""",
        list(WITHOUT_TENANT),
    )


async def tables_without_exactly_their_policies(db: Connection) -> list[str]:
    rows = await db.fetch(
        """SELECT tablename, policyname, permissive, array_to_string(roles, ',') AS roles, cmd,
            qual, with_check
        FROM pg_policies WHERE schemaname = 'core'"""
    )
    found: dict[str, set[tuple[str | None, ...]]] = {}
    for table, *policy in map(tuple, rows):
        found.setdefault(table, set()).add(tuple(policy))
    expected = {
        table: {TENANT_POLICY} | ({OTHER_POLICIES[table]} if table in OTHER_POLICIES else set())
        for table in await tenant_tables(db)
    }
    return sorted(t for t in found.keys() | expected.keys() if found.get(t) != expected.get(t))


async def partitions_that_can_be_reached(db: Connection) -> list[str]:
    return await _names(
        db,
        """SELECT c.relname || ' by ' || g.grantee::regrole FROM pg_class AS c,
            aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS g
        WHERE c.relnamespace = 'core'::regnamespace AND c.relispartition AND c.relkind = 'r'
            AND g.grantee <> c.relowner""",
    )


async def tables_without_a_tenant(db: Connection) -> list[str]:
    return await _names(
        db,
        """SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = 'core'::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relname <> ALL ($1) AND NOT EXISTS (
                SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid
                    AND a.attname = 'tenant_id' AND a.atttypid = 'uuid'::regtype
                    AND a.attnotnull)""",
        list(WITHOUT_TENANT),
    )


async def keys_not_led_by_the_tenant(db: Connection) -> list[str]:
    """Primary keys, unique indexes of any origin, and both sides of foreign keys."""
    return await _names(
        db,
        """SELECT i.indexrelid::regclass::text FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indrelid
        LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
        WHERE i.indisunique AND c.relnamespace = 'core'::regnamespace AND c.relname <> ALL ($1)
            AND a.attname IS DISTINCT FROM 'tenant_id'
            AND NOT EXISTS (SELECT FROM pg_constraint AS k
                WHERE k.conindid = i.indexrelid AND k.conname = ANY ($2))
        UNION ALL
        SELECT c.relname || '.' || k.conname FROM pg_constraint AS k
        JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_class AS f ON f.oid = k.confrelid
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
        JOIN pg_attribute AS b ON b.attrelid = f.oid AND b.attnum = k.confkey[1]
        WHERE k.contype = 'f' AND c.relnamespace = 'core'::regnamespace
            AND f.relname <> ALL ($1)
            AND NOT (a.attname = 'tenant_id' AND b.attname = 'tenant_id')""",
        list(WITHOUT_TENANT),
        list(UNIQUE_ACROSS_TENANTS),
    )


async def tables_of_which_a_tenant_seems_to_have_few_rows(db: Connection) -> list[str]:
    return await _names(
        db,
        """SELECT c.relname FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relnamespace = 'core'::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT coalesce(a.attoptions, '{}') @> ARRAY['n_distinct=-0.01']""",
    )


async def views_that_see_as_their_owner(db: Connection) -> list[str]:
    return await _names(
        db,
        """SELECT relname FROM pg_class
        WHERE relnamespace = 'core'::regnamespace AND (relkind = 'm' OR (relkind = 'v'
            AND NOT coalesce(reloptions, '{}') && ARRAY['security_invoker=true',
                'security_invoker=on', 'security_invoker=1']))""",
    )


async def functions_with_more_rights_than_allowed(db: Connection) -> list[str]:
    rows = await db.fetch(
        """SELECT p.proname AS name, coalesce(p.proconfig, '{}') AS config, EXISTS (
                SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS g
                WHERE g.grantee = 0) AS is_public
        FROM pg_proc AS p WHERE p.pronamespace = 'core'::regnamespace AND p.prosecdef"""
    )
    return [
        *(DEFINER_FUNCTIONS ^ {row["name"] for row in rows}),
        *(row["name"] for row in rows if row["is_public"] or row["config"] != [PINNED_PATH]),
    ]


async def things_of_a_superuser(db: Connection) -> list[str]:
    return await _names(
        db,
        """SELECT thing FROM (
            SELECT relname::text, relowner FROM pg_class
                WHERE relnamespace = 'core'::regnamespace
            UNION ALL SELECT proname, proowner FROM pg_proc
                WHERE pronamespace = 'core'::regnamespace
            UNION ALL SELECT typname, typowner FROM pg_type
                WHERE typnamespace = 'core'::regnamespace
            UNION ALL SELECT nspname, nspowner FROM pg_namespace WHERE nspname = 'core'
        ) AS t (thing, owner) JOIN pg_roles AS r ON r.oid = owner
        WHERE r.rolsuper OR r.rolbypassrls""",
    )


async def roles_that_can_do_too_much(db: Connection) -> list[str]:
    return await _names(
        db,
        """SELECT rolname || ' has an attribute' FROM pg_roles
        WHERE rolname = ANY ($1) AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb
            OR rolreplication OR rolinherit)
        UNION ALL
        SELECT member::regrole || ' is a member of ' || roleid::regrole FROM pg_auth_members
        WHERE member::regrole::text = ANY ($2) OR member::regrole::text = 'reli_directory'
        UNION ALL
        SELECT refobjid::regrole || ' owns ' || classid::regclass || ' ' || objid
        FROM pg_shdepend WHERE deptype = 'o' AND refclassid = 'pg_authid'::regclass
            AND refobjid::regrole::text = ANY ($2)
        UNION ALL
        SELECT role || ' may create in core' FROM unnest($1::text[]) AS role
        WHERE role <> 'reli_owner' AND has_schema_privilege(role, 'core', 'CREATE')""",
        OUR_ROLES,
        RUNTIME,
    )


async def grants_beyond_what_is_needed(db: Connection) -> list[str]:
    """Whatever a role other than the owner may do to a table, besides reading and adding."""
    rows = await db.fetch(
        """SELECT g.grantee::regrole::text AS role, c.relname AS table, '*' AS column,
            g.privilege_type AS right
        FROM pg_class AS c, aclexplode(c.relacl) AS g
        WHERE c.relnamespace = 'core'::regnamespace AND g.grantee <> c.relowner
        UNION ALL
        SELECT g.grantee::regrole::text, c.relname, a.attname, g.privilege_type
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid,
            aclexplode(a.attacl) AS g
        WHERE c.relnamespace = 'core'::regnamespace AND g.grantee <> c.relowner"""
    )
    return [
        f"{row['role']} may {row['right']} {row['table']}.{row['column']}"
        for row in rows
        if not _is_allowed(row["role"], row["table"], row["column"], row["right"])
    ]


def _is_allowed(role: str, table: str, column: str, right: str) -> bool:
    if role == "reli_directory":
        return right == "SELECT" and (table, column) in DIRECTORY_MAY_READ
    if role not in RUNTIME or (table in WORK_TABLES and role != "reli_work"):
        return False
    match right:
        case "SELECT":
            return True
        case "INSERT":
            return table not in {*REFERENCE_TABLES, "leases"}
        case "UPDATE":
            return (role, table, column) in MAY_UPDATE
        case "DELETE":
            return (role, table) in MAY_DELETE
    return False


async def columns_that_row_security_makes_slow(db: Connection) -> list[str]:
    """Neither enums nor numerics compare leakproof, so an index on them would be of no use."""
    return await _names(
        db,
        """SELECT c.relname || '.' || a.attname FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE c.relnamespace = 'core'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
            AND (t.typtype = 'e' OR (c.relkind IN ('i', 'I') AND t.oid = 'numeric'::regtype))""",
    )


async def defaults_taken_from_a_setting(db: Connection) -> list[str]:
    return await _names(
        db,
        """SELECT d.adrelid::regclass || '.' || a.attname FROM pg_attrdef AS d
        JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        JOIN pg_class AS c ON c.oid = d.adrelid
        WHERE c.relnamespace = 'core'::regnamespace
            AND pg_get_expr(d.adbin, d.adrelid) ~ 'current_setting'""",
    )


async def sequences(db: Connection) -> list[str]:
    """Row security knows none, so one would tell every tenant how much all of them do."""
    return await _names(
        db,
        """SELECT relname FROM pg_class
        WHERE relnamespace = 'core'::regnamespace AND relkind = 'S'""",
    )


async def words_that_the_domain_does_not_share(db: Connection) -> list[str]:
    found: dict[str, frozenset[str]] = {}
    for row in await db.fetch(_WORDS):
        # Every word of such a constraint stands in quotes.
        found[row["name"]] = frozenset(row["text"].split("'")[1::2])
    return sorted(
        name for name in found.keys() | STORED.keys() if found.get(name) != STORED.get(name)
    )


async def indexes_without_a_reason(db: Connection) -> list[str]:
    """Every index costs each write something, so each but a key's own says what it is for."""
    return await _names(
        db,
        """SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'core'::regnamespace AND NOT c.relispartition
            AND obj_description(c.oid, 'pg_class') IS NULL
            AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid)
            AND c.relname NOT LIKE 'alembic%'""",
    )


async def months_without_a_partition(db: Connection) -> list[str]:
    rows = await db.fetch(
        """SELECT i.inhparent::regclass::text AS parent,
            pg_get_expr(c.relpartbound, c.oid) AS bounds
        FROM pg_partitioned_table AS p JOIN pg_inherits AS i ON i.inhparent = p.partrelid
        JOIN pg_class AS c ON c.oid = i.inhrelid"""
    )
    found = {(row["parent"], row["bounds"]) for row in rows}
    parents = await _names(db, "SELECT partrelid::regclass::text FROM pg_partitioned_table")
    now = await db.fetchval("SELECT core.now()")
    return [
        f"{parent} {start:%Y-%m}"
        for parent in parents
        for start, end in _months(now, 1 + MONTHS_AHEAD)
        if (parent, f"FOR VALUES FROM ('{_lowest(start)}') TO ('{_lowest(end)}')") not in found
    ]


def _months(now: datetime, count: int) -> list[tuple[datetime, datetime]]:
    first = now.year * 12 + now.month - 1
    starts = [datetime(n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(first, first + count + 1)]
    return list(pairwise(starts))


def _lowest(instant: datetime) -> str:
    """Return the lowest UUID whose first 48 bits are that instant in milliseconds."""
    digits = f"{int(instant.timestamp() * 1000):012x}" + "0" * 20
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


LINTS: Final[Mapping[str, Lint]] = {
    lint.__name__: lint
    for lint in (
        tables_without_forced_row_security,
        tables_without_exactly_their_policies,
        partitions_that_can_be_reached,
        tables_without_a_tenant,
        keys_not_led_by_the_tenant,
        tables_of_which_a_tenant_seems_to_have_few_rows,
        views_that_see_as_their_owner,
        functions_with_more_rights_than_allowed,
        things_of_a_superuser,
        roles_that_can_do_too_much,
        grants_beyond_what_is_needed,
        columns_that_row_security_makes_slow,
        defaults_taken_from_a_setting,
        sequences,
        words_that_the_domain_does_not_share,
        indexes_without_a_reason,
        months_without_a_partition,
    )
}

# As the owner, who makes what migrations make.
_AS_OWNER: Final = "SET LOCAL ROLE reli_owner; "

BREACHES: Final = [
    (tables_without_forced_row_security, "ALTER TABLE core.trades NO FORCE ROW LEVEL SECURITY"),
    (tables_without_forced_row_security, "ALTER TABLE core.quotes DISABLE ROW LEVEL SECURITY"),
    (
        tables_without_forced_row_security,
        "ALTER TABLE core.outbox_{month} NO FORCE ROW LEVEL SECURITY",
    ),
    (tables_without_forced_row_security, "CREATE TABLE core.notes (tenant_id uuid PRIMARY KEY)"),
    (tables_without_exactly_their_policies, "DROP POLICY tenant ON core.accounts"),
    (
        tables_without_exactly_their_policies,
        "CREATE POLICY more ON core.accounts FOR SELECT TO reli_app USING (true)",
    ),
    (tables_without_exactly_their_policies, "ALTER POLICY tenant ON core.trades USING (true)"),
    (tables_without_exactly_their_policies, "ALTER POLICY tenant ON core.trades TO PUBLIC"),
    (tables_without_exactly_their_policies, "ALTER POLICY queue ON core.trade_queue TO reli_app"),
    (
        tables_without_exactly_their_policies,
        "ALTER POLICY tenant ON core.trades "
        "USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)",
    ),
    (
        tables_without_exactly_their_policies,
        "DROP POLICY tenant ON core.trades; CREATE POLICY tenant ON core.trades AS RESTRICTIVE "
        "FOR ALL TO reli_app, reli_work USING (tenant_id = current_setting('app.tenant_id')::uuid) "
        "WITH CHECK (tenant_id = current_setting('app.tenant_id')::uuid)",
    ),
    (
        tables_without_exactly_their_policies,
        "CREATE POLICY tenant ON core.quotes_{month} FOR ALL TO reli_app USING (true)",
    ),
    (partitions_that_can_be_reached, "GRANT SELECT ON core.quotes_{month} TO reli_app"),
    (partitions_that_can_be_reached, "GRANT INSERT ON core.transfers_{month} TO PUBLIC"),
    (tables_without_a_tenant, "CREATE TABLE core.notes (id uuid PRIMARY KEY)"),
    (tables_without_a_tenant, "CREATE TABLE core.notes (tenant_id uuid)"),
    (
        keys_not_led_by_the_tenant,
        "ALTER TABLE core.customers ADD CONSTRAINT oracle UNIQUE (external_id)",
    ),
    (keys_not_led_by_the_tenant, "CREATE UNIQUE INDEX oracle ON core.api_keys (secret_hash)"),
    (keys_not_led_by_the_tenant, "CREATE UNIQUE INDEX oracle ON core.api_keys (lower(name))"),
    (
        keys_not_led_by_the_tenant,
        "CREATE TABLE core.notes (tenant_id uuid, id uuid, PRIMARY KEY (id, tenant_id))",
    ),
    (
        keys_not_led_by_the_tenant,
        "ALTER TABLE core.customers ADD UNIQUE (id); CREATE TABLE core.notes (tenant_id uuid, "
        "customer_id uuid REFERENCES core.customers (id), PRIMARY KEY (tenant_id, customer_id))",
    ),
    (
        tables_of_which_a_tenant_seems_to_have_few_rows,
        "ALTER TABLE core.trades ALTER COLUMN tenant_id RESET (n_distinct)",
    ),
    (views_that_see_as_their_owner, "CREATE VIEW core.all_trades AS SELECT * FROM core.trades"),
    (
        views_that_see_as_their_owner,
        "CREATE MATERIALIZED VIEW core.all_trades AS SELECT * FROM core.trades WITH NO DATA",
    ),
    (
        functions_with_more_rights_than_allowed,
        "CREATE FUNCTION core.peek() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1",
    ),
    (
        functions_with_more_rights_than_allowed,
        "ALTER FUNCTION core.make_partitions(integer) RESET search_path",
    ),
    (
        functions_with_more_rights_than_allowed,
        "GRANT EXECUTE ON FUNCTION core.make_partitions(integer) TO PUBLIC",
    ),
    (things_of_a_superuser, "RESET ROLE; ALTER TABLE core.trades OWNER TO CURRENT_USER"),
    (
        things_of_a_superuser,
        "RESET ROLE; ALTER FUNCTION core.find_api_key(bytea) OWNER TO CURRENT_USER",
    ),
    (
        things_of_a_superuser,
        "RESET ROLE; CREATE TYPE core.pair AS (a int, b int)",
    ),
    (roles_that_can_do_too_much, "RESET ROLE; ALTER ROLE reli_app BYPASSRLS"),
    (roles_that_can_do_too_much, "RESET ROLE; ALTER ROLE reli_work SUPERUSER"),
    (roles_that_can_do_too_much, "RESET ROLE; GRANT reli_owner TO reli_app"),
    (roles_that_can_do_too_much, "RESET ROLE; GRANT pg_read_all_data TO reli_work"),
    (roles_that_can_do_too_much, "GRANT CREATE ON SCHEMA core TO reli_app"),
    (roles_that_can_do_too_much, "RESET ROLE; ALTER TABLE core.breaks OWNER TO reli_app"),
    (grants_beyond_what_is_needed, "GRANT TRUNCATE ON core.outbox TO reli_work"),
    (grants_beyond_what_is_needed, "GRANT REFERENCES ON core.trades TO reli_app"),
    (grants_beyond_what_is_needed, "GRANT TRIGGER ON core.trades TO reli_app"),
    (grants_beyond_what_is_needed, "GRANT DELETE ON core.trades TO reli_app"),
    (grants_beyond_what_is_needed, "GRANT UPDATE ON core.transfers TO reli_app"),
    (grants_beyond_what_is_needed, "GRANT UPDATE (units) ON core.transfers TO reli_app"),
    (grants_beyond_what_is_needed, "GRANT UPDATE (payload) ON core.outbox TO reli_work"),
    (grants_beyond_what_is_needed, "GRANT UPDATE (method) ON core.audit_records TO reli_work"),
    (grants_beyond_what_is_needed, "GRANT DELETE ON core.audit_records TO reli_work"),
    (grants_beyond_what_is_needed, "GRANT INSERT ON core.assets TO reli_app"),
    (grants_beyond_what_is_needed, "GRANT SELECT ON core.leases TO reli_app"),
    (grants_beyond_what_is_needed, "GRANT SELECT ON core.trades TO reli_directory"),
    (grants_beyond_what_is_needed, "GRANT SELECT ON core.trades TO PUBLIC"),
    (
        columns_that_row_security_makes_slow,
        "CREATE INDEX ON core.quotes (tenant_id, base_units)",
    ),
    (
        columns_that_row_security_makes_slow,
        "CREATE TYPE core.mood AS ENUM ('good'); ALTER TABLE core.tenants ADD mood core.mood",
    ),
    (
        defaults_taken_from_a_setting,
        "ALTER TABLE core.breaks ALTER tenant_id "
        "SET DEFAULT current_setting('app.tenant_id')::uuid",
    ),
    (sequences, "CREATE SEQUENCE core.numbers"),
    (
        words_that_the_domain_does_not_share,
        "ALTER TABLE core.trades DROP CONSTRAINT trades_state_check, ADD CHECK "
        "(state IN ('pending', 'submitted', 'filled', 'settled', 'rejected', 'lost', "
        "'outcome_unknown'))",
    ),
    (
        words_that_the_domain_does_not_share,
        "ALTER TABLE core.quotes DROP CONSTRAINT quotes_state_check",
    ),
    (
        words_that_the_domain_does_not_share,
        "ALTER TABLE core.breaks ADD CHECK (kind IN ('one', 'two'))",
    ),
    (indexes_without_a_reason, "CREATE INDEX nobody_knows_why ON core.breaks (tenant_id, asset)"),
    (months_without_a_partition, "DROP TABLE core.outbox_{month}"),
    (months_without_a_partition, "DROP TABLE core.resolutions_{last_month}"),
]


@pytest.fixture(scope="module")
async def empty_database_url(postgres_server: PostgresServer) -> str:
    """A database of its own: rows of other tests could refuse a breach."""
    return await a_database(postgres_server.url, "catalogue")


@pytest.fixture(scope="module")
async def superuser(empty_database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("lint", LINTS.values(), ids=LINTS)
async def test_the_schema_has_no(superuser: Connection, lint: Lint) -> None:
    assert await lint(superuser) == []


async def test_no_table_hides_from_the_lint(superuser: Connection) -> None:
    reached = await tenant_tables(superuser)

    assert len(reached) > 15
    assert {"tenants", "accounts", "transfers", "trades", "outbox", "requests"} <= set(reached)
    assert len(await partitions(superuser)) >= 6 * (1 + MONTHS_AHEAD)
    assert set(WITHOUT_TENANT) <= set(
        await _names(
            superuser,
            "SELECT relname FROM pg_class WHERE relnamespace = 'core'::regnamespace",
        )
    )


@pytest.mark.parametrize(
    ("lint", "breach"), BREACHES, ids=[f"{lint.__name__}: {sql[:60]}" for lint, sql in BREACHES]
)
async def test_each_breach_is_seen(superuser: Connection, lint: Lint, breach: str) -> None:
    (this_month, _), *_, (last_month, _) = _months(await superuser.fetchval("SELECT core.now()"), 4)
    names = {"month": f"{this_month:%Y_%m}", "last_month": f"{last_month:%Y_%m}"}
    breaking = superuser.transaction()
    await breaking.start()
    try:
        await superuser.execute(_AS_OWNER + breach.format_map(names))
        await superuser.execute("RESET ROLE")

        assert await lint(superuser)
    finally:
        await breaking.rollback()


async def test_no_lint_is_without_a_breach_that_it_sees() -> None:
    assert {lint.__name__ for lint, _ in BREACHES} == set(LINTS)


async def test_the_workers_function_makes_partitions_that_nobody_can_reach(
    empty_database_url: str,
) -> None:
    worker = await asyncpg.connect(role_url(empty_database_url, WORK_ROLE))
    making = worker.transaction()
    await making.start()
    try:
        made = [await worker.fetchval("SELECT core.make_partitions(5)") for _ in range(2 * 6)]
        assert made == [1] * len(made)
        assert await worker.fetchval("SELECT core.make_partitions(5)") == 0
        for lint in LINTS.values():
            assert await lint(worker) == []
    finally:
        await making.rollback()
        await worker.close()


async def _names(db: Connection, query: str, *arguments: object) -> list[str]:
    return [row[0] for row in await db.fetch(query, *arguments)]
