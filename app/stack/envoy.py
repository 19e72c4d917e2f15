"""Envoy from its wheel: what partners see of the stack."""

import http.client
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from adapters.envoy.config import Edge, bootstrap
from adapters.envoy.public_api import PublicApi
from app.stack.ports import LOOPBACK
from app.stack.process import Child

# Envoy's own words, not the app's: it found no such route, or nobody behind it.
_NOT_FROM_THE_APP = frozenset({404, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyServer:
    """One Envoy; its configuration is written anew at every start."""

    home: Path
    edge: Edge
    log: Path

    @property
    def rest_url(self) -> str:
        return f"http://{LOOPBACK}:{self.edge.rest_port}"

    @property
    def grpc_target(self) -> str:
        return f"{LOOPBACK}:{self.edge.grpc_port}"

    def start(self) -> Child:
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "envoy.json"
        config.write_text(json.dumps(bootstrap(self.edge), indent=2))
        child = Child(
            name="envoy",
            argv=[
                *[str(_binary()), "--config-path", str(config)],
                # No successor takes over its sockets, and several stacks can share a machine.
                "--disable-hot-restart",
                *["--concurrency", "2", "--log-level", "warning"],
                *["--file-flush-interval-msec", "1000"],
            ],
            log=self.log,
        )
        child.start()
        return child

    def listens(self) -> bool:
        return _status(self.edge.admin_port, "/ready") == 200

    def is_ready(self) -> bool:
        """A call without a credential reaches the app and comes back as its refusal."""
        if not self.listens():
            return False
        paths = PublicApi.read(self.edge.descriptor_set).paths
        lists = (path.template for path in paths if "GET" in path.methods and path.is_fixed)
        status = _status(self.edge.rest_port, next(lists))
        return status is not None and status not in _NOT_FROM_THE_APP


def _binary() -> Path:
    package = find_spec("envoy")
    assert package is not None and package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "_bin", "envoy")


def _status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
