"""Dead letters."""

from collections.abc import Sequence
from typing import Any

from adapters.postgres.scope import Scope, page_of
from domain.dead_letter import DeadLetter, DeadLetterNotFound, DeadLetterState
from domain.ids import ApiKeyId, DeadLetterId, EventId, TenantId
from ports.dead_letter import DeadLetterRepository
from ports.page import Page, PageRequest

_ADD = """
INSERT INTO core.dead_letters (tenant_id, id, consumer, event_id, source_tenant_id, event_type,
    subject, reason, recorded_at, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, consumer, event_id) DO NOTHING
RETURNING true
"""

_GET = "SELECT * FROM core.dead_letters WHERE tenant_id = $1 AND id = $2"

_LIST = """
SELECT * FROM core.dead_letters
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
    AND ($3::uuid IS NULL OR source_tenant_id = $3)
ORDER BY id DESC LIMIT $4
"""

_REQUESTED = """
SELECT * FROM core.dead_letters
WHERE tenant_id = $1 AND consumer = $2 AND state = 'replay_requested'
ORDER BY replay_requested_at, id LIMIT $3
"""

_REQUEST_REPLAY = """
UPDATE core.dead_letters SET state = $3, replay_requested_by = $4, replay_requested_at = $5
WHERE tenant_id = $1 AND id = $2
"""

_CONCLUDE_REPLAY = """
UPDATE core.dead_letters
SET state = $3, replay_failures = $4, replay_failure = $5, replayed_at = $6
WHERE tenant_id = $1 AND id = $2
"""


class PostgresDeadLetters(DeadLetterRepository):
    """Dead letters of the book in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def add(self, letter: DeadLetter) -> bool:
        return bool(
            await self._scope.driver.fetchval(
                _ADD,
                self._scope.tenant,
                letter.id.uuid,
                letter.consumer,
                letter.event_id.uuid,
                letter.source_tenant_id.uuid,
                letter.event_type,
                letter.subject,
                letter.reason,
                letter.buried_at,
                letter.state,
            )
        )

    async def get(self, id: DeadLetterId, *, lock: bool = False) -> DeadLetter:
        row = await self._scope.driver.fetchrow(
            _GET + " FOR UPDATE" if lock else _GET, self._scope.tenant, id.uuid
        )
        if row is None:
            raise DeadLetterNotFound("no such dead letter", dead_letter_id=id)
        return _letter(row)

    async def list(
        self, page: PageRequest, *, source_tenant_id: TenantId | None
    ) -> Page[DeadLetter]:
        rows = await self._scope.driver.fetch(
            _LIST,
            self._scope.tenant,
            page.before,
            source_tenant_id.uuid if source_tenant_id else None,
            page.size + 1,
        )
        return page_of([_letter(row) for row in rows], [row["id"] for row in rows], page)

    async def requested(self, consumer: str, *, limit: int) -> Sequence[DeadLetter]:
        rows = await self._scope.driver.fetch(_REQUESTED, self._scope.tenant, consumer, limit)
        return [_letter(row) for row in rows]

    async def request_replay(self, letter: DeadLetter) -> None:
        assert letter.replay_requested_by is not None
        await self._scope.driver.execute(
            _REQUEST_REPLAY,
            self._scope.tenant,
            letter.id.uuid,
            letter.state,
            letter.replay_requested_by.uuid,
            letter.replay_requested_at,
        )

    async def conclude_replay(self, letter: DeadLetter) -> None:
        await self._scope.driver.execute(
            _CONCLUDE_REPLAY,
            self._scope.tenant,
            letter.id.uuid,
            letter.state,
            letter.replay_failures,
            letter.replay_failure,
            letter.replayed_at,
        )


def _letter(row: Any) -> DeadLetter:
    requested_by = row["replay_requested_by"]
    return DeadLetter(
        id=DeadLetterId(row["id"]),
        consumer=row["consumer"],
        event_id=EventId(row["event_id"]),
        source_tenant_id=TenantId(row["source_tenant_id"]),
        event_type=row["event_type"],
        subject=row["subject"],
        reason=row["reason"],
        buried_at=row["recorded_at"],
        state=DeadLetterState(row["state"]),
        replay_requested_by=ApiKeyId(requested_by) if requested_by else None,
        replay_requested_at=row["replay_requested_at"],
        replay_failures=row["replay_failures"],
        replay_failure=row["replay_failure"],
        replayed_at=row["replayed_at"],
    )
