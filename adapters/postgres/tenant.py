"""Tenants, customers and keys."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID

from sqlalchemy import Table, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.errors import translated, violated_constraint
from adapters.postgres.scope import Scope, page_of, tenant_lock
from adapters.postgres.tables import API_KEYS, CUSTOMERS, TENANTS
from adapters.postgres.write import Write
from domain.errors import DomainError, VersionConflict
from domain.ids import ApiKeyId, CustomerId, TenantId
from domain.party import Party
from domain.routing import RoutingRule
from domain.tenant.acting import Acting
from domain.tenant.api_key import ApiKey
from domain.tenant.api_key import Scope as KeyScope
from domain.tenant.customer import Customer, CustomerState
from domain.tenant.errors import (
    ApiKeyNotFound,
    CustomerExists,
    CustomerNotFound,
    TenantExists,
    TenantNotFound,
)
from domain.tenant.rate_limit import CostClass, RateLimit
from domain.tenant.tenant import Tenant, TenantSettings, TenantState
from domain.trading_state import TradingState
from ports.page import Page, PageRequest
from ports.tenant import (
    ApiKeyRepository,
    CustomerRepository,
    TenantDirectory,
    TenantRepository,
)

_TENANT = """
SELECT state AS tenant_state, trading_state, NULL AS customer_state, core.now() AS read_at
FROM core.tenants WHERE tenant_id = $1
"""

# The customer's row stays as it is until the commit; closing it takes the stronger lock.
_TENANT_AND_CUSTOMER = """
SELECT t.state AS tenant_state, t.trading_state, c.state AS customer_state, core.now() AS read_at
FROM core.tenants AS t JOIN core.customers AS c ON c.tenant_id = t.tenant_id
WHERE t.tenant_id = $1 AND c.tenant_id = $1 AND c.id = $2
FOR KEY SHARE OF c
"""

# A successor is found by the key that it was rotated from; a tenant has few keys.
_FIND_TWIN = """
SELECT id FROM core.api_keys
WHERE tenant_id = $1 AND (id = $3 OR rotated_from_id = $2)
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4)
ORDER BY id LIMIT 1
"""

# What is noted already, by this process or another, is left as it is.
_NOTE_USES = """
UPDATE core.api_keys AS k SET last_used_at = core.now()
FROM (
    SELECT id FROM core.api_keys
    WHERE tenant_id = $1 AND id = ANY($2)
        AND (last_used_at IS NULL OR last_used_at <= core.now() - interval '1 minute')
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
) AS used
WHERE k.tenant_id = $1 AND k.id = used.id
"""


class PostgresTenants(TenantRepository):
    """The tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, *, lock: bool = False) -> Tenant:
        query = select(TENANTS).where(TENANTS.c.tenant_id == self._scope.tenant)
        row = (
            await self._scope.connection.execute(query.with_for_update() if lock else query)
        ).one_or_none()
        if row is None:
            raise TenantNotFound("no such tenant", tenant_id=self._scope.tenant_id)
        return _tenant(row._mapping)

    async def acting(self, party: Party) -> Acting:
        driver, tenant = self._scope.driver, self._scope.tenant
        if party.customer_id is None:
            row = await driver.fetchrow(_TENANT, tenant)
        else:
            row = await driver.fetchrow(_TENANT_AND_CUSTOMER, tenant, party.customer_id.uuid)
        if row is None:
            raise _nobody(self._scope.tenant_id, party)
        return acting_of(party, row)

    async def require_active(self, party: Party) -> None:
        (await self.acting(party)).require_active()

    async def wait_until_alone(self) -> None:
        await self._scope.driver.execute(
            "SELECT pg_advisory_xact_lock($1)", tenant_lock(self._scope.tenant_id)
        )

    async def add(self, tenant: Tenant) -> None:
        try:
            await self._scope.connection.execute(
                insert(TENANTS).values(
                    **_tenant_row(tenant),
                    tenant_id=tenant.id.uuid,
                    slug=tenant.slug,
                    version=tenant.version,
                    created_at=await self._scope.now(),
                )
            )
        except IntegrityError as error:
            if violated_constraint(error) != "tenants_slug_key":
                raise
            raise TenantExists("the slug is taken", slug=tenant.slug) from error

    async def save(self, tenant: Tenant) -> None:
        await _replace(
            self._scope,
            TENANTS,
            [TENANTS.c.tenant_id == tenant.id.uuid],
            {**_tenant_row(tenant), "version": tenant.version},
        )


