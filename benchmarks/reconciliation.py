"""How long it takes to match a hundred thousand lines, as they are and at their worst.

The lines are made up by a seed: most have their counterpart by reference, some by amount and time,
some as a sum, and some have none. At their worst nothing matches anything, so every rule is tried
to its bounds. Only the matching itself is measured, in one process and without any database.
"""

import argparse
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final
from uuid import UUID

from benchmarks.ground import run
from domain.ids import LineId
from domain.reconciliation.matching import RULES, Line, LineSide, Matching, match_lines
from domain.reconciliation.statement import SourceKind

LINES: Final = 100_000
SEED: Final = 7
WANTED_S: Final = 10.0
_START: Final = datetime(2026, 3, 2, tzinfo=UTC)
_WINDOW: Final = RULES[SourceKind.LP].window


def measure(options: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(SEED)
    usual, worst = _usual(chance, options.lines), _worst(chance, options.lines)
    return {
        "lines": options.lines,
        "wanted_s": WANTED_S,
        "usual": _timed(usual, options.rounds),
        "worst": _timed(worst, options.rounds),
    }


def _timed(lines: list[Line], rounds: int) -> dict[str, Any]:
    took, worked = [], []
    found: Matching | None = None
    for _ in range(rounds):
        began, work_began = time.perf_counter(), time.process_time()
        found = match_lines(lines, _WINDOW)
        took.append(time.perf_counter() - began)
        worked.append(time.process_time() - work_began)
    assert found is not None
    return {
        "median_s": round(median(took), 2),
        "processor_s": round(median(worked), 2),
        "rounds_s": [round(one, 2) for one in took],
        "matches": len(found.matches),
        "differences": len(found.differences),
        "left_over": len(found.rest.statement) + len(found.rest.book),
    }


def _usual(chance: random.Random, count: int) -> list[Line]:
    """Return lines of which nine in ten are known by a reference, spread over a day."""
    lines: list[Line] = []
    while len(lines) < count:
        number = len(lines)
        at = _START + timedelta(milliseconds=chance.randrange(86_400_000))
        units = chance.randrange(1, 10**9) * chance.choice((1, -1))
        kind = chance.random()
        order = (f"order-{number}",) if kind < 0.9 else ()
        lines.append(_line(number, LineSide.STATEMENT, units, at, f"theirs-{number}", *order))
        if kind >= 0.99:
            continue  # the book has nothing of it
        parts = [units] if kind < 0.97 else [units // 3, units - units // 3]
        for part in parts:
            later = at + timedelta(seconds=chance.randrange(1, 30))
            number = len(lines)
            lines.append(_line(number, LineSide.BOOK, part, later, f"ours-{number}", *order))
    chance.shuffle(lines)
    return lines


def _worst(chance: random.Random, count: int) -> list[Line]:
    """Return lines none of which has a counterpart: odd amounts here, even ones there."""
    return [
        _line(
            number,
            LineSide.BOOK if number % 2 else LineSide.STATEMENT,
            8 * chance.randrange(1, 10**9) + (0 if number % 2 else 1),
            _START + timedelta(milliseconds=chance.randrange(86_400_000)),
            f"own-{number}",
        )
        for number in range(count)
    ]


def _line(number: int, side: LineSide, units: int, at: datetime, *references: str) -> Line:
    return Line(LineId(UUID(int=number + 1)), side, "NGN", units, at, references)


def report(result: dict[str, Any]) -> str:
    lines = [f"matching {result['lines']} lines, s (wanted: below {result['wanted_s']:.0f})"]
    for name in ("usual", "worst"):
        one = result[name]
        lines.append(
            f"  {name:<10}{one['median_s']:>8.2f}, of the processor {one['processor_s']:.2f}: "
            f"{one['matches']} matches, {one['left_over']} lines left over"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.reconciliation", description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--rounds", type=int, default=3)
    return parser


def main() -> int:
    return 0 if run(_parser(), measure, report) else 1


if __name__ == "__main__":
    sys.exit(main())
