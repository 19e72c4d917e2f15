"""NATS with JetStream from its wheel, every write on disk before it is acknowledged."""

import json
import socket
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.stack.ports import LOOPBACK
from app.stack.process import Child

USER = "reli"


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsServer:
    """One server with its streams in `home`."""

    home: Path
    port: int
    password: str
    log: Path

    @property
    def url(self) -> str:
        return f"nats://{USER}:{self.password}@{LOOPBACK}:{self.port}"

    def start(self) -> Child:
        self.home.mkdir(parents=True, exist_ok=True)
        # A file, not arguments: those are visible to every user of the machine.
        config = self.home / "nats.conf"
        config.touch(mode=0o600)
        config.write_text(json.dumps(self._config(), indent=2))
        child = Child(
            name="nats",
            argv=[str(Path(sysconfig.get_path("scripts"), "nats-server")), "-c", str(config)],
            log=self.log,
        )
        child.start()
        return child

    def is_ready(self) -> bool:
        """A server that takes clients greets them."""
        with (
            suppress(OSError),
            socket.create_connection((LOOPBACK, self.port), timeout=1) as connection,
        ):
            return connection.recv(5) == b"INFO "
        return False

    def _config(self) -> dict[str, object]:
        return {
            "listen": f"{LOOPBACK}:{self.port}",
            "server_name": "reli",
            "authorization": {"user": USER, "password": self.password},
            "max_payload": 1024 * 1024,
            "jetstream": {
                "store_dir": str(self.home / "jetstream"),
                # The default is two minutes: an acknowledged event could be lost.
                "sync_interval": "always",
                "max_memory_store": 256 * 1024**2,
                "max_file_store": 8 * 1024**3,
            },
        }
