"""Daily closes of days that are long over."""

from datetime import date
from typing import Final

from domain.ids import TenantId
from tests.support.platform import Platform

DAYS: Final = (date(2026, 3, 2), date(2026, 3, 3))


async def close_days(platform: Platform, tenant_id: str) -> None:
    """Close these days of a tenant's book."""
    for day in DAYS:
        await platform.work_container.close_books().close(TenantId.parse(tenant_id), day)
