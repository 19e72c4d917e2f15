"""Dead letters by hand: as if a consumer had failed at an event that had no effect to have."""

from typing import Any

from domain.ids import DeadLetterId, TenantId

_BURY = """
INSERT INTO core.dead_letters (tenant_id, consumer, event_id, source_tenant_id, event_type,
    subject, reason, recorded_at)
SELECT e.house_id, 'house_book', o.id, o.tenant_id, o.type, o.subject, $2, core.now()
FROM core.outbox AS o CROSS JOIN core.environment AS e
WHERE o.tenant_id = $1 AND o.type <> 'trade.settled' AND NOT EXISTS (
    SELECT FROM core.dead_letters AS d WHERE d.tenant_id = e.house_id AND d.event_id = o.id)
ORDER BY o.id LIMIT 1
RETURNING id
"""


async def a_dead_letter(owner: Any, tenant_id: str, *, reason: str = "a bug") -> str:
    """Bury one more event of the tenant, and return the id of the letter."""
    id = await owner.fetchval(_BURY, TenantId.parse(tenant_id).uuid, reason)
    assert id is not None, "every event of the tenant is buried by now"
    return str(DeadLetterId(id))
