"""`reli demo`: one command tells the whole story, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from app.demo.partner import Json
from app.demo.screen import Screen
from app.demo.story import Chapter

CHAPTERS = (
    *("tenant", "customer", "quote", "settlement", "failover", "evidence", "unknown"),
    *("resolution", "refusals", "events", "books", "audit", "proof", "receipt"),
)
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def told() -> Any:
    """What `reli demo --json` prints; it takes some ten seconds, once."""
    with TemporaryDirectory(prefix="reli-test-") as scratch:
        Path(scratch).chmod(0o711)  # PostgreSQL may have to run as another user than we do
        result = subprocess.run(
            [sys.executable, "-P", "-m", "app", "demo", "--json"],
            env={k: v for k, v in os.environ.items() if not k.startswith("RELI_")}
            | {"TMPDIR": scratch},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert result.returncode == 0, result.stdout[-2_000:] + result.stderr
        assert not any(Path(scratch).iterdir())
    return json.loads(result.stdout)


def test_the_story_is_told_to_its_end(told: Json) -> None:
    assert told["succeeded"]
    assert tuple(name for name in told if name in CHAPTERS) == CHAPTERS
    assert len(told["expectations"]) > 50


def test_an_unknown_outcome_is_seen_and_then_settled(told: Json) -> None:
    unknown, resolved = told["unknown"], told["resolution"]

    assert unknown["trade"]["state"] == "TRADE_STATE_OUTCOME_UNKNOWN"
    assert unknown["balance"]["held"] == unknown["quote"]["quote_amount"]
    assert resolved["trade"]["state"] == "TRADE_STATE_SETTLED"
    assert resolved["trade"]["id"] == unknown["trade"]["id"]
    assert resolved["trade"]["quote_amount"] == unknown["quote"]["quote_amount"]
    assert resolved["executions"] == unknown["executions"]


def test_it_ends_with_an_audit_that_finds_nothing(told: Json) -> None:
    rows = {check["id"]: check["rows"] for check in told["audit"]["checks"]}

    assert told["audit"]["breaks"] == 0
    assert rows["I5.execution"] == 3  # settled at once, by the backup, and found later


def test_whoever_has_the_books_sees_what_was_changed(told: Json) -> None:
    whole, byte, row = told["proof"]["verdicts"]

    assert whole["holds"]
    assert whole["verifier"].startswith(f"{told['proof']['checkpoint']['entries']} entries hold")
    assert not byte["holds"]
    assert "the entry at position 1 was changed" in byte["verifier"]
    assert not row["holds"]
    assert "was changed" in row["verifier"]


def test_whoever_has_a_receipt_sees_what_was_changed(told: Json) -> None:
    whole, changed = told["receipt"]["verdicts"]

    assert whole["holds"]
    assert told["receipt"]["receipt"]["trade_id"] in whole["verifier"]
    assert not changed["holds"]
    assert "the signature is not over its text" in changed["verifier"]


def test_people_are_told_every_chapter(told: Json, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()

    for name in CHAPTERS:
        screen.tell(Chapter(name, told[name]))

    printed = capsys.readouterr().out
    assert "outcome_unknown" in printed
    assert f"all {len(told['audit']['checks'])}" in printed
    assert max(map(len, printed.splitlines())) <= 100
