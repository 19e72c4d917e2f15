"""Keys that tenants sign their requests with, and the nonces that were used."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from adapters.postgres.latest import Latest
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
    RequestVerifier,
    RequestVerifierStore,
    SeenNonces,
)
from ports.unit_of_work import UnitOfWorkFactory

MAX_AGE_S: Final = 0.5
"""Revocation works within a second everywhere, without anybody being told."""

MAX_ENTRIES: Final = 10_000
AT_ONCE: Final = 256
"""How many nonces one statement notes."""
PAUSE_S: Final = 0.005
MAX_PAUSE_S: Final = 0.01
"""How long after a statement the next one begins at the soonest: so long for each nonce noted,
but for ten milliseconds at most. Most of what a statement costs is the same for one nonce and for
ten; whoever comes alone waits for nobody."""
STATEMENTS_A_LOAN: Final = 64
"""How many go over a connection before it is given back, if they come without end: to borrow one
costs more than a statement."""

KEEP_FOR: Final = timedelta(seconds=2 * WINDOW_S + 10)
"""A request is fresh from a minute before its time to a minute after it, by a clock that may differ
a little from the database's."""


class PostgresRequestSigningKeys(RequestSigningKeyRepository):
    """Keys of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, key_id: RequestSigningKeyId) -> RequestSigningKey:
        row = await self._row(key_id, lock=True)
        if row is None:
            raise RequestSigningKeyNotFound("no such key", request_signing_key_id=key_id)
        return _key(row)

    async def find_live(
        self, key_id: RequestSigningKeyId
    ) -> tuple[RequestSigningKey, bytes | None] | None:
        row = await self._row(key_id, lock=False)
        if row is None or row.revoked_at is not None:
            return None
        return _key(row), row.secret

    async def add(self, key: RequestSigningKey, *, sealed_secret: bytes | None) -> None:
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
                public_key=key.public_key or None,
                secret=sealed_secret,
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

    async def _row(self, key_id: RequestSigningKeyId, *, lock: bool) -> Any:
        query = select(KEYS).where(KEYS.c.tenant_id == self._scope.tenant, KEYS.c.id == key_id.uuid)
        found = await self._scope.connection.execute(query.with_for_update() if lock else query)
        return found.one_or_none()

    async def _count_live(self) -> int:
        query = (
            select(func.count())
            .select_from(KEYS)
            .where(KEYS.c.tenant_id == self._scope.tenant, KEYS.c.revoked_at.is_(None))
        )
        return int((await self._scope.connection.execute(query)).scalar_one())


class RememberedRequestVerifiers(RequestVerifierStore):
    """Reads a key in a unit of work of its tenant, and believes what it read for half a second."""

    def __init__(
        self,
        units_of_work: UnitOfWorkFactory,
        make: Callable[[RequestSigningKey, bytes | None], RequestVerifier],
        clock: Clock,
    ) -> None:
        self._units_of_work = units_of_work
        self._make = make
        self._clock = clock
        self._known: OrderedDict[
            tuple[TenantId, RequestSigningKeyId], Latest[RequestVerifier | None]
        ] = OrderedDict()

    async def find(
        self, tenant_id: TenantId, key_id: RequestSigningKeyId
    ) -> RequestVerifier | None:
        name = tenant_id, key_id
        latest = self._known.get(name)
        if latest is None:
            read = partial(self._read, tenant_id, key_id)
            latest = self._known[name] = Latest(read, self._clock, max_age_s=MAX_AGE_S)
            if len(self._known) > MAX_ENTRIES:
                self._known.popitem(last=False)
        return await latest.get()

    async def _read(
        self, tenant_id: TenantId, key_id: RequestSigningKeyId
    ) -> RequestVerifier | None:
        async with self._units_of_work.begin(tenant_id) as uow:
            found = await uow.request_signing_keys.find_live(key_id)
        return None if found is None else self._make(*found)


class PostgresSeenNonces(SeenNonces):
    """Its engine connects as the app's role. Those that come while one statement is under way, or
    shortly after it, are noted together by the next one; no disk is waited for."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._waiting: list[_Noting] = []
        self._noting: asyncio.Task[None] | None = None

    async def note(self, key: RequestSigningKey, nonce: str) -> bool:
        noting = _Noting((key.tenant_id.uuid, key.id.uuid, nonce))
        self._waiting.append(noting)
        if self._noting is None:
            self._noting = asyncio.create_task(self._note_all())
        return await noting.is_new

    async def drain(self) -> None:
        if self._noting is not None:
            await self._noting

    async def _note_all(self) -> None:
        try:
            while self._waiting:
                await self._note_on_one_loan()
                await self._clock.sleep(0)  # whoever waits for a connection goes first
        finally:
            self._noting = None

    async def _note_on_one_loan(self) -> None:
        batch: Sequence[_Noting] = ()
        try:
            async with borrowed_driver(self._engine) as driver:
                for _ in range(STATEMENTS_A_LOAN):
                    batch = self._next_batch()
                    if not batch:
                        return
                    await self._note_together(driver, batch)
                    await self._clock.sleep(min(len(batch) * PAUSE_S, MAX_PAUSE_S))
        except Exception as error:
            for one in batch or self._next_batch():
                if not one.is_new.done():
                    one.is_new.set_exception(error)

    def _next_batch(self) -> Sequence["_Noting"]:
        # In one order everywhere, so that no two statements wait for each other.
        batch = sorted(self._waiting[:AT_ONCE], key=lambda one: one.row)
        del self._waiting[:AT_ONCE]
        return batch

    async def _note_together(self, driver: Any, batch: Sequence["_Noting"]) -> None:
        are_new = await driver.fetchval(
            "SELECT core.note_nonces($1, $2, $3, $4)",
            *map(list, zip(*(one.row for one in batch), strict=True)),
            KEEP_FOR,
        )
        for one, is_new in zip(batch, are_new, strict=True):
            if not one.is_new.done():
                one.is_new.set_result(is_new)


@dataclass(slots=True)
class _Noting:
    """A nonce with its tenant and key, and who waits to hear whether it is new."""

    row: tuple[UUID, UUID, str]
    is_new: asyncio.Future[bool] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


def _key(row: Any) -> RequestSigningKey:
    return RequestSigningKey(
        id=RequestSigningKeyId(row.id),
        tenant_id=TenantId(row.tenant_id),
        name=row.name,
        algorithm=SignatureAlgorithm(row.algorithm),
        public_key=row.public_key or b"",
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
