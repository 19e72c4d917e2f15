"""Trades, their attempts and transitions, and the queue of those that need work."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.quote import customer_uuid, party_of, terms_of
from adapters.postgres.scope import Scope, page_of
from domain.amount import Amount
from domain.errors import VersionConflict
from domain.ids import (
    ApiKeyId,
    AttemptId,
    BreakId,
    CustomerId,
    EntryId,
    QuoteId,
    ResolutionId,
    TenantId,
    TradeId,
    TransferId,
)
from domain.side import Side
from domain.trade.attempt import Attempt, AttemptState
from domain.trade.errors import StaleLease, TradeNotFound
from domain.trade.resolution import (
    OutcomeKnown,
    Resolution,
    ResolutionNotFound,
    ResolutionVerdict,
)
from domain.trade.trade import LedgerIds, Trade, TradeState
from ports.page import Page, PageRequest
from ports.trade import TradeLease, TradeQueue, TradeRepository

_ATTEMPT_COLUMNS = (
    "number",
    "id",
    "lp",
    "state",
    "lp_reference",
    "lp_units",
    "lp_expires_at",
    "sent_at",
    "venue_order_id",
    "filled_units",
    "reason",
    "checks",
    "next_check_at",
)

# A row for each attempt of a trade, the trade's own columns repeated.
_SELECT = f"""
SELECT t.*, {", ".join(f"a.{column} AS attempt_{column}" for column in _ATTEMPT_COLUMNS)}
FROM core.trades AS t
LEFT JOIN core.attempts AS a ON a.tenant_id = t.tenant_id AND a.trade_id = t.id
"""

_GET = _SELECT + "WHERE t.tenant_id = $1 AND t.id = $2 ORDER BY a.number"

_LIST = f"""
{_SELECT}
WHERE t.tenant_id = $1 AND t.id = ANY(ARRAY(
    SELECT id FROM core.trades
    WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
        AND ($3::uuid IS NULL OR customer_id = $3)
    ORDER BY id DESC LIMIT $4
))
ORDER BY t.id DESC, a.number
"""

# What every write of a trade ends with: the attempts it touched and the steps it took. FIRST is
# the number of the first of their parameters.
_STEPS = """
attempts AS (
    INSERT INTO core.attempts (tenant_id, trade_id, number, id, lp, state, lp_reference, lp_units,
        lp_expires_at, sent_at, venue_order_id, filled_units, reason, checks, next_check_at)
    SELECT $1, $2, * FROM unnest(${0}::smallint[], ${1}::uuid[], ${2}::text[], ${3}::text[],
        ${4}::text[], ${5}::numeric[], ${6}::timestamptz[], ${7}::timestamptz[], ${8}::text[],
        ${9}::numeric[], ${10}::text[], ${11}::int[], ${12}::timestamptz[])
        WHERE EXISTS (SELECT FROM trade)
    ON CONFLICT (tenant_id, trade_id, number) DO UPDATE SET
        state = EXCLUDED.state, lp_reference = EXCLUDED.lp_reference,
        lp_units = EXCLUDED.lp_units, lp_expires_at = EXCLUDED.lp_expires_at,
        sent_at = EXCLUDED.sent_at, venue_order_id = EXCLUDED.venue_order_id,
        filled_units = EXCLUDED.filled_units, reason = EXCLUDED.reason,
        checks = EXCLUDED.checks, next_check_at = EXCLUDED.next_check_at
), transitions AS (
    INSERT INTO core.trade_transitions (tenant_id, trade_id, version, ordinal, attempt,
        from_state, to_state, action, actor, evidence, correlation_id, recorded_at)
    SELECT $1, $2, ${13}, ordinal, attempt, from_state, to_state, action, actor, evidence, ${14},
        core.now()
    FROM unnest(${15}::int[], ${16}::text[], ${17}::text[], ${18}::text[], ${19}::text[],
        ${20}::text[]) WITH ORDINALITY
        AS s (attempt, from_state, to_state, action, actor, evidence, ordinal)
    WHERE EXISTS (SELECT FROM trade)
)
"""
_STEP_PARAMETERS = 21


def _steps_from(first: int) -> str:
    return _STEPS.format(*range(first, first + _STEP_PARAMETERS))


_ADD = f"""
WITH trade AS (
    INSERT INTO core.trades (tenant_id, id, quote_id, customer_id, side, instrument, base_units,
        quote_units, lp_units, fee_units, markup_units, lp_order, tolerance_bps, accepted_at,
        accepted_by, correlation_id, state, hold_entry_id, hold_id, settlement_entry_id,
        settlement_ids, release_entry_id, release_id, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
        $20, $21, $22, $23, $24)
    RETURNING id
), {_steps_from(26)}
INSERT INTO core.trade_queue (tenant_id, trade_id, due_at, leased_until)
VALUES ($1, $2, $14, $14::timestamptz + $25::interval)
RETURNING token
"""

# The lease is asked for first: without it not one row is written.
_SAVE = f"""
WITH lease AS (
    UPDATE core.trade_queue SET due_at = coalesce($9, due_at),
        leased_until = CASE WHEN $9::timestamptz IS NULL THEN leased_until ELSE core.now() END
    WHERE tenant_id = $1 AND trade_id = $2 AND token = $8 AND $7::timestamptz IS NULL
    RETURNING trade_id
), ended AS (
    DELETE FROM core.trade_queue
    WHERE tenant_id = $1 AND trade_id = $2 AND token = $8 AND $7::timestamptz IS NOT NULL
    RETURNING trade_id
), trade AS (
    UPDATE core.trades SET state = $4, rejection_reason = $5, unknown_since = $6, ended_at = $7,
        version = $3 + 1
    WHERE tenant_id = $1 AND id = $2 AND version = $3
        AND (EXISTS (SELECT FROM lease) OR EXISTS (SELECT FROM ended))
    RETURNING id
), {_steps_from(10)}
SELECT EXISTS (SELECT FROM lease) OR EXISTS (SELECT FROM ended) AS is_held,
    EXISTS (SELECT FROM trade) AS is_saved
