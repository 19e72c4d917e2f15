"""The whole of Reli on one machine: started in order, watched, stopped in reverse."""

import fcntl
import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Self

from adapters.envoy.config import Edge
from adapters.envoy.descriptor import commented_set_path, descriptor_set_path
from adapters.envoy.tls import Tls
from adapters.lp.sandbox.face import OWN
from adapters.openapi.site import write_site
from app.database_url import APP_ROLE, WORK_ROLE, role_url
from app.stack.certificate import ensure_certificate
from app.stack.envoy import EnvoyServer
from app.stack.nats import NatsServer
from app.stack.ports import LOOPBACK, Ports, accepts_connections
from app.stack.postgres import PostgresServer
from app.stack.process import Child, StackFailure, describe_exit, wait_until_ready

# What an app process must not learn from our own environment: the owner's password, the key that
# only workers need, and whatever would contradict what we tell it.
_NOT_INHERITED = frozenset(
    {
        "RELI_APP_DATABASE_URL",
        "RELI_DATABASE_URL",
        "RELI_GRPC_HOST",
        "RELI_SIGNING_KEY",
        "RELI_WORK_DATABASE_URL",
    }
)


DEFAULT_VENUES: Final[Mapping[str, str]] = {"alpha": OWN, "beta": OWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What a stack consists of and where it keeps its state."""

    home: Path
    port_base: int | None = None
    serve_processes: int = 1
    work_processes: int = 1
    database_url: str | None = None
    """Somebody else's server; without one we run our own."""
    nats_url: str | None = None
    venues: Mapping[str, str] = field(default_factory=lambda: DEFAULT_VENUES)
    """The sandbox's, each with its wire format: the first has the best price."""
    cors_origins: tuple[str, ...] = ()
    """The pages that may call from a browser, such as `https://app.example`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyStack:
    """How to talk to a stack that answers."""

    rest_url: str
    grpc_target: str
    tls_url: str
    """REST and gRPC as `rest_url` has them, encrypted."""
    tls_certificate: str
    """The file of the certificate that a client of `tls_url` has to trust."""
    serve_targets: tuple[str, ...]
    """Where each server itself listens for gRPC, for callers inside who pass no front door."""
    database_url: str
    nats_url: str
    operator_key: str
    venue_books: Mapping[str, str]
    """The admin URL of each sandbox venue by name, as `reli audit --venue-book` takes it."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Venue:
    """One of the sandbox's liquidity providers."""

    name: str
    wire_format: str
    position: int
    port: int
    admin_port: int

    @property
    def admin_url(self) -> str:
        return f"http://{LOOPBACK}:{self.admin_port}"

    def arguments(self, data: Path) -> list[str]:
        return [
            *["sandbox-venue", "--name", self.name, "--position", str(self.position)],
            *["--port", str(self.port), "--admin-port", str(self.admin_port)],
            *["--data", str(data), "--face", self.wire_format],
        ]

    def settings(self) -> dict[str, object]:
        """What the app is told about it; see `LpSettings`."""
        common = {
            "name": self.name,
            "adapter": self.wire_format,
            "url": f"http://{LOOPBACK}:{self.port}",
            "status_is_authoritative": True,
            "visibility_window_ms": 500,
            "quote_safety_margin_ms": 250,
        }
        if self.wire_format == OWN:
            return common | {"deduplicates_client_order_id": True}
        # Imported only where there is one: the process that supervises a stack stays small.
        from adapters.lp.sandbox.venue import FACES

        return {**common, **FACES[self.wire_format].settings}


class Stack:
    """A context that has the stack's home to itself and leaves no process behind.

    `on_started` hears the name of each part, and how many seconds after the stack it was ready.
    """

    def __init__(
        self, options: StackOptions, *, on_started: Callable[[str, float], None] = lambda *_: None
    ) -> None:
        self._options = options
        self._home = options.home.resolve()
        self._ports = Ports(options.port_base)
        self._on_started = on_started
        self._children: list[Child] = []
        self._began = time.monotonic()
        self._lock: int | None = None

    def __enter__(self) -> Self:
        # Passable, not readable: PostgreSQL may have to run as another user than we do.
        self._home.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StackFailure(f"another `reli up` is running on {self._home}") from None
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._children):
            child.stop()
        assert self._lock is not None
        os.close(self._lock)

    def start(self) -> ReadyStack:
        """Start every part; raises `StackFailure`, naming the one that would not."""
        # With a base, REST answers on it, gRPC on the next port and both with TLS on the third.
        rest_port, grpc_port, tls_port, admin_port = (self._ports.take() for _ in range(4))
        certificate, key = ensure_certificate(self._home / "tls")

        # What needs nobody else loads while the schema is brought up to date.
        database_url, socket_url, wait_for_postgres = self._start_postgres()
        nats_url, wait_for_nats = self._start_nats()
        venues, wait_for_venues = self._start_venues()
        wait_for_postgres()
        operator_key = self._migrate(database_url)
        wait_for_nats()
        wait_for_venues()

        env = {
            "RELI_APP_DATABASE_URL": role_url(socket_url, APP_ROLE),
            "RELI_WORK_DATABASE_URL": role_url(socket_url, WORK_ROLE),
            "RELI_NATS_URL": nats_url,
            "RELI_LPS": json.dumps([venue.settings() for venue in venues]),
            "RELI_SEALING_KEYS": self._sealing_keys(),
            "RELI_WEBHOOK_LOOPBACK": os.environ.get("RELI_WEBHOOK_LOOPBACK", "true"),
        }
        serve_ports = self._start_app(env)
        envoy = EnvoyServer(
            home=self._home / "envoy",
            edge=Edge(
                rest_port=rest_port,
                grpc_port=grpc_port,
                admin_port=admin_port,
                upstream_ports=serve_ports,
                descriptor_set=descriptor_set_path().read_bytes(),
                documents=write_site(self._home / "docs", commented_set_path().read_bytes()),
                tls=Tls(port=tls_port, certificate=certificate, key=key),
                cors_origins=self._options.cors_origins,
            ),
            log=self._log("envoy"),
        )
        self._launched("envoy", [(envoy.start(), envoy.is_ready)])()
        return ReadyStack(
            rest_url=envoy.rest_url,
            grpc_target=envoy.grpc_target,
            tls_url=f"https://{LOOPBACK}:{tls_port}",
            tls_certificate=str(certificate),
            serve_targets=tuple(f"{LOOPBACK}:{port}" for port in serve_ports),
            database_url=database_url,
            nats_url=nats_url,
            operator_key=operator_key,
            venue_books={venue.name: venue.admin_url for venue in venues},
        )

    def watch(self) -> None:
        """Never return; raise `StackFailure` as soon as one part ends by itself."""
        poll = select.poll()
        children = {os.pidfd_open(child.pid): child for child in self._children}
        for pidfd in children:
            poll.register(pidfd, select.POLLIN)
        ended = children[poll.poll()[0][0]]
        raise ended.failure(f"ended unexpectedly with {describe_exit(ended.wait(1))}")

    def _start_postgres(self) -> tuple[str, str, Callable[[], None]]:
        """Return the URL for people, the one for our own processes, and how to wait."""
        outside = self._options.database_url
        if outside is not None:
            return outside, outside, _nothing_to_wait_for
        server = PostgresServer(
            home=self._home / "postgres",
            port=self._ports.take(),
            password=self._secret("postgres"),
            log=self._log("postgres"),
        )
        wait = self._launched("postgres", [(server.start(), server.is_ready)])
        return server.url, server.socket_url, wait

    def _start_nats(self) -> tuple[str, Callable[[], None]]:
        if self._options.nats_url is not None:
            return self._options.nats_url, _nothing_to_wait_for
        server = NatsServer(
            home=self._home / "nats",
            port=self._ports.take(),
            password=self._secret("nats"),
            log=self._log("nats"),
        )
        return server.url, self._launched("nats", [(server.start(), server.is_ready)])

    def _start_venues(self) -> tuple[list[_Venue], Callable[[], None]]:
        venues = [
            _Venue(
                name=name,
                wire_format=wire_format,
                position=position,
                port=self._ports.take(),
                admin_port=self._ports.take(),
            )
            for position, (name, wire_format) in enumerate(self._options.venues.items(), start=1)
        ]
        launched = []
        for venue in venues:
            data = self._home / "venues" / venue.name
            data.mkdir(parents=True, exist_ok=True)
            child = self._reli(f"venue-{venue.name}", venue.arguments(data), {})
            launched.append((child, partial(accepts_connections, venue.port)))
        return venues, self._launched("venues", launched)

    def _start_app(self, env: dict[str, str]) -> tuple[int, ...]:
        """Start the servers and workers and return the servers' ports once they listen."""
        ports = tuple(self._ports.take() for _ in range(self._options.serve_processes))
        servers = [
            (
                self._reli(f"serve-{n}", ["serve"], env | {"RELI_GRPC_PORT": str(port)}),
                partial(accepts_connections, port),
            )
            for n, port in enumerate(ports, start=1)
        ]
        signing = {
            "RELI_SIGNING_KEY": self._signing_key(),
            "RELI_LIABILITIES_EVERY_MS": os.environ.get("RELI_LIABILITIES_EVERY_MS", "10000"),
        }
        workers = [
            (self._reli(f"work-{n}", ["work"], env | signing), _at_once)
            for n in range(1, self._options.work_processes + 1)
        ]
        wait_for_servers = self._launched("serve", servers)
        wait_for_workers = self._launched("work", workers)
        wait_for_servers()
        wait_for_workers()
        return ports

    def _migrate(self, database_url: str) -> str:
        """Bring the schema up to date and return the operator's key."""
        key_file = self._secret_file("operator")
        # A child, so that what it loads is not held in memory for as long as we run.
        migrate = self._reli(
            "migrate",
            ["migrate", "--operator-key-file", str(key_file)],
            {"RELI_DATABASE_URL": database_url},
        )
        try:
            code = migrate.wait(120)
        except subprocess.TimeoutExpired:
            raise migrate.failure("took more than two minutes") from None
        finally:
            migrate.stop()
        if code != 0:
            raise migrate.failure(f"ended with {describe_exit(code)}")
        self._report("migrate")
        return key_file.read_text().strip()

    def _reli(self, name: str, arguments: list[str], env: dict[str, str]) -> Child:
        """Start one of our own commands, told everything and only what `env` says."""
        inherited = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
        child = Child(
            name=name,
            # -P: a directory `app` wherever the user happens to be must not be taken for ours.
            argv=[sys.executable, "-P", "-m", "app", *arguments],
            env=inherited | {"PYTHONUNBUFFERED": "1"} | env,
            log=self._log(name),
        )
        child.start()
        return child

    def _launched(
        self, part: str, launched: Sequence[tuple[Child, Callable[[], bool]]]
    ) -> Callable[[], None]:
        """Take charge of children that have started; the result waits until they are ready."""
        self._children += [child for child, _ in launched]

        def wait() -> None:
            for child, is_ready in launched:
                wait_until_ready(child, is_ready)
            if launched:
                self._report(part)

        return wait

    def _report(self, part: str) -> None:
        self._on_started(part, time.monotonic() - self._began)

    def _log(self, name: str) -> Path:
        return self._home / "logs" / f"{name}.log"

    def _signing_key(self) -> str:
        """The seed of the key that signs checkpoints, unless somebody else keeps it."""
        return os.environ.get("RELI_SIGNING_KEY") or self._secret(
            "signing", lambda: secrets.token_urlsafe(32)
        )

    def _sealing_keys(self) -> str:
        """The keys that secrets are sealed with, as JSON, unless somebody has others."""
        return os.environ.get("RELI_SEALING_KEYS") or json.dumps(
            [self._secret("sealing", lambda: secrets.token_urlsafe(32))]
        )

    def _secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_hex(24)) -> str:
        """A secret of ours, by default a server's password: made once, readable by us alone."""
        file = self._secret_file(name)
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(make())
        return file.read_text()

    def _secret_file(self, name: str) -> Path:
        directory = self._home / "secrets"
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory / name


def _nothing_to_wait_for() -> None:
    pass


def _at_once() -> bool:
    return True
