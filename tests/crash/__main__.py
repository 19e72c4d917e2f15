"""`make crash`: play many runs, one run, or all canaries."""

import argparse
import logging
import sys
from pathlib import Path
from random import randrange

from tests.crash.campaign import VirtualRunner, campaign, play_one, processes, say, stage
from tests.crash.canary import CANARIES
from tests.crash.report import say_canaries, say_summary
from tests.crash.hunt import MAX_RUNS, hunt


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
    with stage(processes()) as places:
        if asked.canaries:
            found = hunt(places, seed=seed, at_most=MAX_RUNS)
            say_canaries(found)
            return int(not all(one.finding for one in found))
        is_hunt = asked.canary != "none"
        say(f"{asked.runs} runs, SEED={seed} CANARY={asked.canary}")
        summary = campaign(
            places, seed=seed, runs=asked.runs, canary=asked.canary, is_hunt=is_hunt
        )
    say_summary(summary)
    return int(bool(summary.findings))


def _one(seed: int, number: int, canary: str, trace: Path | None) -> int:
    with stage(1) as (place,), VirtualRunner() as runner:
        first, second = runner.run(play_one(place, seed, number, canary))
    if trace is not None:
        for result, name in ((first, trace), (second, trace.with_suffix(".again"))):
            name.write_text("\n".join(result.lines or ()) + "\n", encoding="utf-8")
    say(f"trace {first.digest}, again {second.digest}; {first.turns} turns")
    for violation in first.violations:
        say(f"  {violation}")
    is_same = first.digest == second.digest
    say("reproducible" if is_same else "NOT REPRODUCIBLE")
    return int(bool(first.violations) or not is_same)


if __name__ == "__main__":
    sys.exit(main())
