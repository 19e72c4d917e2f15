"""Trades, their attempts and transitions, and the queue of those that need work."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.lease import is_free
from adapters.postgres.quote import party_of, terms_columns, terms_of
from adapters.postgres.scope import Scope, page_of
from adapters.postgres.write import Write, array_literal, arrays, write_rows
from domain.amount import Amount
from domain.errors import VersionConflict
from domain.ids import (
    ApiKeyId,
    AttemptId,
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
from domain.trade.evidence import RecordedStep
from domain.trade.resolution import (
    OutcomeKnown,
    Resolution,
    ResolutionNotFound,
    ResolutionVerdict,
)
from domain.trade.trade import LedgerIds, Trade, TradeState, Transition
from ports.page import Page, PageRequest
from ports.trade import TradeLease, TradeQueue, TradeRepository

# A later holder of a trade has a higher one.
FIRST_TOKEN: Final = 1

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


def _select(trades: str = "core.trades", also: str = "") -> str:
    """Return SQL for a row for each attempt of a trade, the trade's own columns repeated.

    Attempts are wanted in their order so that they are found by the key that has it: to a plan made
    while there were few, any index of the tenant's is as good.
    """
    attempt = ", ".join(f"a.{column} AS attempt_{column}" for column in _ATTEMPT_COLUMNS)
    return f"""
