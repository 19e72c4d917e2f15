"""Attack a stack for some time, and look whether it goes on as if nothing had been."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc

from app.stack.ports import LOOPBACK
from app.stack.stack import ReadyStack
from reli.market.v1 import market_service_pb2 as market_pb
from reli.market.v1 import market_service_pb2_grpc as market_grpc
from tests.wire_fuzz.attacks import attack, seeds

ANSWERED_WITHIN_S: Final = 10.0
ROUND: Final = 6
"""How many connections each target has at once, between two honest calls."""
WARM_AFTER: Final = 40
"""Connections after which memory is looked at for the first time."""
GROWTH_BYTES_MAX: Final = 96 << 20
"""How much larger a process may be afterwards; what it keeps does not depend on how long."""
ENCRYPTED: Final = "envoy within TLS"
_LISTENS: Final = "0A"
"""As the kernel writes the state of a socket."""


@dataclass
class Report:
    """What was done, and what should not have been seen."""

    attacks: Counter[str] = field(default_factory=Counter)
    """How many there were of each kind."""
    honest: int = 0
    slowest_s: float = 0.0
    violations: list[str] = field(default_factory=list)
    grown: dict[str, int] = field(default_factory=dict)
    """By how many bytes each process grew."""


async def fuzz(
    ready: ReadyStack, *, seconds: float, seed: int, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Attack every place where the stack takes gRPC, and after each round call it honestly."""
    targets = targets_of(ready)
    processes = {name: pid_at(port) for name, port in targets.items()}
    encryption = {ENCRYPTED: ssl.create_default_context(cafile=ready.tls_certificate)}
    encryption[ENCRYPTED].set_alpn_protocols(["h2"])
    report, numbers = Report(), seeds(seed)

    async def one(name: str, number: int) -> None:
        try:
            chosen = await attack(LOOPBACK, targets[name], number, encryption=encryption.get(name))
        except (OSError, TimeoutError) as error:
            report.violations.append(f"{name} takes no connection: {error!r}")
        else:
            report.attacks[chosen.__name__] += 1

    await _call_honestly(ready, report)
    before: dict[str, int] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.gather(*(one(name, next(numbers)) for _ in range(ROUND) for name in targets))
        await _call_honestly(ready, report)
        if not before and report.attacks.total() >= WARM_AFTER:
            before = {name: resident_bytes(pid) for name, pid in processes.items()}
            say(f"after the first {report.attacks.total()} connections: {_in_mib(before)} MiB")
        if report.violations:
            break
    for name, port in targets.items():
        if pid_at(port) != processes[name]:
            report.violations.append(f"{name} was started anew")
    after = {name: resident_bytes(pid) for name, pid in processes.items()}
    report.grown = {name: after[name] - before.get(name, after[name]) for name in processes}
    report.violations += [
        f"{name} grew by {grown >> 20} MiB"
        for name, grown in report.grown.items()
        if grown > GROWTH_BYTES_MAX
    ]
    say(f"after all {report.attacks.total()} connections: {_in_mib(after)} MiB")
    return report


def targets_of(ready: ReadyStack) -> Mapping[str, int]:
    """Return each place's port by its name."""
    places = {
        "serve": ready.serve_targets[0],
        "envoy in the open": urlsplit(ready.rest_url).netloc,
        "envoy's TLS": urlsplit(ready.tls_url).netloc,
        ENCRYPTED: urlsplit(ready.tls_url).netloc,
        "envoy inside": ready.grpc_target,
    }
    return {name: int(place.rpartition(":")[2]) for name, place in places.items()}


async def _call_honestly(ready: ReadyStack, report: Report) -> None:
    """Call as a partner would, at the server and through Envoy, on connections of its own."""
    for target in (ready.serve_targets[0], urlsplit(ready.rest_url).netloc):
        began = time.monotonic()
        try:
            async with grpc.aio.insecure_channel(target) as channel:
                stub: Any = market_grpc.MarketServiceStub(channel)
                answer = await stub.ListAssets(
                    market_pb.ListAssetsRequest(),
                    metadata=(("authorization", f"Bearer {ready.operator_key}"),),
                    timeout=ANSWERED_WITHIN_S,
                )
                assert answer.assets
        except grpc.aio.AioRpcError as error:
            report.violations.append(f"an honest call at {target}: {error!r}")
        report.honest += 1
        report.slowest_s = max(report.slowest_s, time.monotonic() - began)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) << 10


def pid_at(port: int) -> int:
    """Return the process that listens on a loopback port, or 0."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    listening = {
        f"socket:[{row[9]}]"
        for row in rows
        if row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == port
    }
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in listening for fd in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    return 0


def _in_mib(sizes: Mapping[str, int]) -> dict[str, int]:
    return {name: size >> 20 for name, size in sizes.items()}
