"""`make fuzz`: attack a stack's gRPC, show what came of it, and end with 1 if it did harm."""

import argparse
import asyncio
import sys
from secrets import randbelow

from rich.console import Console

from tests.support.stack import running_reli
from tests.wire_fuzz.run import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = randbelow(1_000_000) if arguments.seed is None else arguments.seed
    say = Console(highlight=False, markup=False, soft_wrap=True).print
    say(f"seed {seed}")
    with running_reli() as ready:
        report = asyncio.run(fuzz(ready, seconds=arguments.minutes * 60, seed=seed, say=say))
    for name, count in sorted(report.attacks.items()):
        say(f"{count:>8} {name.replace('_', ' ')}")
    say(f"{report.honest:>8} honest calls, the slowest in {report.slowest_s:.2f} s")
    for violation in report.violations:
        say(f"! {violation}")
    if report.violations:
        say(f"again: make fuzz MINUTES={arguments.minutes:g} SEED={seed}")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