SELECT t.*, {also}{attempt}
FROM {trades} AS t
LEFT JOIN LATERAL (
    SELECT * FROM core.attempts WHERE tenant_id = t.tenant_id AND trade_id = t.id ORDER BY number
) AS a ON true
"""


_SELECT = _select()

_LOCK = "SELECT FROM core.trades WHERE tenant_id = $1 AND id = $2 FOR UPDATE"

_GET = _SELECT + "WHERE t.tenant_id = $1 AND t.id = $2 ORDER BY a.number"

_GET_ALL = _SELECT + "WHERE t.tenant_id = $1 AND t.id = ANY($2) ORDER BY t.id, a.number"

_STEPS_OF = """
SELECT * FROM core.trade_transitions WHERE tenant_id = $1 AND trade_id = ANY($2)
ORDER BY trade_id, version, ordinal
"""

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

# Attempts are read as they were when the statement began: whoever holds the lease has written them,
# but for the notes of late fills, and an attempt that one is about takes no more steps.
_LOCK_FREE = f"""
WITH free AS MATERIALIZED (
    SELECT * FROM core.trades WHERE tenant_id = $1 AND id = ANY($2)
    ORDER BY id FOR UPDATE SKIP LOCKED
)
{_select("free", "core.now() AS read_at, ")}
ORDER BY t.id, a.number
"""

_ATTEMPTS = (
    "trade_id uuid, number smallint, id uuid, lp text, state text, lp_reference text, "
    "lp_units numeric, lp_expires_at timestamptz, sent_at timestamptz, venue_order_id text, "
    "filled_units numeric, reason text, checks int, next_check_at timestamptz"
)
_TRANSITIONS = (
    "trade_id uuid, version int, ordinal smallint, attempt smallint, from_state text, "
    "to_state text, action text, actor text, evidence text, correlation_id text"
)
# What every write of trades ends with: the attempts that it touched and the steps that it took,
# of those trades that the expression OF returned.
_STEPS = """
{of}_attempts AS (
    INSERT INTO core.attempts (tenant_id, trade_id, number, id, lp, state, lp_reference, lp_units,
        lp_expires_at, sent_at, venue_order_id, filled_units, reason, checks, next_check_at)
    SELECT $1, a.* FROM {attempts} AS a
    WHERE trade_id IN (SELECT id FROM {of})
    ON CONFLICT (tenant_id, trade_id, number) DO UPDATE SET
        state = EXCLUDED.state, lp_reference = EXCLUDED.lp_reference,
        lp_units = EXCLUDED.lp_units, lp_expires_at = EXCLUDED.lp_expires_at,
        sent_at = EXCLUDED.sent_at, venue_order_id = EXCLUDED.venue_order_id,
        filled_units = EXCLUDED.filled_units, reason = EXCLUDED.reason,
        checks = EXCLUDED.checks, next_check_at = EXCLUDED.next_check_at
), {of}_transitions AS (
    INSERT INTO core.trade_transitions (tenant_id, trade_id, version, ordinal, attempt,
        from_state, to_state, action, actor, evidence, correlation_id, recorded_at)
    SELECT $1, s.*, core.now() FROM {transitions} AS s
    WHERE trade_id IN (SELECT id FROM {of})
)
"""


def _steps_of(of: str, first: int) -> str:
    attempts = arrays(_ATTEMPTS, first=first)
    transitions = arrays(_TRANSITIONS, first=first + _ATTEMPTS.count(",") + 1)
    return _STEPS.format(of=of, attempts=attempts, transitions=transitions)


_TRADES = arrays(
    "id uuid, quote_id uuid, customer_id uuid, side text, instrument text, base_units numeric, "
    "quote_units numeric, lp_units numeric, fee_units numeric, markup_units numeric, "
    "lp_order text, tolerance_bps int, accepted_at timestamptz, accepted_by uuid, "
    "correlation_id text, state text, hold_entry_id uuid, hold_id uuid, settlement_entry_id uuid, "
    "settlement_ids text, release_entry_id uuid, release_id uuid, version int"
)
_ADD = f"""
new_trades AS (
    INSERT INTO core.trades (tenant_id, id, quote_id, customer_id, side, instrument, base_units,
        quote_units, lp_units, fee_units, markup_units, lp_order, tolerance_bps, accepted_at,
        accepted_by, correlation_id, state, hold_entry_id, hold_id, settlement_entry_id,
        settlement_ids, release_entry_id, release_id, version)
    SELECT $1, id, quote_id, customer_id, side, instrument, base_units, quote_units, lp_units,
        fee_units, markup_units, lp_order::text[], tolerance_bps, accepted_at, accepted_by,
        correlation_id, state, hold_entry_id, hold_id, settlement_entry_id,
        settlement_ids::uuid[], release_entry_id, release_id, version
    FROM {_TRADES} AS t
    RETURNING id
), {_steps_of("new_trades", 26)}, new_leases AS (
    INSERT INTO core.trade_queue (tenant_id, trade_id, due_at, leased_until, token)
    SELECT $1, id, accepted_at, accepted_at + leased_for, {FIRST_TOKEN}
    FROM (SELECT unnest($2::uuid[]) AS id, unnest($14::timestamptz[]) AS accepted_at,
        unnest($25::interval[]) AS leased_for) AS q
)
"""

_SAVED_TRADES = arrays(
    "id uuid, version int, state text, rejection_reason text, unknown_since timestamptz, "
    "ended_at timestamptz, token bigint, due_at timestamptz"
)
# The lease is asked for first: without it not one row of the trade is written.
_SAVE = f"""
given AS MATERIALIZED (
    SELECT * FROM {_SAVED_TRADES} AS g
), lease AS (
    UPDATE core.trade_queue AS q SET due_at = coalesce(g.due_at, q.due_at),
        leased_until = CASE WHEN g.due_at IS NULL THEN q.leased_until ELSE core.now() END
    FROM given AS g
    WHERE q.tenant_id = $1 AND q.trade_id = ANY($2) AND q.trade_id = g.id AND q.token = g.token
        AND g.ended_at IS NULL
    RETURNING q.trade_id AS id
), ended AS (
    DELETE FROM core.trade_queue AS q USING given AS g
    WHERE q.tenant_id = $1 AND q.trade_id = ANY($2) AND q.trade_id = g.id AND q.token = g.token
        AND g.ended_at IS NOT NULL
    RETURNING q.trade_id AS id
), held AS MATERIALIZED (
    SELECT id FROM lease UNION ALL SELECT id FROM ended
), trades AS (
    UPDATE core.trades AS t SET state = g.state, rejection_reason = g.rejection_reason,
        unknown_since = g.unknown_since, ended_at = g.ended_at, version = g.version + 1
    FROM given AS g JOIN held USING (id)
    WHERE t.tenant_id = $1 AND t.id = ANY($2) AND t.id = g.id AND t.version = g.version
    RETURNING t.id
), {_steps_of("trades", 10)}
"""
_SAVED = "SELECT (ARRAY(SELECT id FROM held), ARRAY(SELECT id FROM trades))"

_NOTE = f"""
noted AS (
    UPDATE core.trades SET version = $3 + 1 WHERE tenant_id = $1 AND id = $2 AND version = $3
    RETURNING id
), {_steps_of("noted", 4)}
"""
_NOTED = "SELECT EXISTS (SELECT FROM noted)"

# A lease that was given back, or has run out, is nobody's to renew.
_RENEW_LEASE = """
UPDATE core.trade_queue SET leased_until = core.now() + $4::interval
WHERE tenant_id = $1 AND trade_id = $2 AND token = $3 AND leased_until > core.now()
RETURNING true
"""

# No trade is due later than its last check plans: what is was planned by a clock that was ahead.
_CLAIM = f"""
UPDATE core.trade_queue AS q SET leased_until = core.now() + $2::interval, token = q.token + 1
FROM (
    SELECT tenant_id, trade_id FROM core.trade_queue
    WHERE (due_at <= core.now() OR due_at > core.now() + interval '1 minute')
        AND {is_free("$2")}
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


class PostgresTrades(TradeRepository):
    """Trades of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, trade_id: TradeId, *, lock: bool = False) -> Trade:
        if lock:
            # Apart: a statement that waits for a row then sees it as it is by now, and the rows
            # that it joins as they were before.
            await self._scope.driver.execute(_LOCK, self._scope.tenant, trade_id.uuid)
        rows = await self._scope.driver.fetch(_GET, self._scope.tenant, trade_id.uuid)
        if not rows:
            raise TradeNotFound("no such trade", trade_id=trade_id)
        return _trade(self._scope, rows)

    async def get_all(self, trade_ids: Sequence[TradeId]) -> Mapping[TradeId, Trade]:
        if not trade_ids:
            return {}
        rows = await self._scope.driver.fetch(
            _GET_ALL, self._scope.tenant, [id.uuid for id in trade_ids]
        )
        found = {TradeId(id): _trade(self._scope, group) for id, group in _by_trade(rows)}
        for id in trade_ids:
            if id not in found:
                raise TradeNotFound("no such trade", trade_id=id)
        return found

    async def steps_of(
        self, trade_ids: Sequence[TradeId]
    ) -> Mapping[TradeId, Sequence[RecordedStep]]:
        steps: dict[TradeId, list[RecordedStep]] = {id: [] for id in trade_ids}
        ids = [id.uuid for id in trade_ids]
        for row in await self._scope.driver.fetch(_STEPS_OF, self._scope.tenant, ids):
            steps[TradeId(row["trade_id"])].append(_recorded_step(row))
        return steps

    async def add(self, trade: Trade, *, lease_for: timedelta) -> TradeLease:
        await write_rows(self._scope, [new_trades([(trade, lease_for)])])
        return first_lease(trade)

    async def save(self, trade: Trade, lease: TradeLease, *, due_at: datetime | None) -> Trade:
        await write_rows(self._scope, [changed_trades([(trade, lease, due_at)])])
        return as_stored(trade)

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
        of_trade = dict(_by_trade(rows))
        trades = [_trade(self._scope, group) for group in of_trade.values()]
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


async def lock_free_trades(
    scope: Scope, ids: Iterable[TradeId]
) -> Mapping[TradeId, tuple[Trade, datetime]]:
    """Lock those trades that exist and that nobody else has locked; the clock is read after."""
    rows = await scope.driver.fetch(_LOCK_FREE, scope.tenant, [id.uuid for id in ids])
    return {
        TradeId(id): (_trade(scope, group), group[-1]["read_at"]) for id, group in _by_trade(rows)
    }


def new_trades(added: Sequence[tuple[Trade, timedelta]]) -> Write:
    """Store new trades, each queued and leased for its time."""
    trades = [trade for trade, _ in added]
    ledger_ids = [trade.ledger_ids for trade in trades]
    arguments = (
        [trade.id for trade in trades],
        [trade.quote_id for trade in trades],
        *terms_columns(trades),
        [array_literal(trade.lp_order) for trade in trades],
        [trade.tolerance_bps for trade in trades],
        [trade.accepted_at for trade in trades],
        [trade.accepted_by for trade in trades],
        [trade.correlation_id for trade in trades],
        [trade.state for trade in trades],
        [ids.hold_entry for ids in ledger_ids],
        [ids.hold for ids in ledger_ids],
        [ids.settlement_entry for ids in ledger_ids],
        [array_literal(id.bytes.hex() for id in ids.settlement) for ids in ledger_ids],
        [ids.release_entry for ids in ledger_ids],
        [ids.release for ids in ledger_ids],
        [trade.version for trade in trades],
        [lease_for for _, lease_for in added],
        *_steps([(trade, trade.version) for trade in trades]),
    )
    return Write(_ADD, arguments)


def first_lease(trade: Trade) -> TradeLease:
    """Return the lease under which a new trade is stored."""
    return TradeLease(tenant_id=trade.tenant_id, trade_id=trade.id, token=FIRST_TOKEN)


def changed_trades(saved: Sequence[tuple[Trade, TradeLease, datetime | None]]) -> Write:
    """Replace the version of each; the check raises `StaleLease` or `VersionConflict`.

    Of a trade that it is raised of not one row is written, of the others all are.
    """
    trades = [trade for trade, _, _ in saved]

    def check(found: tuple[Sequence[UUID], Sequence[UUID]]) -> None:
        held, stored = found
        for trade in trades:
            if trade.id.uuid not in held:
                raise StaleLease("somebody else works on the trade", trade_id=trade.id)
            if trade.id.uuid not in stored:
                raise VersionConflict("somebody else changed the trade first", trade_id=trade.id)

    arguments = (
        [trade.id for trade in trades],
        [trade.version for trade in trades],
        [trade.state for trade in trades],
        [trade.rejection_reason for trade in trades],
        [trade.unknown_since for trade in trades],
        [trade.ended_at for trade in trades],
        [lease.token for _, lease, _ in saved],
        [due_at for _, _, due_at in saved],
        *_steps([(trade, trade.version + 1) for trade in trades], stored=_touched),
    )
    return Write(_SAVE, arguments, found=_SAVED, check=check)


def noted_steps(trade: Trade) -> Write:
    """Store the new steps of a trade whose state they leave as it is.

    The check raises `VersionConflict`.
    """

    def check(is_noted: bool) -> None:
        if not is_noted:
            raise VersionConflict("somebody else changed the trade first", trade_id=trade.id)

    arguments = (trade.id.uuid, trade.version, *_steps([(trade, trade.version + 1)]))
    return Write(_NOTE, arguments, found=_NOTED, check=check)


def as_stored(trade: Trade) -> Trade:
    """Return the trade as it is once it is saved."""
    return replace(trade, version=trade.version + 1, transitions=())


def _stepped(trade: Trade) -> Sequence[Attempt]:
    """Return the attempts that took a step."""
    numbers = {step.attempt for step in trade.transitions}
    return [attempt for attempt in trade.attempts if attempt.number in numbers]


def _touched(trade: Trade) -> Sequence[Attempt]:
    """Return the attempts that whoever works on the trade may have changed."""
    stepped = _stepped(trade)
    if trade.attempts and trade.attempt.state is AttemptState.UNKNOWN:
        # Another check without an answer is no step.
        return [*(attempt for attempt in stepped if attempt is not trade.attempt), trade.attempt]
    return stepped


def _steps(
    trades: Sequence[tuple[Trade, int]],
    *,
    stored: Callable[[Trade], Sequence[Attempt]] = _stepped,
) -> tuple[Any, ...]:
    """Return the parameters of the attempts to be stored, and of the new steps.

    With each trade comes the version that it is stored as.
    """
    attempts = [(trade.id, attempt) for trade, _ in trades for attempt in stored(trade)]
    steps = [
        (trade, version, ordinal, step)
        for trade, version in trades
        for ordinal, step in enumerate(trade.transitions, start=1)
    ]
    return (
        [trade_id for trade_id, _ in attempts],
        [attempt.number for _, attempt in attempts],
        [attempt.id for _, attempt in attempts],
        [attempt.lp for _, attempt in attempts],
        [attempt.state for _, attempt in attempts],
        [attempt.lp_reference for _, attempt in attempts],
        [attempt.lp_amount.units if attempt.lp_amount else None for _, attempt in attempts],
        [attempt.lp_expires_at for _, attempt in attempts],
        [attempt.sent_at for _, attempt in attempts],
        [attempt.venue_order_id for _, attempt in attempts],
        [attempt.filled_amount.units if attempt.filled_amount else None for _, attempt in attempts],
        [attempt.reason for _, attempt in attempts],
        [attempt.checks for _, attempt in attempts],
        [attempt.next_check_at for _, attempt in attempts],
        [trade.id for trade, _, _, _ in steps],
        [version for _, version, _, _ in steps],
        [ordinal for _, _, ordinal, _ in steps],
        [step.attempt for _, _, _, step in steps],
        [step.from_state for _, _, _, step in steps],
        [step.to_state for _, _, _, step in steps],
        [step.action for _, _, _, step in steps],
        [step.actor for _, _, _, step in steps],
        [step.evidence for _, _, _, step in steps],
        [trade.correlation_id for trade, _, _, _ in steps],
    )


def _by_trade(rows: Sequence[Any]) -> Iterator[tuple[UUID, list[Any]]]:
    """Yield each trade's id with its rows, one for each attempt."""
    for id, group in groupby(rows, itemgetter("id")):
        yield id, list(group)


def _trade(scope: Scope, rows: Sequence[Any]) -> Trade:
    """Return the trade whose columns every row of an attempt repeats."""
    row = rows[0]
    instrument = scope.instrument(row["instrument"])
    base, waterfall = terms_of(row, instrument)
    return Trade(
        id=TradeId(row["id"]),
        tenant_id=scope.tenant_id,
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
            for attempt in rows
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


def _recorded_step(row: Any) -> RecordedStep:
    step = Transition(
        attempt=row["attempt"],
        from_state=row["from_state"],
        to_state=row["to_state"],
        action=row["action"],
        actor=row["actor"],
        evidence=row["evidence"],
    )
    return RecordedStep(step, row["version"], row["recorded_at"])


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
