"""`make crash`: play many runs, one run, or all canaries."""

import argparse
import logging
import sys
from pathlib import Path
from random import randrange
from typing import Final

from tests.crash.campaign import (
    clean_tasks,
    hunts,
    play_all,
    play_one,
    processes,
    say,
    stage,
    virtual_runner,
)
from tests.crash.canary import CANARIES, NONE
from tests.crash.report import say_canaries, say_summary

MAX_RUNS: Final = 1_000
"""Within so many each planted bug must be found."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--run", type=int, default=None)
    parser.add_argument("--canary", choices=list(CANARIES), default="none")
    parser.add_argument("--canaries", action="store_true")
    parser.add_argument("--trace", type=Path, default=None)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    seed = asked.seed if asked.seed is not None else randrange(1_000_000)
    if asked.run is not None:
        return _one(seed, asked.run, asked.canary, asked.trace)
    if asked.canaries:
        wanted = [name for name in CANARIES if name != NONE.name]
    else:
        wanted = [asked.canary] if asked.canary != NONE.name else []
    say(f"SEED={seed}: {', '.join(wanted) if wanted else f'{asked.runs} runs'}")
    with stage(processes()) as places:
        count = len(places)
        if not wanted:
            summary = play_all(places, clean_tasks(count, seed=seed, runs=asked.runs))[NONE.name]
            say_summary(summary)
            return int(bool(summary.findings))
        tasks = hunts(count, seed=seed, at_most=MAX_RUNS, canaries=wanted)
        found = play_all(places, tasks)
    say_canaries(found)
    return int(not all(summary.findings for summary in found.values()))


def _one(seed: int, number: int, canary: str, trace: Path | None) -> int:
    with stage(1) as (place,), virtual_runner() as runner:
        first, second = runner.run(play_one(place, seed, number, canary))
    assert first.trace is not None and second.trace is not None
    if trace is not None:
        for result, path in ((first.trace, trace), (second.trace, trace.with_suffix(".again"))):
            path.write_text("\n".join(result.lines()) + "\n", encoding="utf-8")
    digests = first.trace.digest(), second.trace.digest()
    say(f"trace {digests[0]}, again {digests[1]}; {first.turns} turns")
    for violation in first.violations:
        say(f"  {violation}")
    is_same = digests[0] == digests[1]
    say("reproducible" if is_same else "NOT REPRODUCIBLE")
    return int(bool(first.violations) or not is_same)


if __name__ == "__main__":
    sys.exit(main())