class PostgresCustomers(CustomerRepository):
    """Customers of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, customer_id: CustomerId, *, lock: bool = False) -> Customer:
        query = select(CUSTOMERS).where(
            CUSTOMERS.c.tenant_id == self._scope.tenant, CUSTOMERS.c.id == customer_id.uuid
        )
        row = (
            await self._scope.connection.execute(query.with_for_update() if lock else query)
        ).one_or_none()
        if row is None:
            raise CustomerNotFound("no such customer", customer_id=customer_id)
        return _customer(row)

    async def add(self, customer: Customer) -> None:
        try:
            await self._scope.connection.execute(
                insert(CUSTOMERS).values(
                    tenant_id=self._scope.tenant,
                    id=customer.id.uuid,
                    external_id=customer.external_id,
                    state=customer.state,
                    version=customer.version,
                    created_at=await self._scope.now(),
                )
            )
        except IntegrityError as error:
            if violated_constraint(error) != "customers_external_id_key":
                raise
            raise CustomerExists(
                "the external id is taken", external_id=customer.external_id
            ) from error

    async def save(self, customer: Customer) -> None:
        await _replace(
            self._scope,
            CUSTOMERS,
            [CUSTOMERS.c.tenant_id == self._scope.tenant, CUSTOMERS.c.id == customer.id.uuid],
            {"state": customer.state, "version": customer.version},
        )

    async def list(self, page: PageRequest) -> Page[Customer]:
        rows = await _newest_first(self._scope, CUSTOMERS, page)
        return page_of([_customer(row) for row in rows], [row.id for row in rows], page)


class PostgresApiKeys(ApiKeyRepository):
    """Keys of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, api_key_id: ApiKeyId) -> ApiKey:
        query = (
            select(API_KEYS)
            .where(API_KEYS.c.tenant_id == self._scope.tenant, API_KEYS.c.id == api_key_id.uuid)
            .with_for_update()
        )
        row = (await self._scope.connection.execute(query)).one_or_none()
        if row is None:
            raise ApiKeyNotFound("no such key", api_key_id=api_key_id)
        return _api_key(row)

    async def find_twin(self, api_key: ApiKey, *, now: datetime) -> ApiKeyId | None:
        rotated_from = api_key.rotated_from_id and api_key.rotated_from_id.uuid
        found = await self._scope.driver.fetchval(
            _FIND_TWIN, self._scope.tenant, api_key.id.uuid, rotated_from, now
        )
        return None if found is None else ApiKeyId(found)

    async def add(self, api_key: ApiKey, *, secret_hash: bytes) -> None:
        await self._scope.connection.execute(
            insert(API_KEYS).values(
                tenant_id=self._scope.tenant,
                id=api_key.id.uuid,
                name=api_key.name,
                hint=api_key.hint,
                secret_hash=secret_hash,
                scopes=list(api_key.scopes),
                created_at=api_key.created_at,
                expires_at=api_key.expires_at,
                allowed_ip_ranges=[str(one) for one in api_key.allowed_ip_ranges],
                rotated_from_id=api_key.rotated_from_id and api_key.rotated_from_id.uuid,
                methods=list(api_key.methods),
            )
        )

    async def save(self, api_key: ApiKey) -> None:
        await self._scope.connection.execute(
            update(API_KEYS)
            .where(API_KEYS.c.tenant_id == self._scope.tenant, API_KEYS.c.id == api_key.id.uuid)
            .values(revoked_at=api_key.revoked_at, expires_at=api_key.expires_at)
        )

    async def note_uses(self, api_key_ids: Sequence[ApiKeyId]) -> None:
        await self._scope.driver.execute(
            _NOTE_USES, self._scope.tenant, [id.uuid for id in api_key_ids]
        )

    async def list(self, page: PageRequest) -> Page[ApiKey]:
        rows = await _newest_first(self._scope, API_KEYS, page)
        return page_of([_api_key(row) for row in rows], [row.id for row in rows], page)


class PostgresTenantDirectory(TenantDirectory):
    """All tenants, seen from the house."""

    def __init__(self, engine: AsyncEngine, house_id: TenantId) -> None:
        self._engine = engine
        self._house_id = house_id

    @property
    def house_id(self) -> TenantId:
        return self._house_id

    async def list(self, page: PageRequest) -> Page[Tenant]:
        with translated():
            async with self._engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                async with driver.transaction():
                    await driver.execute(f"SET LOCAL app.tenant_id = '{self._house_id.uuid}'")
                    found = await connection.execute(
                        text("SELECT * FROM core.list_tenants(:before, :size)").columns(
                            *TENANTS.columns
                        ),
                        {"before": page.before, "size": page.size + 1},
                    )
                    rows = found.all()
        return page_of(
            [_tenant(row._mapping) for row in rows], [row.tenant_id for row in rows], page
        )


