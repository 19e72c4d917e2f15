"""Tables for people."""

from collections.abc import Mapping
from itertools import product
from typing import Final

from tests.crash.campaign import Summary, say
from tests.crash.faults import BusFault, Fault, Moment, Port
from tests.crash.world import NO_TRADE, PLACED

FAULTS: Final = (
    *(
        f"{fault} {moment} {port}"
        for fault, moment, port in product(
            sorted(PLACED),
            (Moment.BEFORE, Moment.AFTER),
            (Port.UNIT, Port.LP, Port.QUEUE, Port.EVENTS),
        )
    ),
    *(str(fault) for fault in Fault if fault not in PLACED),
    *(str(fault) for fault in BusFault),
)
STATES: Final = (
    NO_TRADE,
    "submitted/sent",
    "submitted/prepared",
    "outcome_unknown/unknown",
    "settled",
    "rejected",
)
"""States of a trade and its latest attempt, as a crash can find them."""

NEVER_COMMITTED: Final = {
    "pending": "the accept itself records the first attempt as sent",
    "filled, rejected, not_sent and absent attempts of a live trade": (
        "what follows without a venue is done in the same unit of work"
    ),
}

FOR_ZOMBIES: Final = frozenset(
    (f"{fault} {moment} {Port.LP}", state)
    for fault, moment, state in product(
        sorted(PLACED), (Moment.BEFORE, Moment.AFTER), ("settled", "rejected")
    )
)
AFTER_A_CLAIM: Final = frozenset(
    product((f"{fault} after {Port.QUEUE}" for fault in PLACED), (NO_TRADE, "settled", "rejected"))
)
ONLY_ZOMBIES: Final = "only a zombie calls a venue for a trade that has ended"


def say_summary(summary: Summary) -> None:
    say("")
    say_table(summary)
    say("")
    say(
        "venues: "
        + ", ".join(f"{name} {count}" for name, count in sorted(summary.behaviors.items()))
    )
    say("trades: " + ", ".join(f"{name} {count}" for name, count in sorted(summary.states.items())))
    rate = summary.runs / max(summary.seconds, 1e-9)
    say(
        f"{summary.runs} runs ({summary.replays} played twice) in {summary.seconds:.0f} s, "
        f"{rate:.1f}/s, {1000 * summary.cpu_s / max(summary.runs, 1):.0f} ms of one processor "
        f"and {summary.turns / max(summary.runs, 1):.0f} turns each, "
        f"{sum(summary.fired.values())} faults, {len(summary.findings)} bad, SEED={summary.seed}"
    )
    for finding in summary.findings[:10]:
        say(f"{finding.reproducer}  # {'; '.join(finding.violations)}")


def say_table(summary: Summary) -> None:
    """Say how often each fault struck in each state, and which cells were left empty."""
    width = max(map(len, FAULTS))
    say(" " * width + "  " + "  ".join(STATES))
    for fault in FAULTS:
        cells = "  ".join(f"{summary.fired[fault, state] or '.':>{len(state)}}" for state in STATES)
        say(f"{fault:<{width}}  {cells}")
    empty = [
        (fault, state) for fault in FAULTS for state in STATES if not summary.fired[fault, state]
    ]
    for fault, state in empty:
        say(f"empty: {fault}, {state}: {_why_empty(fault, state)}")
    for state, why in NEVER_COMMITTED.items():
        say(f"no column: {state}: {why}")


def _why_empty(fault: str, state: str) -> str:
    if (fault, state) in FOR_ZOMBIES:
        return ONLY_ZOMBIES
    if (fault, state) in AFTER_A_CLAIM:
        return "what is claimed is a trade that has not ended"
    return "not struck in so few runs"


def say_canaries(found: Mapping[str, Summary]) -> None:
    say("")
    for canary, summary in found.items():
        if not summary.findings:
            say(f"{canary:<20} NOT FOUND in {summary.runs} runs")
        for finding in summary.findings:
            say(f"{canary:<20} run {finding.number:>4}  {finding.violations[0]}")
