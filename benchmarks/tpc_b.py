"""The yardstick of the books: pgbench's TPC-B, in a database of its own on the same server."""

import asyncio
import math
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg

from app.stack.postgres import binary
from benchmarks.ground import Broken

DATABASE: Final = "bench"
SCALE: Final = 20
LOAD: Final = ("-M", "prepared", "-c", "8", "-j", "2")
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TpcB:
    """pgbench and the server that it measures."""

    pgbench: Path
    owner_url: str

    async def prepare(self) -> None:
        connection = await asyncpg.connect(self.owner_url)
        try:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
        await self._run("-i", "-q", "-s", str(SCALE))

    async def per_second(self, seconds: float) -> float:
        """Return the transactions a second; pgbench takes whole seconds."""
        said = await self._run("-n", *LOAD, "-T", str(math.ceil(seconds)))
        found = _TPS.search(said)
        if found is None:
            raise Broken(f"pgbench said no tps:\n{said}")
        return float(found[1])

    async def _run(self, *arguments: str) -> str:
        owner = urlsplit(self.owner_url)
        host = owner.netloc.rpartition("@")[2]
        target = owner._replace(netloc=f"{owner.username}@{host}", path=f"/{DATABASE}")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        result = await asyncio.to_thread(
            subprocess.run,
            [str(self.pgbench), *arguments, target.geturl()],
            env=kept | {"LC_ALL": "C.UTF-8", "PGPASSWORD": unquote(owner.password or "")},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise Broken(f"pgbench failed:\n{result.stderr.strip()}")
        return result.stdout


def find_pgbench() -> Path:
    """Return the one beside our server, or else the newest that the machine has."""
    found = [binary("pgbench"), *(Path(path) for path in [which("pgbench")] if path)]
    installed = Path("/usr/lib/postgresql").glob("*/bin/pgbench")
    found += sorted(installed, key=lambda path: float(path.parts[-3]), reverse=True)
    for path in found:
        if os.access(path, os.X_OK):
            return path
    raise Broken("no pgbench found")
