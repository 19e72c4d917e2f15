"""What a secret stands for, asked before the tenant is known."""

import asyncio
from collections import OrderedDict
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import borrowed_driver
from domain.ids import ApiKeyId, TenantId
from domain.tenant.api_key import Scope
from domain.tenant.tenant import TenantState
from ports.clock import Clock
from ports.tenant import Credential, CredentialStore

MAX_AGE_S: Final = 0.5
"""Revocation, rotation and suspension work within a second everywhere, without anybody being
told."""

MAX_ENTRIES: Final = 10_000


class PostgresCredentials(CredentialStore):
    """Asks the one audited function, and believes the answer for half a second. Those who come with
    a secret that is just being asked for wait for the same answer.

    An answer about a key that expires sooner is believed until then. Whether a key has expired is
    always the database's word, and costs a call nothing.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Credential]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Credential | None]] = {}

    async def find(self, secret_hash: bytes) -> Credential | None:
        known = self._known.get(secret_hash)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        asking = self._asking.get(secret_hash)
        if asking is None:
            asking = self._asking[secret_hash] = asyncio.create_task(self._learn(secret_hash))
            asking.add_done_callback(lambda _: self._asking.pop(secret_hash))
        return await asyncio.shield(asking)

    async def _learn(self, secret_hash: bytes) -> Credential | None:
        # The age counts from before the question: what was true then may have ended since.
        asked_at = self._clock.monotonic()
        row = await self._ask(secret_hash)
        if row is None:
            self._known.pop(secret_hash, None)
            return None
        credential = _credential(row)
        self._known[secret_hash] = (asked_at + _believed_for_s(row["expires_in"]), credential)
        self._known.move_to_end(secret_hash)
        if len(self._known) > MAX_ENTRIES:
            self._known.popitem(last=False)
        return credential

    async def _ask(self, secret_hash: bytes) -> Any:
        async with borrowed_driver(self._engine) as driver:
            return await driver.fetchrow("SELECT * FROM core.find_api_key($1)", secret_hash)


def _credential(row: Any) -> Credential:
    return Credential(
        api_key_id=ApiKeyId(row["api_key_id"]),
        tenant_id=TenantId(row["tenant_id"]),
        tenant_state=TenantState(row["tenant_state"]),
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        is_revoked=row["is_revoked"],
        is_expired=_has_expired(row["expires_in"]),
        allowed_ip_ranges=tuple(map(ip_network, row["allowed_ip_ranges"])),
        methods=frozenset(row["methods"]),
    )


def _has_expired(expires_in: timedelta | None) -> bool:
    return expires_in is not None and expires_in <= timedelta()


def _believed_for_s(expires_in: timedelta | None) -> float:
    if expires_in is None or _has_expired(expires_in):
        return MAX_AGE_S
    return min(MAX_AGE_S, expires_in.total_seconds())
