"""The request log.

Whoever is about to record a request holds a lock of its name first: who comes alone waits for it
before he has locked anything else, and a group that comes second leaves the request to be done
alone. So nobody waits for a request while others wait for what he has locked.
"""

import json
from collections.abc import Sequence, Set
from typing import Any, Final
from uuid import UUID

import asyncpg

from adapters.postgres.scope import Scope
from adapters.postgres.write import Write, arrays
from domain.errors import Kind
from ports.request import (
    Refusal,
    RequestIdReused,
    RequestInProgress,
    RequestKey,
    RequestLog,
    RequestRecord,
)

_MAX_BIGINT: Final = 2**63 - 1


def request_lock(rpc: str, request_id: str) -> str:
    """Return SQL for the key of the lock of a request's name; `$1` is the tenant.

    No tenant's or journal's lock: theirs are negative. Two names that share one, which happens
    once in 2^63, only wait for each other.
    """
    name = f"$1::uuid::text || ' ' || {rpc} || ' ' || {request_id}"
    return f"hashtextextended({name}, 0) & {_MAX_BIGINT}"


# Who waited for the lock sees the row of the first whatever its snapshot: a key that conflicts is
# looked for in the index, not in the snapshot.
_INSERT = f"""
WITH locked AS MATERIALIZED (
    SELECT pg_advisory_xact_lock({request_lock("$2::text", "$3::text")})
)
INSERT INTO core.requests (tenant_id, rpc, request_id, fingerprint, resource_id, refusal,
    created_at)
SELECT $1, $2, $3, $4, $5, $6, core.now() FROM locked
ON CONFLICT (tenant_id, rpc, request_id) DO NOTHING
RETURNING true
"""

# Set-wise and without ON CONFLICT: a request that somebody else records meanwhile is an error.
_INSERT_NEW = f"""
requests AS (
    INSERT INTO core.requests (tenant_id, rpc, request_id, fingerprint, resource_id, created_at)
    SELECT $1, r.*, core.now()
    FROM {arrays("rpc text, request_id text, fingerprint bytea, resource_id uuid")} AS r
    ORDER BY rpc, request_id
    RETURNING true
)
"""

_RECORDED = "SELECT count(*) FROM requests"

# One look by key for each: a plan made while there were few would read all that there are. OFFSET
# keeps the subquery from becoming a join.
_ARE_TAKEN = f"""
SELECT rpc, request_id FROM {arrays("rpc text, request_id text")} AS wanted
WHERE EXISTS (
    SELECT FROM core.requests AS r
    WHERE r.tenant_id = $1 AND r.rpc = wanted.rpc AND r.request_id = wanted.request_id OFFSET 0)
    OR NOT pg_try_advisory_xact_lock({request_lock("rpc", "request_id")})
"""

_FIND = """
SELECT fingerprint, resource_id, refusal::text AS refusal FROM core.requests
WHERE tenant_id = $1 AND rpc = $2 AND request_id = $3
"""


class PostgresRequests(RequestLog):
    """Requests of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def claim(self, key: RequestKey, resource_id: UUID) -> RequestRecord | None:
        return await self._insert(key, resource_id, None)

    async def refuse(self, key: RequestKey, refusal: Refusal) -> RequestRecord | None:
        stored = {
            "kind": refusal.kind,
            "reason": refusal.reason,
            "message": refusal.message,
            "metadata": dict(refusal.metadata),
        }
        return await self._insert(key, None, json.dumps(stored))

    async def find(self, key: RequestKey) -> RequestRecord | None:
        row = await self._scope.driver.fetchrow(_FIND, self._scope.tenant, key.rpc, key.request_id)
        return None if row is None else _record(row, key)

    async def _insert(
        self, key: RequestKey, resource_id: UUID | None, refusal: str | None
    ) -> RequestRecord | None:
        try:
            is_new = await self._scope.driver.fetchval(
                _INSERT,
                self._scope.tenant,
                key.rpc,
                key.request_id,
                key.fingerprint,
                resource_id,
                refusal,
            )
        except asyncpg.LockNotAvailableError as error:
            raise RequestInProgress(
                "the first request of this id is still at work", request_id=key.request_id
            ) from error
        if is_new:
            return None
        known = await self.find(key)
        assert known is not None, "a request is never deleted"
        return known


async def taken_requests(scope: Scope, keys: Sequence[RequestKey]) -> Set[tuple[str, str]]:
    """Lock those requests that are new and that nobody else has locked.

    Returns the method and the request id of the others.
    """
    rows = await scope.driver.fetch(
        _ARE_TAKEN, scope.tenant, [key.rpc for key in keys], [key.request_id for key in keys]
    )
    return {(row["rpc"], row["request_id"]) for row in rows}


def new_requests(added: Sequence[tuple[RequestKey, UUID]]) -> Write:
    """Record new requests; one that is known makes a unique violation.

    Recorded when it is asked what was found: before the writes that come after it.
    """
    keys = [key for key, _ in added]
    arguments = (
        [key.rpc for key in keys],
        [key.request_id for key in keys],
        [key.fingerprint for key in keys],
        [resource_id for _, resource_id in added],
    )
    return Write(_INSERT_NEW, arguments, found=_RECORDED, only_adds=True)


def _record(row: Any, key: RequestKey) -> RequestRecord:
    if row["fingerprint"] != key.fingerprint:
        raise RequestIdReused(
            "the request id was used with another body", request_id=key.request_id
        )
    refusal = None
    if row["refusal"] is not None:
        stored = json.loads(row["refusal"])
        refusal = Refusal(
            kind=Kind(stored["kind"]),
            reason=stored["reason"],
            message=stored["message"],
            metadata=stored["metadata"],
        )
    return RequestRecord(resource_id=row["resource_id"], refusal=refusal)
