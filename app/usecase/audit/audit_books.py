"""Auditing the books: every check on one snapshot."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.usecase.audit.compare_executions import CHECKS, ExecutionComparison
from ports.audit import AuditableBooks, BooksSnapshot, Check, Finding, Probe, VenueBook
from ports.clock import Clock

NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an audit found.

    Attributes:
        findings: one for each check, in the order of their numbers.
    """

    findings: tuple[Finding, ...]
    seconds: float

    @property
    def is_clean(self) -> bool:
        return not self.broken

    @property
    def broken(self) -> int:
        return sum(finding.broken for finding in self.findings)

    def __getitem__(self, check_id: str) -> Finding:
        return next(finding for finding in self.findings if finding.check.id == check_id)


class Watcher(Protocol):
    """Somebody who waits for an audit."""

    def begin(self, checks: Sequence[Check]) -> None:
        """Hear which checks are looked into now."""
        ...

    def end(self, findings: Sequence[Finding], seconds: float) -> None:
        """Hear what became of them, and how long that took."""
        ...


@dataclass(frozen=True, slots=True)
class AuditBooks:
    """Attributes:
    venues: the books of those venues that can be asked; the others' are not compared.
    """

    books: AuditableBooks
    venues: Sequence[VenueBook]
    clock: Clock

    async def __call__(self, watcher: Watcher) -> Report:
        """Return what was found, or raise `AuditImpossible`."""
        began = self.clock.monotonic()
        opened_at = {venue.name: await venue.now() for venue in self.venues}
        findings: list[Finding] = []
        async with self.books.snapshot() as snapshot:
            probes = iter(snapshot.probes)
            looking = [
                asyncio.create_task(self._look(snapshot, probes, watcher))
                for _ in range(snapshot.readers)
            ]
            try:
                for look in looking:
                    findings += await look
            finally:
                for look in looking:
                    look.cancel()
                await asyncio.wait(looking)
            started = self.clock.monotonic()
            watcher.begin(CHECKS)
            comparison = ExecutionComparison()
            for venue in self.venues:
                await comparison.compare(
                    venue.name,
                    await venue.executions(),
                    snapshot.attempts(venue.name),
                    opened_at=opened_at[venue.name],
                )
            compared = comparison.findings(await self._note(snapshot))
            watcher.end(compared, self.clock.monotonic() - started)
            findings += compared
        return Report(
            findings=tuple(sorted(findings, key=_number)),
            seconds=self.clock.monotonic() - began,
        )

    async def _look(
        self, snapshot: BooksSnapshot, probes: Iterator[Probe], watcher: Watcher
    ) -> Sequence[Finding]:
        """Examine one probe after the other, as long as nobody else has begun with it."""
        findings: list[Finding] = []
        for probe in probes:
            started = self.clock.monotonic()
            watcher.begin(probe.checks)
            found = await snapshot.examine(probe)
            watcher.end(found, self.clock.monotonic() - started)
            findings += found
        return findings

    async def _note(self, snapshot: BooksSnapshot) -> str:
        asked = {venue.name for venue in self.venues}
        left_out = [lp for lp in await snapshot.lps() if lp not in asked]
        if not left_out:
            return "" if asked else NOT_ASKED
        return f"{NOT_ASKED}: {', '.join(left_out)}"


def _number(finding: Finding) -> tuple[int, str]:
    number, _, word = finding.check.id.partition(".")
    return int(number[1:]), word