"""

# A lease that was given back, or has run out, is nobody's to renew.
_RENEW_LEASE = """
UPDATE core.trade_queue SET leased_until = core.now() + $4::interval
WHERE tenant_id = $1 AND trade_id = $2 AND token = $3 AND leased_until > core.now()
RETURNING true
"""

_CLAIM = """
UPDATE core.trade_queue AS q SET leased_until = core.now() + $2::interval, token = q.token + 1
FROM (
    SELECT tenant_id, trade_id FROM core.trade_queue
    WHERE due_at <= core.now() AND leased_until <= core.now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
) AS due
WHERE q.tenant_id = due.tenant_id AND q.trade_id = due.trade_id
RETURNING q.tenant_id, q.trade_id, q.token
"""

_TAKE_OVER = """
UPDATE core.trade_queue SET token = token + 1, leased_until = core.now() + $3::interval
WHERE tenant_id = $1 AND trade_id = $2
RETURNING token
"""

_ADD_RESOLUTION = """
INSERT INTO core.trade_resolutions (tenant_id, id, trade_id, attempt, verdict, venue_order_id,
    filled_units, evidence, proposed_by, proposed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

_GET_RESOLUTION = """
SELECT r.*, i.quote_asset FROM core.trade_resolutions AS r
JOIN core.trades AS t ON t.tenant_id = r.tenant_id AND t.id = r.trade_id
JOIN core.instruments AS i ON i.code = t.instrument
WHERE r.tenant_id = $1 AND r.trade_id = $2 AND r.id = $3 FOR UPDATE OF r
"""

_APPROVE_RESOLUTION = """
UPDATE core.trade_resolutions SET approved_by = $3, approved_at = $4
WHERE tenant_id = $1 AND id = $2 AND approved_by IS NULL
"""

_APPROVED_RESOLUTION = """
SELECT r.*, i.quote_asset FROM core.trade_resolutions AS r
JOIN core.trades AS t ON t.tenant_id = r.tenant_id AND t.id = r.trade_id
JOIN core.instruments AS i ON i.code = t.instrument
WHERE r.tenant_id = $1 AND r.trade_id = $2 AND r.attempt = $3 AND r.approved_by IS NOT NULL
"""

_ADD_BREAK = """
INSERT INTO core.breaks (tenant_id, id, kind, trade_id, asset, units, detail, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, core.now())
"""


class PostgresTrades(TradeRepository):
    """Trades of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, trade_id: TradeId, *, lock: bool = False) -> Trade:
        rows = await self._scope.driver.fetch(
            f"{_GET} FOR UPDATE OF t" if lock else _GET, self._scope.tenant, trade_id.uuid
        )
        if not rows:
            raise TradeNotFound("no such trade", trade_id=trade_id)
        return self._trade(rows[0], rows)

    async def add(self, trade: Trade, *, lease_for: timedelta) -> TradeLease:
        ids, parts = trade.ledger_ids, trade.waterfall
        token = await self._scope.driver.fetchval(
            _ADD,
            self._scope.tenant,
            trade.id.uuid,
            trade.quote_id.uuid,
            customer_uuid(trade.party),
            trade.side,
            trade.instrument.code,
            trade.base_amount.units,
            trade.quote_amount.units,
            parts.lp.units,
            parts.fee.units,
            parts.markup.units,
            trade.lp_order,
            trade.tolerance_bps,
            trade.accepted_at,
            trade.accepted_by.uuid,
            trade.correlation_id,
            trade.state,
            ids.hold_entry.uuid,
            ids.hold.uuid,
            ids.settlement_entry.uuid,
            [id.uuid for id in ids.settlement],
            ids.release_entry.uuid,
            ids.release.uuid,
            trade.version,
            lease_for,
            *_steps(trade, trade.version),
        )
        return TradeLease(tenant_id=trade.tenant_id, trade_id=trade.id, token=token)

    async def save(self, trade: Trade, lease: TradeLease, *, due_at: datetime | None) -> Trade:
        found = await self._scope.driver.fetchrow(
            _SAVE,
            self._scope.tenant,
            trade.id.uuid,
            trade.version,
            trade.state,
            trade.rejection_reason,
            trade.unknown_since,
            trade.ended_at,
            lease.token,
            due_at,
            *_steps(trade, trade.version + 1),
        )
        if not found["is_held"]:
            raise StaleLease("somebody else works on the trade", trade_id=trade.id)
        if not found["is_saved"]:
            raise VersionConflict("somebody else changed the trade first", trade_id=trade.id)
        return replace(trade, version=trade.version + 1, transitions=())

    async def renew(self, lease: TradeLease, *, lease_for: timedelta) -> None:
        kept = await self._scope.driver.fetchval(
            _RENEW_LEASE, self._scope.tenant, lease.trade_id.uuid, lease.token, lease_for
        )
        if not kept:
            raise StaleLease("somebody else works on the trade", trade_id=lease.trade_id)

    async def list(self, page: PageRequest, *, customer_id: CustomerId | None) -> Page[Trade]:
        rows = await self._scope.driver.fetch(
            _LIST,
            self._scope.tenant,
            page.before,
            customer_id.uuid if customer_id else None,
            page.size + 1,
        )
        of_trade = {id: list(group) for id, group in groupby(rows, key=lambda row: row["id"])}
        trades = [self._trade(group[0], group) for group in of_trade.values()]
        return page_of(trades, list(of_trade), page)

    async def list_stuck(
        self, *, tenant_id: TenantId | None, skip: int, limit: int
    ) -> Sequence[tuple[TenantId, TradeId]]:
        rows = await self._scope.driver.fetch(
            "SELECT * FROM core.list_stuck_trades($1, $2, $3)",
            tenant_id.uuid if tenant_id else None,
            skip,
            limit,
        )
        return [(TenantId(row["tenant_id"]), TradeId(row["trade_id"])) for row in rows]

    async def take_over(self, trade_id: TradeId, *, lease_for: timedelta) -> TradeLease:
        token = await self._scope.driver.fetchval(
            _TAKE_OVER, self._scope.tenant, trade_id.uuid, lease_for
        )
        if token is None:
            raise OutcomeKnown("the trade has ended", trade_id=trade_id)
        return TradeLease(tenant_id=self._scope.tenant_id, trade_id=trade_id, token=token)

    async def add_resolution(self, resolution: Resolution) -> None:
        filled = resolution.filled_amount
        await self._scope.driver.execute(
            _ADD_RESOLUTION,
            self._scope.tenant,
            resolution.id.uuid,
            resolution.trade_id.uuid,
            resolution.attempt,
            resolution.verdict,
            resolution.venue_order_id,
            filled.units if filled else None,
            resolution.evidence,
            resolution.proposed_by.uuid,
            resolution.proposed_at,
        )

    async def get_resolution(self, trade_id: TradeId, id: ResolutionId) -> Resolution:
        row = await self._scope.driver.fetchrow(
            _GET_RESOLUTION, self._scope.tenant, trade_id.uuid, id.uuid
        )
        if row is None:
            raise ResolutionNotFound("no such resolution", resolution_id=id)
        return self._resolution(row)

    async def approve_resolution(self, resolution: Resolution) -> None:
        assert resolution.approved_by is not None
        try:
            await self._scope.driver.execute(
                _APPROVE_RESOLUTION,
                self._scope.tenant,
                resolution.id.uuid,
                resolution.approved_by.uuid,
                resolution.approved_at,
            )
        except asyncpg.UniqueViolationError as error:
            raise OutcomeKnown(
                "another resolution was approved first", trade_id=resolution.trade_id
            ) from error

    async def approved_resolution(self, trade: Trade) -> Resolution | None:
        row = await self._scope.driver.fetchrow(
            _APPROVED_RESOLUTION, self._scope.tenant, trade.id.uuid, trade.attempt.number
        )
        return None if row is None else self._resolution(row)

    def _resolution(self, row: Any) -> Resolution:
        filled = row["filled_units"]
        approved_by = row["approved_by"]
        return Resolution(
            id=ResolutionId(row["id"]),
            trade_id=TradeId(row["trade_id"]),
            attempt=row["attempt"],
            verdict=ResolutionVerdict(row["verdict"]),
            venue_order_id=row["venue_order_id"],
            filled_amount=(
                None if filled is None else self._scope.amount(row["quote_asset"], filled)
            ),
            evidence=row["evidence"],
            proposed_by=ApiKeyId(row["proposed_by"]),
            proposed_at=row["proposed_at"],
            approved_by=ApiKeyId(approved_by) if approved_by else None,
            approved_at=row["approved_at"],
        )

    async def raise_break(
        self, break_id: BreakId, trade: Trade, *, kind: str, amount: Amount, detail: str
    ) -> None:
        await self._scope.driver.execute(
            _ADD_BREAK,
            self._scope.tenant,
            break_id.uuid,
            kind,
            trade.id.uuid,
            amount.asset.code,
            amount.units,
            detail,
        )

    def _trade(self, row: Any, attempt_rows: Sequence[Any]) -> Trade:
        instrument = self._scope.instrument(row["instrument"])
        base, waterfall = terms_of(row, instrument)
        return Trade(
            id=TradeId(row["id"]),
            tenant_id=self._scope.tenant_id,
            quote_id=QuoteId(row["quote_id"]),
            party=party_of(row),
            side=Side(row["side"]),
            instrument=instrument,
            base_amount=base,
            quote_amount=waterfall.total,
            waterfall=waterfall,
            lp_order=tuple(row["lp_order"]),
            tolerance_bps=row["tolerance_bps"],
            accepted_at=row["accepted_at"],
            accepted_by=ApiKeyId(row["accepted_by"]),
            correlation_id=row["correlation_id"],
            state=TradeState(row["state"]),
            attempts=tuple(
                _attempt(attempt, waterfall.lp)
                for attempt in attempt_rows
                if attempt["attempt_number"] is not None
            ),
            rejection_reason=row["rejection_reason"],
            unknown_since=row["unknown_since"],
            ended_at=row["ended_at"],
            ledger_ids=LedgerIds(
                hold_entry=EntryId(row["hold_entry_id"]),
                hold=TransferId(row["hold_id"]),
                settlement_entry=EntryId(row["settlement_entry_id"]),
                settlement=tuple(TransferId(id) for id in row["settlement_ids"]),
                release_entry=EntryId(row["release_entry_id"]),
                release=TransferId(row["release_id"]),
            ),
            version=row["version"],
        )


class PostgresTradeQueue(TradeQueue):
    """The queue over all tenants; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, *, limit: int, lease_for: timedelta) -> Sequence[TradeLease]:
        async with borrowed_driver(self._engine) as driver:
            rows = await driver.fetch(_CLAIM, limit, lease_for)
        return [
            TradeLease(
                tenant_id=TenantId(row["tenant_id"]),
                trade_id=TradeId(row["trade_id"]),
                token=row["token"],
            )
            for row in rows
        ]


