"""Every adapter of a liquidity provider keeps every rule of the port, against its local venue."""

import pytest

from app.certify.certify import Grade, judge
from app.certify.rules import RULES
from app.certify.rules.rule import Rule
from app.certify.subject import SUBJECTS, Subject


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=lambda subject: subject.name)
async def test_an_adapter_keeps_every_rule_of_the_port(subject: Subject, rule: Rule) -> None:
    finding = await judge(subject, rule)

    assert finding.grade is not Grade.BROKEN, finding.detail


def test_every_rule_is_about_some_adapter_and_has_a_name_of_its_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES) > 40
    for rule in RULES:
        assert any(not rule.beside(subject) for subject in SUBJECTS.values()), rule.id
