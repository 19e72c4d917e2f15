"""Our fills against the executions in a venue's own book, both ways."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from domain.trade.attempt import AttemptState
from ports.audit import (
    SHOWN,
    AuditedAttempt,
    Check,
    Execution,
    Finding,
    Violation,
    order_keys,
)

FILL: Final = Check(
    id="I5.fill",
    statement="each filled attempt and each late fill is one execution in the venue's own book, "
    "at the same amounts",
    source="money rules, sections 3 and 5; invariant I5",
)
EXECUTION: Final = Check(
    id="I5.execution",
    statement="each execution in a venue's book is one attempt's that is filled or unknown, "
    "or a late fill that a break was raised for",
    source="money rules, sections 3 and 5: late and second fills are breaks; invariant I5",
)
CHECKS: Final = (FILL, EXECUTION)

_OPEN: Final = frozenset({AttemptState.SENT, AttemptState.UNKNOWN})


@dataclass(slots=True)
class Tally:
    """The violations of one check, all counted and the first ones kept."""

    looked_at: int = 0
    broken: int = 0
    violations: list[Violation] = field(default_factory=list)

    def add(self, violation: Violation) -> None:
        self.broken += 1
        if self.broken <= SHOWN:
            self.violations.append(violation)

    def finding(self, check: Check, note: str) -> Finding:
        return Finding(
            check=check,
            looked_at=self.looked_at,
            broken=self.broken,
            violations=tuple(self.violations),
            note=note,
        )


class ExecutionComparison:
    """Goes over one venue after the other.

    The book is read after the snapshot, so it may know executions that the snapshot cannot know:
    what the venue executed since `opened_at`, on its own clock, is left to the next audit.
    """

    def __init__(self) -> None:
        self._fills = Tally()
        self._executions = Tally()

    async def compare(
        self,
        venue: str,
        executions: Sequence[Execution],
        attempts: AsyncIterator[AuditedAttempt],
        *,
        opened_at: datetime,
    ) -> None:
        book: dict[str, list[Execution]] = defaultdict(list)
        for execution in executions:
            book[execution.client_order_id].append(execution)
        self._executions.looked_at += len(executions)
        async for attempt in attempts:
            keys = order_keys(attempt.id, attempt.lp_reference)
            rest = [execution for key in keys for execution in book.pop(key, ())]
            if attempt.state is AttemptState.FILLED or attempt.late_fill is not None:
                self._fills.looked_at += 1
                rest = self._without_own(venue, attempt, rest)
            elif attempt.state in _OPEN:
                rest = rest[1:]  # what became of it, nobody knows yet
            for execution in rest:
                if execution.executed_at >= opened_at:
                    continue
                self._executions.add(
                    Violation(
                        tenant_id=attempt.tenant_id,
                        table="attempts",
                        id=str(attempt.id),
                        expected=f"no execution but its own: it is {attempt.state}",
                        found=f"{_text(execution)} in the book of {venue}, and no break of it",
                    )
                )
        for orphans in book.values():
            for execution in orphans:
                if execution.executed_at < opened_at:
                    self._executions.add(
                        Violation(
                            tenant_id=None,
                            table=f"the book of {venue}",
                            id=execution.order_id,
                            expected="an order of an attempt",
                            found=f"{_text(execution)} for {execution.client_order_id}",
                        )
                    )

    def findings(self, note: str) -> tuple[Finding, Finding]:
        return self._fills.finding(FILL, note), self._executions.finding(EXECUTION, note)

    def _without_own(
        self, venue: str, attempt: AuditedAttempt, executions: Sequence[Execution]
    ) -> list[Execution]:
        order_id, base, quote = attempt.venue_order_id, attempt.base, attempt.filled
        if attempt.late_fill is not None:
            late = attempt.late_fill
            order_id, base, quote = late.order_id, late.base, late.quote
        own = next((e for e in executions if e.order_id == order_id), None)
        expected = f"{attempt.side} {base} for {quote} as {order_id}"
        if own is None or (own.side, own.base, own.quote) != (attempt.side, base, quote):
            known = ", ".join(map(_text, executions)) or "no execution"
            self._fills.add(
                Violation(
                    tenant_id=attempt.tenant_id,
                    table="attempts",
                    id=str(attempt.id),
                    expected=expected,
                    found=f"{known} in the book of {venue}",
                )
            )
        return [execution for execution in executions if execution is not own]


def _text(execution: Execution) -> str:
    return f"{execution.side} {execution.base} for {execution.quote} as {execution.order_id}"
