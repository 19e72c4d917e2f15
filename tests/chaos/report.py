"""What a run amounts to, for people and for scripts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape

from tests.chaos.checks import Settled
from tests.chaos.history import History
from tests.chaos.recovery import Recovery

if TYPE_CHECKING:
    from tests.chaos.run import Options

Json = dict[str, Any]

SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Attributes:
    slowest_s: the longest that anybody waited for an answer.
    surprises: exceptions that a process had not foreseen and survived, from its log.
    """

    options: Options
    history: History
    recovery: Recovery
    found: Settled
    fired: Counter[str]
    requests: int
    slowest_s: float
    quiet_s: float
    surprises: Counter[str]

    @property
    def is_clean(self) -> bool:
        return not self.history.violations

    def to_json(self) -> str:
        return json.dumps(
            {
                "seed": self.options.seed,
                "minutes": round(self.options.seconds / 60, 2),
                "customers": self.options.customers,
                "requests": self.requests,
                "answers": dict(self.history.answers.most_common()),
                "deposits": len(self.history.deposits),
                "accepts": len(self.history.trades),
                "trades": dict(self.found.states),
                "replays": self.history.replays,
                "balances_compared": self.history.balances_compared,
                "venue_answers": {"orders": self.found.orders, "quotes": self.found.quotes},
                "executions": dict(self.found.executions),
                "late_fills": dict(self.found.late_fills),
                "events": self.found.events,
                "messages": self.found.messages,
                "duplicate_messages": self.found.duplicates,
                "faults": dict(sorted(self.fired.items())),
                "recovery": self.recovery.figures(),
                "outages": list(self._outages()),
                "longest_without_write_s": round(self.recovery.longest_gap_s, 2),
                "slowest_answer_s": round(self.slowest_s, 2),
                "quiet_after_s": round(self.quiet_s, 2),
                "audit_checks": self.found.audit_checks,
                "surprises": dict(self.surprises.most_common(SHOWN)),
                "violations": [asdict(one) for one in self.history.violations],
                "clean": self.is_clean,
            },
            indent=2,
        )

    def show(self, out: Console) -> None:
        for name, value in self._rows():
            out.print(f"{name:<28}{escape(value)}")
        if self.surprises:
            out.print("\n[yellow]survived, and not foreseen[/]")
            for line, count in self.surprises.most_common(SHOWN):
                out.print(f"  {count:>5}  {escape(line)}")
        violations = self.history.violations
        if not violations:
            out.print("\n[green]✓[/] [bold]no violation[/]")
            return
        out.print(f"\n[red]✗[/] [bold]{len(violations)} violations[/]")
        for one in violations[:SHOWN]:
            out.print(escape(f"  {one.rule:<20}{one.tenant_id} {one.id}\n      {one.detail}"))
        if len(violations) > SHOWN:
            out.print(f"  and {len(violations) - SHOWN} more")

    def _outages(self) -> Iterator[Json]:
        for outage in self.recovery.outages:
            yield {
                "fault": f"{outage.kind} {outage.target}",
                "at_s": round(outage.began - self.recovery.outages[0].began, 2),
                "lasted_s": round((outage.ended or outage.began) - outage.began, 2),
                "written_after_s": None if outage.seconds is None else round(outage.seconds, 2),
                "alone": self.recovery.is_alone(outage),
            }

    def _rows(self) -> Iterator[tuple[str, str]]:
        history, found = self.history, self.found
        yield "seed", str(self.options.seed)
        yield "minutes", f"{self.options.seconds / 60:.1f}"
        yield "requests", f"{self.requests:,}"
        yield (
            "accepts, deposits, replays",
            (f"{len(history.trades):,}, {len(history.deposits):,}, {history.replays:,}"),
        )
        yield "trades by state", _counts(found.states)
        yield "orders answered badly", _share(found.orders)
        yield "quotes answered badly", _share(found.quotes)
        yield "executions at the venues", _counts(found.executions)
        yield "filled late, by state", _counts(found.late_fills) or "none"
        yield (
            "events, messages, twice",
            (f"{found.events:,}, {found.messages:,}, {found.duplicates:,}"),
        )
        yield "balances compared", f"{history.balances_compared:,}"
        yield "audit checks", str(found.audit_checks)
        yield "faults fired", str(self.fired.total())
        yield "quiet after healing", f"{self.quiet_s:.1f} s"
        yield "longest without a write", f"{self.recovery.longest_gap_s:.1f} s"
        yield "slowest answer", f"{self.slowest_s:.1f} s"
        yield "", ""
        yield "fault", "  fired  alone  writes again: median     max"
        figures = self.recovery.figures()
        for name, count in sorted(self.fired.items()):
            alone = figures.get(name)
            times = (
                f"{alone['count']:>7.0f}{alone['median_s']:>20.2f} s{alone['max_s']:>6.2f} s"
                if alone
                else f"{0:>7}"
            )
            yield f"  {name}", f"{count:>7}{times}"
        yield "", ""
        yield "answers", _counts(history.answers)


def _share(counts: tuple[int, int]) -> str:
    bad, all_of_them = counts
    return f"{bad:,} of {all_of_them:,} ({100 * bad / max(all_of_them, 1):.0f} %)"


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count:,}" for name, count in ordered)
