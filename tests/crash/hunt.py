"""Each planted bug must be found."""

from dataclasses import dataclass
from typing import Final

from tests.crash.campaign import Finding, campaign, say
from tests.crash.canary import CANARIES
from tests.crash.database import Place

MAX_RUNS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Hunted:
    """Attributes:
    finding: the first run that showed the bug.
    runs: how many were played until then.
    """

    canary: str
    finding: Finding | None
    runs: int


def hunt(places: list[Place], *, seed: int, at_most: int) -> list[Hunted]:
    """Let every canary out, one after the other."""
    found = []
    for name in CANARIES:
        if name == "none":
            continue
        summary = campaign(places, seed=seed, runs=at_most, canary=name, is_hunt=True)
        finding = summary.findings[0] if summary.findings else None
        where = f"run {finding.number}: {finding.violations[0]}" if finding else "NOT FOUND"
        say(f"{name}: {where} ({summary.runs} runs, {summary.seconds:.0f} s)")
        found.append(Hunted(name, finding, summary.runs))
    return found
