"""Books of many trades, written by bulk SQL as the platform would have written them."""

from functools import reduce
from typing import Any, Final
from uuid import UUID

from adapters.postgres.audit.probe import typeid
from domain.ids import CustomerId, DepositId, TenantId, TradeId

TRANSFERS_PER_TRADE: Final = 9
"""Six of the trade and three of its mirror in the house's book; slippage comes on top."""

_CUSTOMERS: Final = 500

# Amounts in minor units; every tenth trade was filled a little worse than quoted.
_BASE, _LP, _FEE, _MARKUP, _SLIPPAGE = 1_000_000, 150_000_000, 300_000, 750_000, 1_000
_TOTAL: Final = _LP + _FEE + _MARKUP

_PLAN: Final = f"""
CREATE TEMP TABLE plan ON COMMIT DROP AS
SELECT n, uuidv7() AS trade, uuidv7() AS quote, uuidv7() AS attempt, uuidv7() AS hold_entry,
    uuidv7() AS settlement_entry, uuidv7() AS hold, c.customer, c.owner,
    ARRAY(SELECT uuidv7() FROM generate_series(1, 6 + 0 * n)) AS ids, uuidv7() AS mirror_entry,
    CASE WHEN n % 10 = 0 THEN {_SLIPPAGE} ELSE 0 END AS slip
FROM generate_series(1, :trades) AS n
JOIN (SELECT (row_number() OVER ())::int AS place, id AS customer,
        {typeid(CustomerId, "id")} AS owner
    FROM core.customers WHERE tenant_id = :tenant) AS c ON c.place = 1 + n % {_CUSTOMERS}
"""

_MOVES: Final = f"""
CREATE TEMP TABLE moves ON COMMIT DROP AS
SELECT :tenant AS tenant_id, 0::bigint AS n, 1 AS place, uuidv7() AS id, uuidv7() AS entry_id,
    'regular' AS kind, 'external' AS dk, 'sandbox' AS owner_d, 'customer' AS ck,
    {typeid(CustomerId, "id")} AS owner_c, 'NGN' AS asset, {_TOTAL} * 1000000::numeric AS units,
    NULL::uuid AS pending_id, 'deposit' AS purpose, 'deposit' AS source, uuidv7() AS about,
    id AS customer
FROM core.customers WHERE tenant_id = :tenant
UNION ALL
SELECT :tenant, p.n, m.place, m.id, m.entry, m.kind, m.dk, m.owner_d, m.ck, m.owner_c, m.asset,
    m.units, m.pending_id, m.purpose, 'trade', p.trade, NULL
FROM plan AS p CROSS JOIN LATERAL (VALUES
    (1, p.hold, p.hold_entry, 'pending', 'customer', p.owner, 'trade_clearing', '', 'NGN',
        {_TOTAL}, NULL::uuid, 'hold'),
    (2, p.ids[1], p.settlement_entry, 'post', 'customer', p.owner, 'trade_clearing', '', 'NGN',
        {_TOTAL}, p.hold, 'payment'),
    (3, p.ids[2], p.settlement_entry, 'regular', 'trade_clearing', '', 'lp', 'alpha', 'NGN',
        {_LP}, NULL, 'lp_cost'),
    (4, p.ids[3], p.settlement_entry, 'regular', 'trade_clearing', '', 'platform_fee', '', 'NGN',
        {_FEE}, NULL, 'platform_fee'),
    (5, p.ids[4], p.settlement_entry, 'regular', 'trade_clearing', '', 'tenant_markup', '', 'NGN',
        {_MARKUP}, NULL, 'tenant_markup'),
    (6, p.ids[5], p.settlement_entry, 'regular', 'lp', 'alpha', 'customer', p.owner, 'BTC',
        {_BASE}, NULL, 'delivery'),
    (7, p.ids[6], p.settlement_entry, 'regular', 'slippage', '', 'lp', 'alpha', 'NGN', p.slip,
        NULL, 'slippage')
) AS m (place, id, entry, kind, dk, owner_d, ck, owner_c, asset, units, pending_id, purpose)
WHERE m.units > 0
UNION ALL
SELECT :house, p.n, m.place, uuidv7(), p.mirror_entry, 'regular', m.dk, m.owner_d, m.ck, m.owner_c,
    m.asset, m.units, NULL, m.purpose, 'trade', p.trade, NULL
FROM plan AS p CROSS JOIN LATERAL (VALUES
    (1, 'external', :name, 'lp', 'alpha', 'NGN', {_LP} + p.slip, 'lp'),
    (2, 'lp', 'alpha', 'external', :name, 'BTC', {_BASE}, 'lp'),
    (3, 'external', :name, 'platform_fee', '', 'NGN', {_FEE}, 'platform_fee'),
    (4, 'slippage', '', 'external', :name, 'NGN', p.slip, 'slippage')
) AS m (place, dk, owner_d, ck, owner_c, asset, units, purpose)
WHERE m.units > 0
"""

