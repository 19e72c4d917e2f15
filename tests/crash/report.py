"""Tables for people."""

from collections.abc import Sequence

from tests.crash.campaign import Summary, say
from tests.crash.hunt import Hunted


def say_summary(summary: Summary) -> None:
    say("")
    say_table(summary)
    say("")
    say("venues: " + ", ".join(f"{name} {count}" for name, count in sorted(summary.behaviors.items())))
    say("trades: " + ", ".join(f"{name} {count}" for name, count in sorted(summary.states.items())))
    rate = summary.runs / max(summary.seconds, 1e-9)
    say(
        f"{summary.runs} runs ({summary.replays} played twice) in {summary.seconds:.0f} s, "
        f"{rate:.1f}/s, {summary.turns / max(summary.runs, 1):.0f} turns each, "
        f"{sum(summary.fired.values())} faults, {len(summary.findings)} bad, SEED={summary.seed}"
    )
    for finding in summary.findings[:10]:
        say(f"{finding.reproducer}  # {'; '.join(finding.violations)}")


def say_table(summary: Summary) -> None:
    """Say how often each fault struck in each state."""
    faults = sorted({fault for fault, _ in summary.fired})
    states = sorted({state for _, state in summary.fired})
    width = max((len(fault) for fault in faults), default=0)
    say(" " * width + "  " + "  ".join(states))
    for fault in faults:
        cells = "  ".join(
            f"{summary.fired[fault, state] or '.':>{len(state)}}" for state in states
        )
        say(f"{fault:<{width}}  {cells}")


def say_canaries(found: Sequence[Hunted]) -> None:
    say("")
    for one in found:
        if one.finding is None:
            say(f"{one.canary:<28} NOT FOUND in {one.runs} runs")
        else:
            say(f"{one.canary:<28} run {one.finding.number:>4}  {one.finding.reproducer}")
            say(f"{'':<28} {one.finding.violations[0]}")
