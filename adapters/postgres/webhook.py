"""Webhooks: endpoints and deliveries of a tenant, and the queue of all tenants.

Of one subject an endpoint gets one delivery at a time: only the first that is pending has a time at
which it is due. Whoever changes which one that is locks the endpoint's queue before he looks.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.lease import held, is_free
from adapters.postgres.scope import Scope, page_of
from adapters.wire.event import cloud_event_json, stamped
from domain.errors import VersionConflict
from domain.ids import EventId, TenantId, WebhookDeliveryId, WebhookEndpointId
from domain.webhook.delivery import (
    EXPIRES_AFTER,
    Attempt,
    Delivery,
    DeliveryState,
    Failure,
    Health,
)
from domain.webhook.endpoint import TESTED, DisabledReason, Endpoint, EndpointState
from domain.webhook.errors import WebhookDeliveryNotFound, WebhookEndpointNotFound
from ports.lease import Lease
from ports.page import Page, PageRequest
from ports.webhook import (
    DeliveryPlanner,
    DueDelivery,
    EndpointLease,
    EndpointTaken,
    Replayed,
    Sent,
    WebhookDeliveries,
    WebhookEndpoints,
    WebhookLog,
    WebhookQueue,
)

_BURY_LATE: Final = timedelta(minutes=1)
_SEND_LATE: Final = timedelta(seconds=40)
"""How long after it has expired a delivery is buried, and until when it is still sent. In between
lies more than an attempt takes, so that nothing is buried while it is being sent."""

_TAKES: Final = f"""
(e.event_types = '{{}}' OR o.type = ANY(e.event_types)
    OR split_part(o.type, '.', 1) || '.*' = ANY(e.event_types)) AND o.type <> '{TESTED}'