_LINES: Final = """
CREATE TEMP TABLE lines ON COMMIT DROP AS
SELECT *, row_number() OVER w AS version, sum(change) OVER w AS balance
FROM (
    SELECT m.tenant_id, m.id, m.n, m.place, a.id AS account_id, 'd' AS leg,
        CASE WHEN m.kind IN ('regular', 'post') THEN -m.units ELSE 0 END AS change,
        CASE m.kind WHEN 'pending' THEN m.units WHEN 'post' THEN -m.units ELSE 0 END AS held
    FROM moves AS m JOIN core.accounts AS a ON a.tenant_id = m.tenant_id AND a.kind = m.dk
        AND a.owner = m.owner_d AND a.asset = m.asset
    UNION ALL
    SELECT m.tenant_id, m.id, m.n, m.place, a.id, 'c',
        CASE WHEN m.kind IN ('regular', 'post') THEN m.units ELSE 0 END,
        CASE m.kind WHEN 'pending' THEN m.units WHEN 'post' THEN -m.units ELSE 0 END
    FROM moves AS m JOIN core.accounts AS a ON a.tenant_id = m.tenant_id AND a.kind = m.ck
        AND a.owner = m.owner_c AND a.asset = m.asset
) AS l
WINDOW w AS (PARTITION BY tenant_id, account_id ORDER BY n, place, id)
"""

_CUSTOMERS_MADE: Final = f"""
INSERT INTO core.customers (tenant_id, id, external_id, state, created_at)
SELECT :tenant, uuidv7(), n::text, 'active', core.now() FROM generate_series(1, {_CUSTOMERS}) AS n
"""

