"""Dead letters by hand: as if a consumer had failed at an event that had no effect to have."""

from domain.ids import DeadLetterId, TenantId
from tests.support.platform import Platform

_BURY = """
INSERT INTO core.dead_letters (tenant_id, consumer, event_id, source_tenant_id, event_type,
    subject, reason, recorded_at)
SELECT $1, 'house_book', id, tenant_id, type, subject, $3, core.now() FROM core.outbox AS o
WHERE tenant_id = $2 AND type <> 'trade.settled' AND NOT EXISTS (
    SELECT FROM core.dead_letters AS d WHERE d.tenant_id = $1 AND d.event_id = o.id)
ORDER BY id LIMIT 1
RETURNING id
"""


async def a_dead_letter(platform: Platform, tenant_id: str, *, reason: str = "a bug") -> str:
    """Bury one more event of the tenant, and return the id of the letter."""
    id = await platform.owner.fetchval(
        _BURY, platform.environment.house_id.uuid, TenantId.parse(tenant_id).uuid, reason
    )
    assert id is not None, "every event of the tenant is buried by now"
    return str(DeadLetterId(id))
