"""Prints daily closes for whoever called `reli ledger close`."""

import sys

from app.process import open_process
from app.settings import Settings
from domain.errors import DomainError
from domain.ids import TenantId
from domain.ledger.close import read_day


async def print_close(settings: Settings, tenant: str, day: str) -> str:
    """Print the content of a close, and return what is wrong: nothing, if all went well."""
    try:
        tenant_id, on = TenantId.parse(tenant, field="tenant"), read_day(day)
        async with open_process(
            settings, settings.app_database_url, actor="close", pool_size=1
        ) as process:
            found = await process.container.read_closes().get(tenant_id, on)
    except DomainError as error:
        return error.message
    sys.stdout.buffer.write(found.content)
    sys.stdout.flush()
    return ""
