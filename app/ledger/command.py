"""Takes books out, and checks what was, for whoever called `reli ledger`."""

import sys
from pathlib import Path

from adapters.wire.close import daily_close_answer
from app.ledger.verify_books import BROKEN, check, uuid_of
from app.process import open_process
from app.settings import Settings
from domain.errors import DomainError
from domain.ids import TenantId
from domain.ledger.close import read_day


async def export(settings: Settings, tenant: str, file: Path) -> str:
    """Write a tenant's books into a file, and return what is wrong: nothing, if all went well."""
    try:
        tenant_id = TenantId.parse(tenant, field="tenant")
        async with open_process(
            settings, settings.app_database_url, actor="export", pool_size=1
        ) as process:
            with file.open("wb") as out:
                async for chunk in process.container.export_books()(tenant_id):
                    out.write(chunk)
    except DomainError as error:
        return error.message
    except OSError as error:
        return f"{file}: {error.strerror}"
    return ""


async def print_close(settings: Settings, tenant: str, day: str) -> str:
    """Print a close as GetDailyClose answers it, and return what is wrong, if anything is."""
    try:
        tenant_id, on = TenantId.parse(tenant, field="tenant"), read_day(day)
        async with open_process(
            settings, settings.app_database_url, actor="close", pool_size=1
        ) as process:
            found = await process.container.read_closes().get(tenant_id, on)
    except DomainError as error:
        return error.message
    print(daily_close_answer(found))
    return ""


def verify(file: Path, jwks: Path, entry: str) -> int:
    """Say whether a file of books, or a proof, holds, and return the exit code."""
    try:
        print(check(file, jwks, uuid_of(entry) if entry else ""))
    except OSError as error:
        print(f"reli: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except BROKEN as error:
        name = str(error) or type(error).__name__
        print(f"it does not hold: {name}", file=sys.stderr)
        return 1
    return 0
