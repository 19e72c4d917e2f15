"""Daily closes of days that are long over, and of one that is not."""

from datetime import date, timedelta
from typing import Final

from domain.ids import TenantId
from tests.support.platform import Platform

DAYS: Final = (date(2026, 3, 2), date(2026, 3, 3))


async def close_days(platform: Platform, tenant_id: str) -> None:
    """Close these days of a tenant's book."""
    for day in DAYS:
        await platform.work_container.close_books().close(TenantId.parse(tenant_id), day)


async def close_today(platform: Platform, tenant_id: str) -> None:
    """Close yesterday and, before its time, today."""
    today = await platform.owner.fetchval("SELECT (core.now() AT TIME ZONE 'UTC')::date")
    for day in (today - timedelta(days=1), today):
        await platform.work_container.close_books().close(TenantId.parse(tenant_id), day)
