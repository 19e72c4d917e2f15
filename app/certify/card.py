"""A report card for people and for scripts."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from app.certify.certify import Finding, Grade
from app.certify.rules import RULES
from app.certify.subject import SUBJECTS

_MARKS = {Grade.KEPT: "[green]✓[/]", Grade.BROKEN: "[red]✗[/]", Grade.BESIDE: "[dim]·[/]"}
_ID_WIDTH = max(len(rule.id) for rule in RULES)


def show(out: Console, finding: Finding) -> None:
    """Print one line, and what went wrong below it."""
    mark = _MARKS[finding.grade]
    out.print(
        f"{mark} {finding.rule.id:<{_ID_WIDTH}} [dim]{finding.seconds:5.2f} s[/]  "
        f"{escape(finding.rule.sentence)}"
    )
    if finding.detail:
        style = "red" if finding.grade is Grade.BROKEN else "dim"
        out.print(f"  [{style}]{escape(finding.detail)}[/]")


def show_sum(out: Console, name: str, findings: Sequence[Finding]) -> None:
    """Print how it ended."""
    broken = sum(one.grade is Grade.BROKEN for one in findings)
    kept = sum(one.grade is Grade.KEPT for one in findings)
    verdict = (
        f"[red]✗[/] [bold]{broken} rules broken[/]" if broken else "[green]✓[/] [bold]certified[/]"
    )
    out.print(
        f"\n{verdict}: {escape(name)} keeps {kept} of {len(findings)} rules"
        f" ({len(findings) - kept - broken} beside the point), against its local venue"
    )


def to_json(name: str, findings: Sequence[Finding]) -> str:
    return json.dumps(
        {
            "adapter": name,
            "certified": all(one.grade is not Grade.BROKEN for one in findings),
            "rules": [
                {
                    "id": one.rule.id,
                    "sentence": one.rule.sentence,
                    "grade": one.grade,
                    "detail": one.detail,
                    "seconds": round(one.seconds, 3),
                }
                for one in findings
            ],
        }
    )


def as_table() -> str:
    """Return which adapters each rule is for, in Markdown; that they keep it is the suite's to say.

    `·` is beside the point.
    """
    names = list(SUBJECTS)
    lines = [
        f"| rule | {' | '.join(names)} |",
        f"| --- |{' --- |' * len(names)}",
        *(
            f"| `{rule.id}` | "
            + " | ".join("·" if rule.beside(subject) else "✓" for subject in SUBJECTS.values())
            + " |"
            for rule in RULES
        ),
    ]
    kept = [sum(not rule.beside(subject) for rule in RULES) for subject in SUBJECTS.values()]
    lines.append(f"| of {len(RULES)} | {' | '.join(map(str, kept))} |")
    return "\n".join(lines) + "\n"
