"""The stack of `reli up`, with a proxy on each inner edge and parts that may die."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from app.database_url import APP_ROLE, WORK_ROLE, role_url
from app.stack.ports import LOOPBACK
from app.stack.postgres import PostgresServer
from app.stack.process import Child
from app.stack.stack import Stack, StackOptions, _Venue

POSTGRES = "postgres"
NATS = "nats"
ENVOY = "envoy"

GONE_WITHIN_S: Final = 2.0

LATE_LOOKS_MS: Final = (1_000, 5_000, 21_000)
"""At the last one no venue hides an order any more, however late in its quote's life it came."""


class ChaosStack(Stack):
    """Starts like the real one; each part can be killed, frozen and started again.

    `front` puts a proxy of that name before a port and returns the proxy's own.
    """

    def __init__(self, options: StackOptions, *, front: Callable[[str, int], int]) -> None:
        super().__init__(options)
        self._front = front
        self._is_ready: dict[str, Callable[[], bool]] = {}
        self._owner_url = ""
        self._starts: dict[str, int] = {}
        self.venue_books: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The parts that run for as long as the stack does."""
        return [child.name for child in self._children]

    def named(self, start: str) -> list[str]:
        return [name for name in self.names if name.startswith(start)]

    def is_running(self, name: str) -> bool:
        return self._child(name).exit_code is None

    def exit_code(self, name: str) -> int | None:
        return self._child(name).exit_code

    def is_ready(self, name: str) -> bool:
        return self.is_running(name) and self._is_ready[name]()

    def kill(self, name: str) -> None:
        """End a part and everything below it at once, as a power cut would."""
        child = self._child(name)
        # The parent first: it must not notice that its children die, nor start new ones.
        os.kill(child.pid, signal.SIGSTOP)
        below = list(_below(child.pid))
        for pid in below:
            _signal(pid, signal.SIGKILL)
        child.kill()
        # A server that starts again must not find the memory of the dead still in their hands.
        deadline = time.monotonic() + GONE_WITHIN_S
        while any(map(_is_alive, below)) and time.monotonic() < deadline:
            time.sleep(0.005)

    def freeze(self, name: str) -> None:
        child = self._child(name)
        _signal(child.pid, signal.SIGSTOP)
        for pid in _below(child.pid):
            _signal(pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        child = self._child(name)
        if child.exit_code is not None:
            return
        for pid in _below(child.pid):
            _signal(pid, signal.SIGCONT)
        _signal(child.pid, signal.SIGCONT)

    def restart(self, name: str) -> None:
        """Start a part that has ended."""
        child = self._child(name)
        assert child.exit_code is not None
        self._starts[name] = self._starts.get(name, 1) + 1
        if child.log.exists():
            child.log.replace(child.log.with_name(f"{name}.{self._starts[name] - 1}.log"))
        if name == POSTGRES:
            self._children[self._children.index(child)] = self._postgres().start()
        else:
            child.start()

    def wipe_nats(self) -> None:
        """Lose everything that NATS ever stored; it must be down."""
        assert not self.is_running(NATS)
        shutil.rmtree(self._home / "nats" / "jetstream", ignore_errors=True)

    def logs(self, start: str) -> list[Path]:
        return sorted((self._home / "logs").glob(f"{start}*.log"))

    def _child(self, name: str) -> Child:
        return next(child for child in self._children if child.name == name)

    def _postgres(self) -> PostgresServer:
        port = urlsplit(self._owner_url).port
        assert port is not None
        return PostgresServer(
            home=self._home / "postgres",
            port=port,
            password=self._secret("postgres"),
            log=self._log("postgres"),
        )

    def _launched(
        self, part: str, launched: Sequence[tuple[Child, Callable[[], bool]]]
    ) -> Callable[[], None]:
        self._is_ready |= {child.name: is_ready for child, is_ready in launched}
        return super()._launched(part, launched)

    def _migrate(self, database_url: str) -> str:
        self._owner_url = database_url
        return super()._migrate(database_url)

    def _start_venues(self) -> tuple[list[_Venue], Callable[[], None]]:
        venues, wait = super()._start_venues()
        self.venue_books = {venue.name: venue.admin_url for venue in venues}
        return venues, wait

    def _start_app(self, env: dict[str, str]) -> tuple[int, ...]:
        database_url = self._through(POSTGRES, self._owner_url)
        lps = json.loads(env["RELI_LPS"])
        for lp in lps:
            lp["url"] = self._through(lp["name"], lp["url"])
        return super()._start_app(
            env
            | {
                "RELI_APP_DATABASE_URL": role_url(database_url, APP_ROLE),
                "RELI_WORK_DATABASE_URL": role_url(database_url, WORK_ROLE),
                "RELI_NATS_URL": self._through(NATS, env["RELI_NATS_URL"]),
                "RELI_LPS": json.dumps(lps),
                "RELI_LATE_LOOKS_MS": json.dumps(LATE_LOOKS_MS),
            }
        )

    def _through(self, name: str, url: str) -> str:
        parts = urlsplit(url)
        assert parts.port is not None
        who, at, _ = parts.netloc.rpartition("@")
        netloc = f"{who}{at}{LOOPBACK}:{self._front(name, parts.port)}"
        return urlunsplit(parts._replace(netloc=netloc))


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _below(pid: int) -> Iterator[int]:
    """Every process whose parent, or parent's parent, is `pid`."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    pending = list(children.get(pid, ()))
    while pending:
        each = pending.pop()
        yield each
        pending += children.get(each, ())
