from pathlib import Path
import pytest, json
from app.audit.run import audit
from app.audit.screen import Screen, to_json
from rich.console import Console
from tests.support.audited_books import a_database, audited_books
async def test_clean(postgres_server, tmp_path):
    url = await a_database(postgres_server.url, "audited_try")
    async with audited_books(url, tmp_path) as books:
        with Screen(Console(width=200, force_terminal=False)) as s:
            r = await audit(url, books.venue_books, watcher=s)
        s.summary(r)
        assert r.is_clean