def _steps(trade: Trade, version: int) -> tuple[Any, ...]:
    """Return the parameters of the attempts that the new steps touched, and of the steps."""
    steps = trade.transitions
    touched = {step.attempt for step in steps}
    if trade.attempts and trade.attempt.state is AttemptState.UNKNOWN:
        touched.add(trade.attempt.number)  # another check without an answer is no step
    attempts = [attempt for attempt in trade.attempts if attempt.number in touched]
    return (
        [attempt.number for attempt in attempts],
        [attempt.id.uuid for attempt in attempts],
        [attempt.lp for attempt in attempts],
        [attempt.state for attempt in attempts],
        [attempt.lp_reference for attempt in attempts],
        [attempt.lp_amount.units if attempt.lp_amount else None for attempt in attempts],
        [attempt.lp_expires_at for attempt in attempts],
        [attempt.sent_at for attempt in attempts],
        [attempt.venue_order_id for attempt in attempts],
        [attempt.filled_amount.units if attempt.filled_amount else None for attempt in attempts],
        [attempt.reason for attempt in attempts],
        [attempt.checks for attempt in attempts],
        [attempt.next_check_at for attempt in attempts],
        version,
        trade.correlation_id,
        [step.attempt for step in steps],
        [step.from_state for step in steps],
        [step.to_state for step in steps],
        [step.action for step in steps],
        [step.actor for step in steps],
        [step.evidence for step in steps],
    )


def _attempt(row: Any, in_asset: Amount) -> Attempt:
    asset = in_asset.asset
    lp_units, filled = row["attempt_lp_units"], row["attempt_filled_units"]
    return Attempt(
        id=AttemptId(row["attempt_id"]),
        number=row["attempt_number"],
        lp=row["attempt_lp"],
        state=AttemptState(row["attempt_state"]),
        lp_reference=row["attempt_lp_reference"],
        lp_amount=None if lp_units is None else Amount(asset, lp_units),
        lp_expires_at=row["attempt_lp_expires_at"],
        sent_at=row["attempt_sent_at"],
        venue_order_id=row["attempt_venue_order_id"],
        filled_amount=None if filled is None else Amount(asset, filled),
        reason=row["attempt_reason"],
        checks=row["attempt_checks"],
        next_check_at=row["attempt_next_check_at"],
    )
