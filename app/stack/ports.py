"""Ports on the loopback interface for the servers of one stack."""

import random
import socket
import time
from collections.abc import Iterator

from app.stack.process import StackFailure

LOOPBACK = "127.0.0.1"
# Below the range from which Linux serves outgoing connections: a port that is free now is not
# handed to somebody's client socket before our server binds it.
_FREE_PORTS = range(15_000, 32_000)


class Ports:
    """Hands out one port after another: consecutive ones from a base, or free ones."""

    def __init__(self, base: int | None) -> None:
        self._candidates: Iterator[int]
        if base is None:
            self._candidates = iter(random.sample(_FREE_PORTS, k=2_000))
        else:
            self._candidates = iter(range(base, 65_536))
        self._is_fixed = base is not None

    def take(self) -> int:
        """Return the next port, or raise `StackFailure` if the fixed one is in use."""
        for port in self._candidates:
            if is_free(port):
                return port
            if self._is_fixed:
                # What a killed stack leaves behind ends within a moment.
                time.sleep(1)
                if is_free(port):
                    return port
                raise StackFailure(f"port {port} is in use; choose another --port-base")
        raise StackFailure("no free port left")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True
