"""`make schemathesis`: fuzz the REST face, show what was heard, and end with 1 if it was wrong."""

import argparse
import sys
from secrets import randbelow

from rich.console import Console

from tests.fuzz.campaign import Campaign
from tests.support.stack import running_reli


def main() -> int:
    parser = argparse.ArgumentParser(prog="schemathesis", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = randbelow(1_000_000) if arguments.seed is None else arguments.seed
    out = Console(highlight=False, soft_wrap=True, markup=False)
    out.print(f"seed {seed}")
    with running_reli("--serve", "2") as stack:
        report = Campaign.prepared(stack).run(cases=arguments.cases, seed=seed, say=out.print)
    for answer, times in report.answers.most_common():
        out.print(f"{times:8,}  {answer}")
    for refusal in sorted(report.undocumented):
        out.print(f"not in the document: {refusal}")
    for what, repeat in sorted(report.findings.items()):
        out.print(f"✗ {what}\n{repeat}\n")
    out.print(
        f"{report.cases:,} requests to {report.operations} operations in {report.seconds:.0f} s,"
        f" {len(report.findings)} findings, seed {seed}"
    )
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
