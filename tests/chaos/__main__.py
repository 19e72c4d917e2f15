"""`make chaos`: run, show, and end with 1 if anything was seen that must never be."""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from secrets import randbelow

import uvloop
from rich.console import Console

from adapters.lp.sandbox.venue import FACES
from app.stack.stack import DEFAULT_VENUES
from tests.chaos.run import Options, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--rate", type=float, default=40, help="actions a second, of all together")
    parser.add_argument("--only", default="", help="only such faults, as in 'kill postgres'")
    parser.add_argument(
        "--venues",
        nargs="+",
        choices=sorted(FACES),
        metavar="FORMAT",
        help=f"a venue of each wire format, of {', '.join(FACES)}; without it, two of our own",
    )
    parser.add_argument("--json", type=Path, help="also write the report here")
    parser.add_argument("--home", type=Path, help="keep the stack's state and logs here")
    arguments = parser.parse_args()
    seed = randbelow(1_000_000) if arguments.seed is None else arguments.seed
    out = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()

    def say(line: str) -> None:
        out.print(f"[dim]{time.monotonic() - began:7.1f} s[/]  {line}")

    with tempfile.TemporaryDirectory(prefix="reli-chaos-") as scratch:
        options = Options(
            seed=seed,
            seconds=arguments.minutes * 60,
            home=arguments.home or Path(scratch),
            customers=arguments.customers,
            tenants=max(4, len(arguments.venues or ())),
            actions_per_s=arguments.rate,
            only=arguments.only,
            venues={name: name for name in arguments.venues or ()} or DEFAULT_VENUES,
        )
        say(f"seed {seed}")
        report = uvloop.run(run(options, say))
    report.show(out)
    if arguments.json:
        arguments.json.write_text(report.to_json() + "\n")
    if not report.is_clean:
        out.print(f"again: make chaos MINUTES={arguments.minutes:g} SEED={seed}", style="dim")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
