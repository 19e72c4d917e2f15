"""Runs an audit for whoever called `reli audit`."""

import asyncio
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

from app.audit.run import audit
from app.audit.screen import Screen, to_json
from ports.audit import AuditImpossible

CLEAN = 0
BROKEN = 1
IMPOSSIBLE = 2


def command(database_url: str, venue_books: Mapping[str, str], *, as_json: bool) -> int:
    """Audit, say what was found, and return the exit code."""
    out = Console(highlight=False, soft_wrap=True)
    try:
        if as_json:
            report = asyncio.run(audit(database_url, venue_books))
            out.print(to_json(report), markup=False)
        else:
            with Screen(out) as screen:
                report = asyncio.run(audit(database_url, venue_books, watcher=screen))
            screen.summary(report)
    except AuditImpossible as error:
        Console(highlight=False, soft_wrap=True, stderr=True).print(escape(f"reli: {error}"))
        return IMPOSSIBLE
    return CLEAN if report.is_clean else BROKEN
