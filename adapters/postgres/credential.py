"""What a secret stands for, asked before the tenant is known."""

from collections import OrderedDict
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from domain.ids import ApiKeyId, TenantId
from domain.tenant.api_key import Scope
from domain.tenant.tenant import TenantState
from ports.clock import Clock
from ports.tenant import Credential, CredentialStore

MAX_AGE_S: Final = 0.5
"""Revocation and suspension work within a second everywhere, without anybody being told."""

MAX_ENTRIES: Final = 10_000


class PostgresCredentials(CredentialStore):
    """Asks the one audited function, and believes the answer for half a second."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Credential]] = OrderedDict()

    async def find(self, secret_hash: bytes) -> Credential | None:
        # The age counts from before the question: what was true then may have ended since.
        asked_at = self._clock.monotonic()
        known = self._known.get(secret_hash)
        if known is not None and asked_at - known[0] < MAX_AGE_S:
            return known[1]
        credential = await self._ask(secret_hash)
        if credential is None:
            self._known.pop(secret_hash, None)
            return None
        self._known[secret_hash] = (asked_at, credential)
        self._known.move_to_end(secret_hash)
        if len(self._known) > MAX_ENTRIES:
            self._known.popitem(last=False)
        return credential

    async def _ask(self, secret_hash: bytes) -> Credential | None:
        async with borrowed_driver(self._engine) as driver:
            row = await driver.fetchrow("SELECT * FROM core.find_api_key($1)", secret_hash)
        if row is None:
            return None
        return Credential(
            api_key_id=ApiKeyId(row["api_key_id"]),
            tenant_id=TenantId(row["tenant_id"]),
            tenant_state=TenantState(row["tenant_state"]),
            scopes=frozenset(Scope(scope) for scope in row["scopes"]),
            is_revoked=row["is_revoked"],
        )