_STATEMENTS: Final = (
    _CUSTOMERS_MADE,
    _PLAN,
    _MOVES,
    """
INSERT INTO core.accounts (tenant_id, id, kind, owner, asset, overdraft_limit, created_at)
SELECT tenant_id, uuidv7(), kind, owner, asset,
    CASE WHEN kind IN ('lp', 'external', 'slippage') THEN NULL ELSE 0 END, core.now()
FROM (
    SELECT tenant_id, dk AS kind, owner_d AS owner, asset FROM moves
    UNION SELECT tenant_id, ck, owner_c, asset FROM moves
) AS a
""",
    _LINES,
    "CREATE INDEX ON lines (id, leg)",
    "ANALYZE moves, lines",
    f"""
INSERT INTO core.entries (tenant_id, id, source, reference, effective_at, recorded_at,
    transfer_ids)
SELECT tenant_id, entry_id, source, CASE source WHEN 'trade' THEN {typeid(TradeId, "about")}
    ELSE {typeid(DepositId, "about")} END, now(), now(), array_agg(id ORDER BY place)
FROM moves GROUP BY tenant_id, entry_id, source, about
""",
    """
INSERT INTO core.entry_pages (tenant_id, recorded_at, entry_ids)
SELECT tenant_id, recorded_at, array_agg(id ORDER BY id)
FROM (SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY id) / 300 AS page
    FROM core.entries) AS e
GROUP BY tenant_id, recorded_at, page
""",
    """
INSERT INTO core.transfers (tenant_id, id, entry_id, ordinal, kind, debit_account_id,
    credit_account_id, asset, units, pending_id, purpose, debit_held, debit_version,
    debit_balance_after, credit_version, credit_balance_after, recorded_at)
SELECT m.tenant_id, m.id, m.entry_id, row_number() OVER (PARTITION BY m.entry_id ORDER BY m.place),
    m.kind, d.account_id, c.account_id, m.asset, m.units, m.pending_id, m.purpose, d.held,
    d.version, d.balance, c.version, c.balance, now()
FROM moves AS m
JOIN lines AS d ON d.id = m.id AND d.leg = 'd'
JOIN lines AS c ON c.id = m.id AND c.leg = 'c'
""",
    """
INSERT INTO core.account_lines (tenant_id, account_id, first_version, newest_first)
SELECT tenant_id, account_id, min(version), array_agg(id ORDER BY version DESC)
FROM lines GROUP BY tenant_id, account_id, (version - 1) / 100
""",
    """
INSERT INTO core.resolutions (tenant_id, pending_id, kind, transfer_id, recorded_at)
SELECT tenant_id, pending_id, kind, id, core.now() FROM moves WHERE pending_id IS NOT NULL
""",
    """
UPDATE core.accounts AS a SET debits_posted = l.dd, credits_posted = l.cc, debits_pending = l.dp,
    credits_pending = l.cp, version = l.lines, recorded_at = now()
FROM (
    SELECT tenant_id, account_id, count(*) AS lines,
        coalesce(sum(-change) FILTER (WHERE leg = 'd'), 0) AS dd,
        coalesce(sum(change) FILTER (WHERE leg = 'c'), 0) AS cc,
        coalesce(sum(held) FILTER (WHERE leg = 'd'), 0) AS dp,
        coalesce(sum(held) FILTER (WHERE leg = 'c'), 0) AS cp
    FROM lines GROUP BY tenant_id, account_id
) AS l
WHERE a.tenant_id = l.tenant_id AND a.id = l.account_id
""",
    """
INSERT INTO core.sandbox_deposits (tenant_id, id, customer_id, asset, units, entry_id, created_at)
SELECT tenant_id, about, customer, asset, units, entry_id, core.now()
FROM moves WHERE source = 'deposit'
""",
    f"""
INSERT INTO core.quotes (tenant_id, id, customer_id, side, instrument, base_units, quote_units,
    lp_units, fee_units, markup_units, lp, lp_reference, lp_expires_at, lp_order, tolerance_bps,
    state, trade_id, created_at, expires_at)
SELECT :tenant, quote, customer, 'buy', 'BTC-NGN', {_BASE}, {_TOTAL}, {_LP}, {_FEE}, {_MARKUP},
    'alpha', 'q', core.now() + interval '1 minute', ARRAY['alpha'], 10, 'accepted', trade,
    core.now(), core.now() + interval '1 minute'
FROM plan
""",
    f"""
INSERT INTO core.lp_answers (tenant_id, quote_id, id, lp, verdict, latency_ms, reference,
    base_units, quote_units)
SELECT :tenant, quote, uuidv7(), 'alpha', 'used', 1, 'q', {_BASE}, {_LP} FROM plan
""",
    f"""
INSERT INTO core.trades (tenant_id, id, quote_id, customer_id, side, instrument, base_units,
    quote_units, lp_units, fee_units, markup_units, lp_order, tolerance_bps, accepted_at,
    accepted_by, correlation_id, state, ended_at, hold_entry_id, hold_id, settlement_entry_id,
    settlement_ids, release_entry_id, release_id, version)
SELECT :tenant, trade, quote, customer, 'buy', 'BTC-NGN', {_BASE}, {_TOTAL}, {_LP}, {_FEE},
    {_MARKUP}, ARRAY['alpha'], 10, core.now(), :key, '', 'settled', core.now(), hold_entry, hold,
    settlement_entry, ids, uuidv7(), uuidv7(), 3
FROM plan
""",
    f"""
INSERT INTO core.attempts (tenant_id, trade_id, number, id, lp, state, lp_reference, lp_units,
    sent_at, venue_order_id, filled_units, reason, checks)
SELECT :tenant, trade, 1, attempt, 'alpha', 'filled', 'q', {_LP}, core.now(), 'alpha-' || attempt,
    {_LP} + slip, '', 0
FROM plan
""",
    """
INSERT INTO core.trade_transitions (tenant_id, trade_id, version, ordinal, attempt, from_state,
    to_state, action, actor, evidence, correlation_id, recorded_at)
SELECT :tenant, trade, s.*, 'bulk', '', '', core.now()
FROM plan CROSS JOIN (VALUES
    (1, 1, 1, '', 'prepared', 'prepare'), (2, 1, 1, 'prepared', 'sent', 'send'),
    (2, 2, 0, 'pending', 'submitted', 'submit'), (3, 1, 1, 'sent', 'filled', 'fill'),
    (3, 2, 0, 'submitted', 'filled', 'fill'), (3, 3, 0, 'filled', 'settled', 'settle')
) AS s (version, ordinal, attempt, from_state, to_state, action)
""",
    f"""
INSERT INTO core.outbox (tenant_id, id, type, subject, payload, recorded_at, sequence)
SELECT :tenant, uuidv7(), type, {typeid(TradeId, "trade")}, '', core.now(), sequence
FROM (
    SELECT trade, type, row_number() OVER (ORDER BY n, place) + coalesce(
        (SELECT max(sequence) FROM core.outbox WHERE tenant_id = :tenant), 0) AS sequence
    FROM plan CROSS JOIN (VALUES (1, 'trade.accepted'), (2, 'trade.settled')) AS e (place, type)
) AS e
""",
    """
INSERT INTO core.event_heads (tenant_id, last, published)
SELECT tenant_id, max(sequence), max(sequence) FROM core.outbox WHERE tenant_id = :tenant
GROUP BY tenant_id
""",
    """
INSERT INTO core.consumer_positions (consumer, source_tenant_id, sequence)
SELECT 'house_book', tenant_id, last FROM core.event_heads
""",
    """
INSERT INTO core.inbox (tenant_id, consumer, event_id, recorded_at)
SELECT :house, 'house_book', id, core.now() FROM core.outbox
""",
    """
INSERT INTO core.requests (tenant_id, rpc, request_id, fingerprint, resource_id, created_at)
SELECT :tenant, 'reli.quote.v1.QuoteService/AcceptQuote', n::text, sha256(''), trade, core.now()
FROM plan
""",
)


async def write_bulk(owner: Any, *, trades: int) -> None:
    """Write so many settled trades of one tenant into a fresh database."""
    async with owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        house: UUID = await owner.fetchval("SELECT house_id FROM core.environment")
        tenant: UUID = await owner.fetchval(
            "INSERT INTO core.tenants (tenant_id, slug, display_name, quote_ttl_ms, "
            "platform_fee_bps, state, created_at) "
            "VALUES (uuidv7(), 'bulk', 'Bulk', 30000, 20, 'active', core.now()) "
            "RETURNING tenant_id"
        )
        key: UUID = await owner.fetchval(
            "INSERT INTO core.api_keys (tenant_id, id, name, hint, secret_hash, scopes, "
            "created_at) VALUES ($1, uuidv7(), 'bulk', '', sha256(''), '{quotes}', core.now()) "
            "RETURNING id",
            tenant,
        )
        values = {
            ":tenant": f"'{tenant}'::uuid",
            ":house": f"'{house}'::uuid",
            ":key": f"'{key}'::uuid",
            ":name": f"'{TenantId(tenant)}'",
            ":trades": str(trades),
        }
        for statement in _STATEMENTS:
            await owner.execute(reduce(lambda sql, v: sql.replace(*v), values.items(), statement))
