"""Exactly one outcome, whoever dies when; and the harness that says so finds what it should."""

import os
from random import randrange

import pytest

from tests.crash.campaign import clean_tasks, hunts, play_all, processes, stage
from tests.crash.canary import CANARIES, NONE
from tests.crash.report import say_canaries, say_summary

CLEAN_RUNS = int(os.environ.get("CRASH_RUNS", "2000"))
MAX_RUNS = 1_000
SEED = 1
"""Canaries are looked for where they have been found; the clean runs are new ones each time."""


@pytest.mark.crash
def test_every_trade_has_one_outcome_and_every_planted_bug_is_found(
    capfd: pytest.CaptureFixture[str],
) -> None:
    count = processes()
    canaries = [name for name in CANARIES if name != NONE.name]
    with capfd.disabled(), stage(count) as places:
        planned = [
            [*hunting, *clean]
            for hunting, clean in zip(
                hunts(count, seed=SEED, at_most=MAX_RUNS, canaries=canaries),
                clean_tasks(count, seed=randrange(1_000_000), runs=CLEAN_RUNS),
                strict=True,
            )
        ]
        found = play_all(places, planned)
        clean = found.pop(NONE.name)
        say_canaries(found)
        say_summary(clean)

    assert [finding.reproducer for finding in clean.findings] == []
    assert [name for name, summary in found.items() if not summary.findings] == []
    assert clean.runs == CLEAN_RUNS
