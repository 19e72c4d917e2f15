"""The report card of `reli lp certify`, for people and for scripts."""

import io
import json
from pathlib import Path

from rich.console import Console

from app.certify.card import as_table, show, show_sum, to_json
from app.certify.certify import Finding, Grade
from app.certify.rules import RULES

KEPT, BROKEN, BESIDE = (
    Finding(rule, grade, detail, 0.25)
    for rule, grade, detail in zip(
        RULES, (Grade.KEPT, Grade.BROKEN, Grade.BESIDE), ("", "Filled", "unsigned"), strict=False
    )
)


def shown(*findings: Finding) -> list[str]:
    out = Console(file=io.StringIO(), width=200)
    for finding in findings:
        show(out, finding)
    show_sum(out, "okx", findings)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


def test_people_see_each_rule_with_its_sentence_and_what_broke_it() -> None:
    lines = shown(KEPT, BROKEN, BESIDE)

    assert lines[0].startswith(f"✓ {KEPT.rule.id} ")
    assert lines[0].endswith(KEPT.rule.sentence)
    assert lines[1].startswith(f"✗ {BROKEN.rule.id} ")
    assert "Filled" in lines[2]
    assert "1 rules broken: okx keeps 1 of 3 rules (1 beside the point)" in lines[-1]
    columns = {
        line.index(f.rule.sentence) for line, f in zip(lines[:2], (KEPT, BROKEN), strict=True)
    }
    assert len(columns) == 1


def test_an_adapter_that_breaks_nothing_is_certified() -> None:
    assert "certified: okx keeps 1 of 2 rules" in shown(KEPT, BESIDE)[-1]
    assert json.loads(to_json("okx", [KEPT, BESIDE]))["certified"] is True


def test_scripts_get_every_rule_with_its_grade() -> None:
    card = json.loads(to_json("okx", [KEPT, BROKEN, BESIDE]))

    assert (card["adapter"], card["certified"]) == ("okx", False)
    assert [rule["grade"] for rule in card["rules"]] == ["kept", "broken", "beside"]
    assert card["rules"][1]["detail"] == "Filled"


def test_the_documentation_has_the_card_of_every_adapter() -> None:
    page = Path(__file__).parents[2] / "docs" / "venues.md"

    assert as_table() in page.read_text(encoding="utf-8"), as_table()
