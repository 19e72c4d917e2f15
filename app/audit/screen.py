"""An audit for people and for scripts."""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from app.usecase.audit.audit_books import Report
from ports.audit import SHOWN, Check, Finding


class Screen:
    """Prints each finding as soon as it is there; on a terminal, also what is looked into now."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._out.is_terminal:
            self._status = self._out.status("the snapshot")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def begin(self, checks: Sequence[Check]) -> None:
        if self._status is not None:
            self._status.update(" ".join(check.id for check in checks))

    def end(self, findings: Sequence[Finding], seconds: float) -> None:
        for finding in findings:
            self._show(finding, seconds)

    def summary(self, report: Report) -> None:
        checks = len(report.findings)
        if report.is_clean:
            self._out.print(
                f"\n[green]✓[/] [bold]{checks} checks held[/] in {report.seconds:.1f} s"
            )
        else:
            broken = sum(finding.broken > 0 for finding in report.findings)
            self._out.print(
                f"\n[red]✗[/] [bold]{broken} of {checks} checks are broken[/], "
                f"{report.broken:,} violations, in {report.seconds:.1f} s"
            )

    def _show(self, finding: Finding, seconds: float) -> None:
        check = finding.check
        mark = "[red]✗[/]" if finding.broken else "[yellow]·[/]" if finding.note else "[green]✓[/]"
        note = f"  [yellow]{escape(finding.note)}[/]" if finding.note else ""
        self._out.print(
            f"{mark} {check.id:<15}{finding.looked_at:>12,} [dim]rows {seconds:5.1f} s[/]  "
            f"{escape(check.statement)}{note}"
        )
        for violation in finding.violations:
            tenant = f"{violation.tenant_id} " if violation.tenant_id else ""
            self._out.print(
                escape(
                    f"    {tenant}{violation.table} {violation.id}\n"
                    f"      expected  {violation.expected}\n"
                    f"      found     {violation.found}"
                )
            )
        if finding.broken > SHOWN:
            self._out.print(f"    and {finding.broken - SHOWN:,} more")
        if finding.broken:
            self._out.print(f"    [dim]{escape(check.source)}[/]")


def to_json(report: Report) -> str:
    """Return the report as one JSON document."""
    return json.dumps(
        {
            "clean": report.is_clean,
            "broken": report.broken,
            "seconds": round(report.seconds, 3),
            "checks": [_fields(finding) for finding in report.findings],
        },
        indent=2,
        ensure_ascii=False,
    )


def _fields(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.check.id,
        "statement": finding.check.statement,
        "source": finding.check.source,
        "looked_at": finding.looked_at,
        "broken": finding.broken,
        "note": finding.note,
        "violations": [
            {
                "tenant_id": str(violation.tenant_id) if violation.tenant_id else None,
                "table": violation.table,
                "id": violation.id,
                "expected": violation.expected,
                "found": violation.found,
            }
            for violation in finding.violations
        ],
    }