def active_parties(parties: Iterable[Party]) -> Write:
    """Write what else there is only if all of them may act.

    The rows that it looks at are seen, also where it is not known yet who the tenant is: the
    function says so first.
    """
    return Write(
        "acting AS (SELECT core.require_acting($1, $2) AS may_act)",
        (_customer_uuids(parties),),
        found="SELECT may_act FROM acting",
        only_adds=True,
    )


async def _replace(
    scope: Scope, table: Table, where: Sequence[Any], values: dict[str, Any]
) -> None:
    found = await scope.connection.execute(
        update(table).where(*where, table.c.version == values["version"] - 1).values(**values)
    )
    if found.rowcount != 1:
        raise VersionConflict("somebody else changed it first")


async def _newest_first(scope: Scope, table: Table, page: PageRequest) -> Sequence[Any]:
    query = select(table).where(table.c.tenant_id == scope.tenant)
    if page.before is not None:
        query = query.where(table.c.id < page.before)
    query = query.order_by(table.c.id.desc()).limit(page.size + 1)
    return (await scope.connection.execute(query)).all()


def _customer_uuids(parties: Iterable[Party]) -> Sequence[UUID]:
    return list({party.customer_id.uuid for party in parties if party.customer_id})


def acting_of(party: Party, row: Any) -> Acting:
    """Return who acts, given a row that has the states of both and the clock."""
    customer_state = row["customer_state"]
    return Acting(
        party,
        TenantState(row["tenant_state"]),
        TradingState(row["trading_state"]),
        None if customer_state is None else CustomerState(customer_state),
        row["read_at"],
    )


def _nobody(tenant_id: TenantId, party: Party) -> DomainError:
    if party.customer_id is not None:
        return CustomerNotFound("no such customer", customer_id=party.customer_id)
    return TenantNotFound("no such tenant", tenant_id=tenant_id)


def _tenant_row(tenant: Tenant) -> dict[str, Any]:
    settings = tenant.settings
    return {
        "display_name": tenant.display_name,
        "branding": dict(tenant.branding),
        "quote_ttl_ms": settings.quote_ttl_ms,
        "markup_bps": dict(settings.markup_bps),
        "lp_order": list(settings.lp_order),
        "platform_fee_bps": settings.platform_fee_bps,
        "routing": dict(settings.routing),
        "signing_required": settings.signing_required,
        "rate_limits": {
            cost_class: asdict(limit) for cost_class, limit in settings.rate_limits.items()
        },
        "state": tenant.state,
    }


def _tenant(row: Any) -> Tenant:
    """Return the tenant of a mapping of columns, whichever way the row was read."""
    return Tenant(
        id=TenantId(row["tenant_id"]),
        slug=row["slug"],
        display_name=row["display_name"],
        branding=row["branding"],
        settings=TenantSettings(
            quote_ttl_ms=row["quote_ttl_ms"],
            markup_bps=row["markup_bps"],
            lp_order=tuple(row["lp_order"]),
            platform_fee_bps=row["platform_fee_bps"],
            routing={code: RoutingRule(rule) for code, rule in row["routing"].items()},
            signing_required=row["signing_required"],
            rate_limits={
                CostClass(cost_class): RateLimit(**limit)
                for cost_class, limit in row["rate_limits"].items()
            },
        ),
        state=TenantState(row["state"]),
        trading_state=TradingState(row["trading_state"]),
        version=row["version"],
    )


def _customer(row: Any) -> Customer:
    return Customer(
        id=CustomerId(row.id),
        tenant_id=TenantId(row.tenant_id),
        external_id=row.external_id,
        state=CustomerState(row.state),
        version=row.version,
    )


def _api_key(row: Any) -> ApiKey:
    return ApiKey(
        id=ApiKeyId(row.id),
        tenant_id=TenantId(row.tenant_id),
        name=row.name,
        hint=row.hint,
        scopes=tuple(KeyScope(scope) for scope in row.scopes),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        expires_at=row.expires_at,
        allowed_ip_ranges=tuple(map(ip_network, row.allowed_ip_ranges)),
        last_used_at=row.last_used_at,
        rotated_from_id=None if row.rotated_from_id is None else ApiKeyId(row.rotated_from_id),
        methods=tuple(row.methods),
    )
