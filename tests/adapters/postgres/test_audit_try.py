import os, time
import asyncpg
from app.audit.run import audit
from app.audit.screen import Screen
from rich.console import Console
from tests.support.audited_books import a_database
from tests.support.bulk_books import write_bulk
async def test_bulk(postgres_server):
    url = await a_database(postgres_server.url, "audited_bulk")
    c = await asyncpg.connect(url)
    n = int(os.environ.get("N", "12500"))
    t = time.monotonic()
    await write_bulk(c, trades=n)
    print("written", time.monotonic() - t, await c.fetchval("select count(*) from core.transfers"))
    await c.close()
    with Screen(Console(width=200, force_terminal=False)) as s:
        r = await audit(url, watcher=s)
    s.summary(r)
    assert r.is_clean
