"""Runs a certification for whoever called `reli lp certify`."""

from rich.console import Console

from app.certify.card import show, show_sum, to_json
from app.certify.certify import Finding, Grade, certify
from app.certify.subject import SUBJECTS


async def run(name: str, *, as_json: bool) -> bool:
    """Print the report card, and say whether every rule was kept."""
    out = Console(highlight=False, soft_wrap=True)
    findings: list[Finding] = []
    async for finding in certify(SUBJECTS[name]):
        findings.append(finding)
        if not as_json:
            show(out, finding)
    if as_json:
        out.print(to_json(name, findings), markup=False)
    else:
        show_sum(out, name, findings)
    return all(finding.grade is not Grade.BROKEN for finding in findings)
