"""Certifying: every rule on a bench of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from app.certify.bench import NOTHING_PLANTED, Plant, open_bench
from app.certify.rules import RULES
from app.certify.rules.rule import Broken, Rule
from app.certify.subject import Subject


class Grade(StrEnum):
    """What became of a rule."""

    KEPT = "kept"
    BROKEN = "broken"
    BESIDE = "beside"
    """The venue has nothing that the rule could be about."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Attributes:
    detail: what was done instead, or why the rule is beside the point.
    """

    rule: Rule
    grade: Grade
    detail: str
    seconds: float


async def certify(
    subject: Subject, rules: Sequence[Rule] = RULES, plant: Plant = NOTHING_PLANTED
) -> AsyncIterator[Finding]:
    """Yield what became of each rule, as soon as it is known."""
    for rule in rules:
        yield await judge(subject, rule, plant)


async def judge(subject: Subject, rule: Rule, plant: Plant = NOTHING_PLANTED) -> Finding:
    """Return what became of one rule; a rule that cannot be played to its end is broken."""
    if reason := rule.beside(subject):
        return Finding(rule, Grade.BESIDE, reason, 0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with TemporaryDirectory(prefix="reli-certify-") as home:
        async with open_bench(subject, Path(home), plant) as bench:
            try:
                await rule.check(bench)
                grade, detail = Grade.KEPT, ""
            except Broken as broken:
                grade, detail = Grade.BROKEN, str(broken)
            except Exception as error:
                grade, detail = Grade.BROKEN, repr(error)
    return Finding(rule, grade, detail, loop.time() - began)