"""
"""Whether an endpoint `e` takes an event `o`."""

_IS_FOR: Final = f"({_TAKES} OR o.type = '{TESTED}' AND o.subject = e.name)"
"""The same, its own test events included."""

_GET_ENDPOINT: Final = """
SELECT * FROM core.webhook_endpoints
WHERE tenant_id = $1 AND id = $2 AND (state <> 'deleted' OR $3)
"""

_ADD_ENDPOINT: Final = """
WITH added AS (
    INSERT INTO core.webhook_endpoints (tenant_id, id, name, url, description, event_types, state,
        disabled_reason, secret, created_at, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    RETURNING tenant_id, id
)
INSERT INTO core.webhook_queues (tenant_id, endpoint_id) SELECT tenant_id, id FROM added
"""

_SAVE_ENDPOINT: Final = """
UPDATE core.webhook_endpoints SET url = $4, description = $5, event_types = $6, version = $3
WHERE tenant_id = $1 AND id = $2 AND version = $3 - 1
RETURNING true
"""

_SAVE_STATE: Final = """
UPDATE core.webhook_endpoints SET state = $4, disabled_reason = $5, version = $3
WHERE tenant_id = $1 AND id = $2 AND version = $3 - 1
RETURNING true
"""

_DELETE_ENDPOINT: Final = """
UPDATE core.webhook_endpoints SET state = $4, disabled_reason = $5, version = $3, secret = NULL,
    previous_secret = NULL, previous_secret_expires_at = NULL
WHERE tenant_id = $1 AND id = $2 AND version = $3 - 1
RETURNING true
"""

_ROTATE_SECRET: Final = """
UPDATE core.webhook_endpoints SET previous_secret = secret, previous_secret_expires_at = $5,
    secret = $4, version = $3
WHERE tenant_id = $1 AND id = $2 AND version = $3 - 1
RETURNING true
"""

_LIST_ENDPOINTS: Final = """
SELECT * FROM core.webhook_endpoints
WHERE tenant_id = $1 AND state <> 'deleted' AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3
"""

_COUNT_ENDPOINTS: Final = """
SELECT count(*) FROM core.webhook_endpoints WHERE tenant_id = $1 AND state <> 'deleted'
"""

_LOCK_QUEUE: Final = """
SELECT FROM core.webhook_queues WHERE tenant_id = $1 AND endpoint_id = $2 FOR UPDATE
"""

# What has failed until now says nothing about what is asked for from here on.
_WAKE: Final = """
UPDATE core.webhook_queues AS q SET held_until = '-infinity', due_at = (
    SELECT min(d.due_at) FROM core.webhook_deliveries AS d
    JOIN core.webhook_endpoints AS e ON e.tenant_id = $1 AND e.id = $2 AND e.state = 'enabled'
    WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.due_at IS NOT NULL)
WHERE q.tenant_id = $1 AND q.endpoint_id = $2
"""

_DUE_AT_ONCE: Final = """
UPDATE core.webhook_deliveries SET due_at = core.now()
WHERE tenant_id = $1 AND endpoint_id = $2 AND due_at > (SELECT core.now())
"""

# Lane by lane by its index, whatever the statistics of a table that grew a moment ago may say.
_ADVANCE: Final = """
UPDATE core.webhook_deliveries AS d SET due_at = core.now()
WHERE d.tenant_id = ANY($1) AND d.id = ANY(ARRAY(
    SELECT (
        SELECT id FROM core.webhook_deliveries
        WHERE tenant_id = lane.tenant_id AND endpoint_id = lane.endpoint_id
            AND subject = lane.subject AND state = 'pending'
        ORDER BY sequence LIMIT 1)
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS lane (tenant_id, endpoint_id, subject)
    WHERE (
        SELECT id FROM core.webhook_deliveries
        WHERE tenant_id = lane.tenant_id AND endpoint_id = lane.endpoint_id
            AND subject = lane.subject AND due_at IS NOT NULL
        LIMIT 1) IS NULL))
"""
"""Make the first delivery of subjects due where none is; the queues are locked."""

_GET_DELIVERY: Final = "SELECT * FROM core.webhook_deliveries WHERE tenant_id = $1 AND id = $2"

_LIST_DELIVERIES: Final = """
SELECT * FROM core.webhook_deliveries
WHERE tenant_id = $1 AND endpoint_id = $2 AND ($3::uuid IS NULL OR id < $3)
    AND ($4::text IS NULL OR state = $4)
ORDER BY id DESC LIMIT $5
"""

_LIST_ATTEMPTS: Final = """
SELECT * FROM core.webhook_attempts
WHERE tenant_id = $1 AND delivery_id = $2 AND ($3::integer IS NULL OR number < $3)
ORDER BY number DESC LIMIT $4
"""

_EVENT: Final = """
SELECT payload, recorded_at AS stored_at FROM core.outbox
WHERE tenant_id = $1 AND id = $2
"""

_BEGIN_AGAIN: Final = """
UPDATE core.webhook_deliveries
SET state = 'pending', failures = 0, expires_at = core.now() + $3::interval, ended_at = NULL
WHERE tenant_id = $1 AND id = ANY($2) AND state <> 'pending'
RETURNING subject
"""

_DEAD: Final = """
SELECT id, sequence FROM core.webhook_deliveries
WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'dead' ORDER BY sequence LIMIT $3
"""

_REPLAY_EVENTS: Final = f"""
INSERT INTO core.webhook_deliveries AS d (tenant_id, endpoint_id, sequence, event_id, event_type,
    subject, state, expires_at, recorded_at)
SELECT o.tenant_id, e.id, o.sequence, o.id, o.type, o.subject, 'pending',
    core.now() + $5::interval, core.now()
FROM core.webhook_endpoints AS e JOIN core.outbox AS o ON o.tenant_id = e.tenant_id
WHERE e.tenant_id = $1 AND e.id = $2 AND o.sequence BETWEEN $3 AND $4 AND {_TAKES}
ORDER BY o.sequence
ON CONFLICT (tenant_id, endpoint_id, event_id) DO UPDATE
SET state = 'pending', failures = 0, expires_at = EXCLUDED.expires_at, ended_at = NULL
WHERE d.state <> 'pending'
RETURNING subject
"""

_LAST_SEQUENCE: Final = "SELECT last FROM core.event_heads WHERE tenant_id = $1"

_HAS_UNPLANNED: Final = "SELECT EXISTS (SELECT FROM core.event_heads WHERE planned < last)"

# The furthest behind first, so that nobody is left out for long.
_UNPLANNED: Final = """
SELECT tenant_id, planned AS after, least(last, planned + $1) AS through
FROM core.event_heads WHERE planned < last ORDER BY last - planned DESC LIMIT $2
"""

_LOCK_QUEUES: Final = """
SELECT q.endpoint_id FROM core.webhook_queues AS q
JOIN core.webhook_endpoints AS e ON e.tenant_id = q.tenant_id AND e.id = q.endpoint_id
WHERE q.tenant_id = ANY($1) AND e.state = 'enabled'
ORDER BY q.tenant_id, q.endpoint_id FOR UPDATE OF q
"""

# A replay may have made deliveries of events that wait to be planned. They take no place, or the
# lane of one that has ended would wait for nothing. With the queues locked, no more are made.
# They are looked for in an order that one index has: a plan made while the table was small would
# take equality to another one, and read all that the endpoint was ever sent.
_PLAN: Final = f"""
WITH found AS (
    SELECT o.tenant_id, e.id AS endpoint_id, o.sequence, o.id, o.type, o.subject,
        row_number() OVER (PARTITION BY e.id, o.subject ORDER BY o.sequence) AS place
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS part (tenant_id, after, through)
    JOIN core.webhook_endpoints AS e ON e.tenant_id = part.tenant_id AND e.id = ANY($4)
    CROSS JOIN LATERAL (
        SELECT * FROM core.outbox WHERE tenant_id = part.tenant_id
            AND sequence > part.after AND sequence <= part.through
        OFFSET 0
    ) AS o
    WHERE o.recorded_at >= e.created_at AND {_IS_FOR} AND o.id IS DISTINCT FROM (
        SELECT event_id FROM core.webhook_deliveries
        WHERE tenant_id = o.tenant_id AND endpoint_id = e.id AND event_id >= o.id
        ORDER BY event_id LIMIT 1)
), planned AS (
    INSERT INTO core.webhook_deliveries (tenant_id, endpoint_id, sequence, event_id, event_type,
        subject, state, due_at, expires_at, recorded_at)
    SELECT tenant_id, endpoint_id, sequence, id, type, subject, 'pending',
        CASE WHEN place = 1 AND NOT EXISTS (
            SELECT FROM core.webhook_deliveries AS w
            WHERE w.tenant_id = found.tenant_id AND w.endpoint_id = found.endpoint_id
                AND w.subject = found.subject AND w.state = 'pending') THEN core.now() END,
        core.now() + $5::interval, core.now()
    FROM found ORDER BY sequence
    ON CONFLICT (tenant_id, endpoint_id, event_id) DO NOTHING
    RETURNING tenant_id, endpoint_id, due_at
)
UPDATE core.webhook_queues AS q
SET due_at = least(q.due_at, greatest(first.due_at, q.held_until))
FROM (SELECT tenant_id, endpoint_id, min(due_at) AS due_at FROM planned
    WHERE due_at IS NOT NULL GROUP BY tenant_id, endpoint_id) AS first
WHERE q.tenant_id = first.tenant_id AND q.endpoint_id = first.endpoint_id
"""

# Heads are locked in the order in which the sequencer locks them.
_PLANNED: Final = """
WITH heads AS MATERIALIZED (
    SELECT tenant_id FROM core.event_heads WHERE tenant_id = ANY($1)
    ORDER BY tenant_id FOR NO KEY UPDATE
)
UPDATE core.event_heads AS h SET planned = part.through
FROM heads JOIN unnest($1::uuid[], $2::bigint[]) AS part (tenant_id, through) USING (tenant_id)
WHERE h.tenant_id = heads.tenant_id
"""

_CLAIM: Final = f"""
WITH prompt AS (
    SELECT tenant_id, endpoint_id FROM core.webhook_queues
    WHERE NOT is_slow AND due_at <= (SELECT core.now()) AND {is_free("$3")}
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), slow AS (
    SELECT tenant_id, endpoint_id FROM core.webhook_queues
    WHERE is_slow AND due_at <= (SELECT core.now()) AND {is_free("$3")}
    ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE core.webhook_queues AS q
SET leased_until = core.now() + $3::interval, token = q.token + 1
FROM (SELECT * FROM prompt UNION ALL SELECT * FROM slow) AS due
JOIN core.webhook_endpoints AS e ON e.tenant_id = due.tenant_id AND e.id = due.endpoint_id
WHERE q.tenant_id = due.tenant_id AND q.endpoint_id = due.endpoint_id
RETURNING q.tenant_id, q.endpoint_id, q.token, q.failures, q.is_slow, e.url, e.secret,
    CASE WHEN e.previous_secret_expires_at > core.now() THEN e.previous_secret END
        AS previous_secret
"""

_DUE: Final = """
SELECT d.*, o.payload, o.recorded_at AS stored_at
FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS part (tenant_id, endpoint_id, most)
JOIN core.webhook_endpoints AS e
    ON e.tenant_id = part.tenant_id AND e.id = part.endpoint_id AND e.state = 'enabled'
CROSS JOIN LATERAL (
    SELECT * FROM core.webhook_deliveries
    WHERE tenant_id = part.tenant_id AND endpoint_id = part.endpoint_id
        AND due_at <= (SELECT core.now()) AND expires_at > (SELECT core.now()) - $5::interval
        AND id <> ALL($4)
    ORDER BY due_at, sequence LIMIT part.most
) AS d
CROSS JOIN LATERAL (
    SELECT payload, recorded_at FROM core.outbox
    WHERE tenant_id = d.tenant_id AND id = d.event_id LIMIT 1
) AS o
"""

_HOLD: Final = """
SELECT true FROM core.webhook_queues
WHERE tenant_id = $1 AND endpoint_id = $2 AND token = $3 FOR UPDATE
"""

_CONCLUDE: Final = """
WITH sent AS (
    SELECT * FROM unnest($2::uuid[], $3::integer[], $4::timestamptz[], $5::integer[],
        $6::smallint[], $7::text[], $8::text[], $9::bytea[], $10::text[], $11::timestamptz[],
        $12::integer[], $13::timestamptz[])
    AS s (id, number, started_at, latency_ms, status, failure, detail, response_body, state,
        due_at, failures, ended_at)
), logged AS (
    INSERT INTO core.webhook_attempts (tenant_id, delivery_id, number, started_at, latency_ms,
        status, failure, detail, response_body)
    SELECT $1, id, number, started_at, latency_ms, status, failure, detail, response_body FROM sent
)
UPDATE core.webhook_deliveries AS d SET state = sent.state, due_at = sent.due_at,
    attempts = sent.number, failures = sent.failures, ended_at = sent.ended_at
FROM sent WHERE d.tenant_id = $1 AND d.id = ANY($2) AND d.id = sent.id
"""

_RELEASE: Final = """
UPDATE core.webhook_queues AS q
SET leased_until = core.now(), failures = $3, is_slow = $5,
    held_until = coalesce($4::timestamptz, '-infinity'),
    due_at = (
        SELECT greatest(min(d.due_at), $4::timestamptz) FROM core.webhook_deliveries AS d
        JOIN core.webhook_endpoints AS e ON e.tenant_id = $1 AND e.id = $2 AND e.state = 'enabled'
        WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.due_at IS NOT NULL
            AND d.expires_at > (SELECT core.now()) - $6::interval
        HAVING count(*) > 0)
WHERE q.tenant_id = $1 AND q.endpoint_id = $2
"""

_EXPIRED: Final = """
SELECT tenant_id, endpoint_id, id FROM core.webhook_deliveries
WHERE state = 'pending' AND expires_at < (SELECT core.now()) - $1::interval
ORDER BY expires_at LIMIT $2
"""

_LOCK_QUEUES_OF: Final = """
SELECT FROM core.webhook_queues AS q
WHERE (tenant_id, endpoint_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY tenant_id, endpoint_id FOR UPDATE
"""

_BURY: Final = """
UPDATE core.webhook_deliveries SET state = 'dead', due_at = NULL, ended_at = core.now()
WHERE (tenant_id, id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) AND state = 'pending'
    AND expires_at < core.now()
RETURNING tenant_id, endpoint_id, subject
"""

_DUE_AGAIN: Final = """
UPDATE core.webhook_queues AS q SET due_at = least(q.due_at, greatest(core.now(), q.held_until))
FROM core.webhook_endpoints AS e
WHERE (q.tenant_id, q.endpoint_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
    AND e.tenant_id = q.tenant_id AND e.id = q.endpoint_id AND e.state = 'enabled'
"""

_FORGET: Final = """
WITH old AS (
    DELETE FROM core.webhook_deliveries WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM core.webhook_deliveries
        WHERE ended_at < (SELECT core.now()) - $1::interval ORDER BY ended_at LIMIT $2)
    RETURNING tenant_id, id
), attempts AS (
    DELETE FROM core.webhook_attempts AS a USING old
    WHERE a.tenant_id = old.tenant_id AND a.delivery_id = old.id
)
SELECT count(*) FROM old
"""


class PostgresWebhookEndpoints(WebhookEndpoints):
    """Endpoints of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(
        self, id: WebhookEndpointId, *, lock: bool = False, with_deleted: bool = False
    ) -> Endpoint:
        query = _GET_ENDPOINT + "FOR UPDATE" if lock else _GET_ENDPOINT
        row = await self._scope.driver.fetchrow(query, self._scope.tenant, id.uuid, with_deleted)
        if row is None:
            raise WebhookEndpointNotFound("no such endpoint", endpoint_id=id)
        return _endpoint(row)

    async def add(self, endpoint: Endpoint, *, sealed_secret: bytes) -> None:
        await self._scope.driver.execute(
            _ADD_ENDPOINT,
            self._scope.tenant,
            endpoint.id.uuid,
            str(endpoint.id),
            endpoint.url,
            endpoint.description,
            list(endpoint.event_types),
            endpoint.state,
            endpoint.disabled_reason,
            sealed_secret,
            endpoint.created_at,
            endpoint.version,
        )

    async def save(self, endpoint: Endpoint) -> None:
        await self._save(
            _SAVE_ENDPOINT,
            endpoint,
            endpoint.url,
            endpoint.description,
            list(endpoint.event_types),
        )
        await self.wake(endpoint.id)

    async def save_state(self, endpoint: Endpoint) -> None:
        is_deleted = endpoint.state is EndpointState.DELETED
        await self._save(
            _DELETE_ENDPOINT if is_deleted else _SAVE_STATE,
            endpoint,
            endpoint.state,
            endpoint.disabled_reason,
        )
        await self.wake(endpoint.id)

    async def rotate_secret(self, endpoint: Endpoint, *, sealed_secret: bytes) -> None:
        await self._save(
            _ROTATE_SECRET, endpoint, sealed_secret, endpoint.previous_secret_expires_at
        )

    async def list(self, page: PageRequest) -> Page[Endpoint]:
        rows = await self._scope.driver.fetch(
            _LIST_ENDPOINTS, self._scope.tenant, page.before, page.size + 1
        )
        return page_of([_endpoint(row) for row in rows], [row["id"] for row in rows], page)

    async def count(self) -> int:
        found: int = await self._scope.driver.fetchval(_COUNT_ENDPOINTS, self._scope.tenant)
        return found

    async def wake(self, id: WebhookEndpointId) -> None:
        key = self._scope.tenant, id.uuid
        await self._scope.driver.execute(_LOCK_QUEUE, *key)
        await self._scope.driver.execute(_DUE_AT_ONCE, *key)
        await self._scope.driver.execute(_WAKE, *key)

    async def _save(self, statement: str, endpoint: Endpoint, *values: object) -> None:
        is_saved = await self._scope.driver.fetchval(
            statement, self._scope.tenant, endpoint.id.uuid, endpoint.version, *values
        )
        if not is_saved:
            raise VersionConflict("somebody else changed it first")


class PostgresWebhookDeliveries(WebhookDeliveries):
    """Deliveries of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, id: WebhookDeliveryId) -> Delivery:
        row = await self._scope.driver.fetchrow(_GET_DELIVERY, self._scope.tenant, id.uuid)
        if row is None:
            raise WebhookDeliveryNotFound("no such delivery", delivery_id=id)
        return _delivery(row)

    async def body(self, delivery: Delivery) -> bytes:
        row = await self._scope.driver.fetchrow(_EVENT, self._scope.tenant, delivery.event_id.uuid)
        return _body({**row, "sequence": delivery.sequence})

    async def list(
        self, endpoint_id: WebhookEndpointId, page: PageRequest, *, state: DeliveryState | None
    ) -> Page[Delivery]:
        rows = await self._scope.driver.fetch(
            _LIST_DELIVERIES,
            self._scope.tenant,
            endpoint_id.uuid,
            page.before,
            state,
            page.size + 1,
        )
        return page_of([_delivery(row) for row in rows], [row["id"] for row in rows], page)

    async def list_attempts(
        self, delivery_id: WebhookDeliveryId, page: PageRequest
    ) -> Page[Attempt]:
        rows = await self._scope.driver.fetch(
            _LIST_ATTEMPTS, self._scope.tenant, delivery_id.uuid, page.before, page.size + 1
        )
        return page_of([_attempt(row) for row in rows], [row["number"] for row in rows], page)

    async def replay(self, delivery: Delivery) -> Delivery:
        key = self._scope.tenant, delivery.endpoint_id.uuid
        await self._scope.driver.execute(_LOCK_QUEUE, *key)
        await self._begin_again(delivery.endpoint_id, [delivery.id.uuid])
        return await self.get(delivery.id)

    async def replay_dead(self, endpoint_id: WebhookEndpointId, *, limit: int) -> Replayed:
        key = self._scope.tenant, endpoint_id.uuid
        await self._scope.driver.execute(_LOCK_QUEUE, *key)
        rows = await self._scope.driver.fetch(_DEAD, *key, limit + 1)
        await self._begin_again(endpoint_id, [row["id"] for row in rows[:limit]])
        next_sequence = rows[limit]["sequence"] if len(rows) > limit else None
        return Replayed(len(rows[:limit]), next_sequence)

    async def replay_events(
        self, endpoint: Endpoint, *, first_sequence: int, last_sequence: int, limit: int
    ) -> Replayed:
        key = self._scope.tenant, endpoint.id.uuid
        known = await self._scope.driver.fetchval(_LAST_SEQUENCE, self._scope.tenant) or 0
        end = min(last_sequence, known)
        last = min(end, first_sequence + limit - 1)
        await self._scope.driver.execute(_LOCK_QUEUE, *key)
        rows = await self._scope.driver.fetch(
            _REPLAY_EVENTS, *key, first_sequence, last, EXPIRES_AFTER
        )
        await self._send_on(endpoint.id, rows)
        return Replayed(len(rows), last + 1 if last < end else None)

    async def _begin_again(self, endpoint_id: WebhookEndpointId, ids: Sequence[Any]) -> None:
        rows = await self._scope.driver.fetch(
            _BEGIN_AGAIN, self._scope.tenant, list(ids), EXPIRES_AFTER
        )
        await self._send_on(endpoint_id, rows)

    async def _send_on(self, endpoint_id: WebhookEndpointId, rows: Sequence[Any]) -> None:
        """Have what was begun again sent in its turn."""
        tenant, endpoint = self._scope.tenant, endpoint_id.uuid
        subjects = sorted({row["subject"] for row in rows})
        lanes = [tenant] * len(subjects), [endpoint] * len(subjects), subjects
        await self._scope.driver.execute(_ADVANCE, *lanes)
        await self._scope.driver.execute(_WAKE, tenant, endpoint)


class PostgresWebhookPlanner(DeliveryPlanner):
    """Set-wise; its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def plan(self, lease: Lease, *, events_of_tenant: int, tenants: int) -> bool:
        async with held(self._engine, lease, if_any=_HAS_UNPLANNED) as driver:
            if driver is None:
                return False
            parts = await driver.fetch(_UNPLANNED, events_of_tenant, tenants)
            if not parts:
                return False
            tenant_ids = [part["tenant_id"] for part in parts]
            through = [part["through"] for part in parts]
            queues = await driver.fetch(_LOCK_QUEUES, tenant_ids)
            if queues:
                after = [part["after"] for part in parts]
                endpoints = [queue["endpoint_id"] for queue in queues]
                await driver.execute(_PLAN, tenant_ids, after, through, endpoints, EXPIRES_AFTER)
            await driver.execute(_PLANNED, tenant_ids, through)
        is_cut = any(part["through"] - part["after"] == events_of_tenant for part in parts)
        return is_cut or len(parts) == tenants


class PostgresWebhookLog(WebhookLog):
    """Its engine connects as the work role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def bury_expired(self, lease: Lease, *, limit: int) -> int:
        async with held(self._engine, lease) as driver:
            if driver is None:
                return 0
            rows = await driver.fetch(_EXPIRED, _BURY_LATE, limit)
            if not rows:
                return 0
            tenant_ids = [row["tenant_id"] for row in rows]
            endpoints = tenant_ids, [row["endpoint_id"] for row in rows]
            await driver.execute(_LOCK_QUEUES_OF, *endpoints)
            buried = await driver.fetch(_BURY, tenant_ids, [row["id"] for row in rows])
            lanes = sorted({tuple(row) for row in buried})
            await driver.execute(_ADVANCE, *_columns(lanes, 3))
            await driver.execute(_DUE_AGAIN, *endpoints)
        return len(rows)

    async def forget(self, lease: Lease, *, kept_for: timedelta, limit: int) -> int:
        async with held(self._engine, lease) as driver:
            if driver is None:
                return 0
            forgotten: int = await driver.fetchval(_FORGET, kept_for, limit)
        return forgotten


class PostgresWebhookQueue(WebhookQueue):
    """Its engine connects as the work role; many who ask at once take turns at its connections."""

    def __init__(self, engine: AsyncEngine, *, connections: int) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(connections)

    async def claim(
        self, *, prompt: int, slow: int, first: int, lease_for: timedelta
    ) -> Sequence[EndpointLease]:
        async with self._turns, borrowed_driver(self._engine) as driver:
            rows = await driver.fetch(_CLAIM, prompt, slow, lease_for)
            healths = [Health(row["failures"]) for row in rows]
            most = [1 if health.is_failing else first for health in healths]
            keys = [row["tenant_id"] for row in rows], [row["endpoint_id"] for row in rows]
            due = await driver.fetch(_DUE, *keys, most, [], _SEND_LATE) if rows else []
        of_endpoint: dict[Any, list[DueDelivery]] = {}
        for row in due:
            of_endpoint.setdefault(row["endpoint_id"], []).append(_due(row))
        return [
            EndpointLease(
                tenant_id=TenantId(row["tenant_id"]),
                endpoint_id=WebhookEndpointId(row["endpoint_id"]),
                url=row["url"],
                sealed_secrets=tuple(
                    sealed for sealed in (row["secret"], row["previous_secret"]) if sealed
                ),
                health=health,
                is_slow=row["is_slow"],
                token=row["token"],
                due=of_endpoint.get(row["endpoint_id"], ()),
            )
            for row, health in zip(rows, healths, strict=True)
        ]

    async def conclude(
        self,
        lease: EndpointLease,
        sent: Sequence[Sent],
        *,
        in_flight: Sequence[WebhookDeliveryId],
        limit: int,
        health: Health,
        has_recovered: bool,
        is_slow: bool,
    ) -> Sequence[DueDelivery]:
        key = lease.tenant_id.uuid, lease.endpoint_id.uuid
        async with (
            self._turns,
            borrowed_driver(self._engine) as driver,
            driver.transaction(),
        ):
            if not await driver.fetchval(_HOLD, *key, lease.token):
                raise EndpointTaken
            if sent:
                await driver.execute(_CONCLUDE, key[0], *_sent_columns(sent))
            ended = sorted(
                {
                    (*key, one.delivery.subject)
                    for one in sent
                    if one.delivery.state is not DeliveryState.PENDING
                }
            )
            if ended:
                await driver.execute(_ADVANCE, *_columns(ended, 3))
            if has_recovered:
                await driver.execute(_DUE_AT_ONCE, *key)
            rows: Sequence[Any] = ()
            if limit > 0:
                flying = [id.uuid for id in in_flight]
                rows = await driver.fetch(_DUE, [key[0]], [key[1]], [limit], flying, _SEND_LATE)
            if not rows and not in_flight:
                await driver.execute(
                    _RELEASE, *key, health.failures, health.held_until, is_slow, _SEND_LATE
                )
        return [_due(row) for row in rows]


def _columns(rows: Sequence[Sequence[Any]], width: int) -> Sequence[list[Any]]:
    return [[row[place] for row in rows] for place in range(width)]


def _sent_columns(sent: Sequence[Sent]) -> Sequence[list[Any]]:
    """Return the arguments of `_CONCLUDE` after the tenant."""
    return _columns(
        [
            (
                one.delivery.id.uuid,
                one.attempt.number,
                one.attempt.started_at,
                one.attempt.latency_ms,
                one.attempt.status,
                one.attempt.failure,
                one.attempt.detail,
                one.attempt.response_body,
                one.delivery.state,
                one.delivery.due_at,
                one.delivery.failures,
                one.delivery.ended_at,
            )
            for one in sent
        ],
        12,
    )


def _endpoint(row: Any) -> Endpoint:
    reason = row["disabled_reason"]
    return Endpoint(
        id=WebhookEndpointId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        url=row["url"],
        description=row["description"],
        event_types=tuple(row["event_types"]),
        created_at=row["created_at"],
        state=EndpointState(row["state"]),
        disabled_reason=DisabledReason(reason) if reason else None,
        previous_secret_expires_at=row["previous_secret_expires_at"],
        version=row["version"],
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=WebhookDeliveryId(row["id"]),
        endpoint_id=WebhookEndpointId(row["endpoint_id"]),
        event_id=EventId(row["event_id"]),
        sequence=row["sequence"],
        event_type=row["event_type"],
        subject=row["subject"],
        recorded_at=row["recorded_at"],
        expires_at=row["expires_at"],
        due_at=row["due_at"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        failures=row["failures"],
        ended_at=row["ended_at"],
    )


def _attempt(row: Any) -> Attempt:
    return Attempt(
        number=row["number"],
        started_at=row["started_at"],
        latency_ms=row["latency_ms"],
        status=row["status"],
        failure=Failure(row["failure"]) if row["failure"] else None,
        detail=row["detail"],
        response_body=row["response_body"],
    )


def _due(row: Any) -> DueDelivery:
    return DueDelivery(delivery=_delivery(row), body=_body(row))


def _body(row: Mapping[str, Any]) -> bytes:
    stored_at: datetime = row["stored_at"]
    return cloud_event_json(stamped(row["payload"], sequence=row["sequence"], stored_at=stored_at))
