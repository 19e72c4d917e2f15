"""How long a stack takes from the command to ready, cold and warm, and the memory it then holds.

Memory is the proportional set size of every process of the stack, summed: what several of them
share counts once.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from app.stack.stack import Stack, StackOptions
from benchmarks import machine
from benchmarks.ground import run

WARM_STARTS: Final = 5
REST_S: Final = 30.0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with TemporaryDirectory(prefix="reli-bench-") as directory:
        home = Path(directory, "home")
        cold, _ = _start(home, rest_s=0)
        warm = [_start(home, rest_s=0)[0] for _ in range(options.starts - 1)]
        last, memory = _start(home, rest_s=options.rest)
        warm.append(last)
    return {
        "cold_s": round(cold, 2),
        "warm_s": round(median(warm), 2),
        "warm_starts_s": [round(took, 2) for took in warm],
        "rest_s": options.rest,
        "memory_mb": {part: round(size / 1e6, 1) for part, size in sorted(memory.items())},
        "memory_sum_mb": round(sum(memory.values()) / 1e6, 1),
    }


def _start(home: Path, *, rest_s: float) -> tuple[float, dict[str, int]]:
    began = time.perf_counter()
    with Stack(StackOptions(home=home)) as stack:
        stack.start()
        took = time.perf_counter() - began
        time.sleep(rest_s)
        return took, machine.memory()


def report(result: dict[str, Any]) -> str:
    """Return the figures as a table."""
    starts = "  ".join(f"{took:.2f}" for took in result["warm_starts_s"])
    lines = [
        f"{'ready, new home':<22}{result['cold_s']:>8.2f} s",
        f"{'ready, warm home':<22}{result['warm_s']:>8.2f} s   {starts}",
        "",
        f"memory {result['rest_s']:.0f} s after ready, MB",
        *(f"  {part:<20}{size:>8.1f}" for part, size in result["memory_mb"].items()),
        f"  {'sum':<20}{result['memory_sum_mb']:>8.1f}",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.start", description=__doc__)
    parser.add_argument("--starts", type=int, default=WARM_STARTS, help="of the warm home")
    parser.add_argument("--rest", type=float, default=REST_S, help="seconds until memory is read")
    return parser


def main() -> int:
    return 0 if run(_parser(), measure, report) else 1


if __name__ == "__main__":
    sys.exit(main())
