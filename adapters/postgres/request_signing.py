"""Keys that tenants sign their requests with, and the nonces that were used."""

from collections import OrderedDict
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.scope import Scope, page_of
from adapters.postgres.tables import REQUEST_SIGNING_KEYS as KEYS
from adapters.postgres.tables import TENANTS
from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.request_signing import (
    MAX_LIVE_KEYS,
    WINDOW_S,
    RequestSigningKey,
    RequestSigningKeyNotFound,
    SignatureAlgorithm,
    TooManyRequestSigningKeys,
)
from ports.clock import Clock
from ports.page import Page, PageRequest
from ports.request_signing import (
    RequestSigningKeyRepository,
    RequestSigningKeyStore,
    SeenNonces,
)
from ports.unit_of_work import UnitOfWorkFactory

MAX_AGE_S: Final = 0.5
"""Revocation works within a second everywhere, without anybody being told."""

MAX_ENTRIES: Final = 10_000

KEEP_FOR: Final = timedelta(seconds=2 * WINDOW_S + 10)
"""A request is fresh from a minute before its time to a minute after it, by a clock that may differ
a little from the database's."""


class PostgresRequestSigningKeys(RequestSigningKeyRepository):
    """Keys of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, key_id: RequestSigningKeyId) -> RequestSigningKey:
        query = (
            select(KEYS)
            .where(KEYS.c.tenant_id == self._scope.tenant, KEYS.c.id == key_id.uuid)
            .with_for_update()
        )
        row = (await self._scope.connection.execute(query)).one_or_none()
        if row is None:
            raise RequestSigningKeyNotFound("no such key", request_signing_key_id=key_id)
        return _key(row)

    async def add(self, key: RequestSigningKey) -> None:
        # One at a time for a tenant, or two could both be the last one that there is room for.
        await self._scope.connection.execute(
            select(TENANTS.c.tenant_id)
            .where(TENANTS.c.tenant_id == self._scope.tenant)
            .with_for_update()
        )
        if await self._count_live() >= MAX_LIVE_KEYS:
            raise TooManyRequestSigningKeys(
                f"a tenant has {MAX_LIVE_KEYS} live keys at most", maximum=MAX_LIVE_KEYS
            )
        await self._scope.connection.execute(
            insert(KEYS).values(
                tenant_id=self._scope.tenant,
                id=key.id.uuid,
                name=key.name,
                algorithm=key.algorithm,
                public_key=key.public_key,
                created_at=key.created_at,
            )
        )

    async def save(self, key: RequestSigningKey) -> None:
        await self._scope.connection.execute(
            update(KEYS)
            .where(KEYS.c.tenant_id == self._scope.tenant, KEYS.c.id == key.id.uuid)
            .values(revoked_at=key.revoked_at)
        )

    async def has_live_key(self) -> bool:
        return await self._count_live() > 0

    async def list(self, page: PageRequest) -> Page[RequestSigningKey]:
        query = select(KEYS).where(KEYS.c.tenant_id == self._scope.tenant)
        if page.before is not None:
            query = query.where(KEYS.c.id < page.before)
        query = query.order_by(KEYS.c.id.desc()).limit(page.size + 1)
        rows = (await self._scope.connection.execute(query)).all()
        return page_of([_key(row) for row in rows], [row.id for row in rows], page)

    async def _count_live(self) -> int:
        query = (
            select(func.count())
            .select_from(KEYS)
            .where(KEYS.c.tenant_id == self._scope.tenant, KEYS.c.revoked_at.is_(None))
        )
        return int((await self._scope.connection.execute(query)).scalar_one())


class RememberedRequestSigningKeys(RequestSigningKeyStore):
    """Reads a key in a unit of work of its tenant, and believes what it read for half a second."""

    def __init__(self, units_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._units_of_work = units_of_work
        self._clock = clock
        self._known: OrderedDict[
            tuple[TenantId, RequestSigningKeyId], tuple[float, RequestSigningKey]
        ] = OrderedDict()

    async def find(
        self, tenant_id: TenantId, key_id: RequestSigningKeyId
    ) -> RequestSigningKey | None:
        asked_at = self._clock.monotonic()
        name = tenant_id, key_id
        known = self._known.get(name)
        if known is not None and asked_at - known[0] < MAX_AGE_S:
            return known[1]
        try:
            async with self._units_of_work.begin(tenant_id) as uow:
                key = await uow.request_signing_keys.get(key_id)
        except RequestSigningKeyNotFound:
            return None
        self._known[name] = asked_at, key
        self._known.move_to_end(name)
        if len(self._known) > MAX_ENTRIES:
            self._known.popitem(last=False)
        return key


class PostgresSeenNonces(SeenNonces):
    """Its engine connects as the app's role; one statement, and no disk to wait for."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def note(self, key: RequestSigningKey, nonce: str) -> bool:
        async with borrowed_driver(self._engine) as driver:
            return bool(
                await driver.fetchval(
                    "SELECT core.note_nonce($1, $2, $3, $4)",
                    key.tenant_id.uuid,
                    key.id.uuid,
                    nonce,
                    KEEP_FOR,
                )
            )


def _key(row: Any) -> RequestSigningKey:
    return RequestSigningKey(
        id=RequestSigningKeyId(row.id),
        tenant_id=TenantId(row.tenant_id),
        name=row.name,
        algorithm=SignatureAlgorithm(row.algorithm),
        public_key=bytes(row.public_key),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
