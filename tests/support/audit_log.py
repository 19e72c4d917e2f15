"""Numbers audit records as a worker does."""

from datetime import timedelta

from adapters.postgres.audit_log import PostgresAuditNumberer
from adapters.postgres.lease import PostgresLeases
from tests.support.platform import Platform


async def number_audit_records(platform: Platform, *, limit: int = 1_000) -> None:
    """Number whatever waits for it."""
    engine = platform.work_container.engine()
    leases = PostgresLeases(engine)
    lease = await leases.acquire("audit log", lease_for=timedelta(seconds=30))
    assert lease is not None
    while await PostgresAuditNumberer(engine).stamp(lease, limit=limit):
        pass
    await leases.renew(lease, lease_for=timedelta(0))
