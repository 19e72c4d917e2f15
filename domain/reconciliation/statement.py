"""A statement is what a source says of our money there, line by line, for a period.

A source is a liquidity provider or a rail (a bank account, a mobile money wallet). Its amounts are
signed as it has them for us: positive where we have more at the source. The account of the book
that mirrors it (`lp` or `external`) moves the other way, and is turned round before it is compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from domain.amount import Amount
from domain.asset import Asset
from domain.ids import StatementId, TenantId
from domain.reconciliation.errors import (
    StatementAssetMismatch,
    StatementMalformed,
    StatementReferenceDuplicate,
    StatementTimeOutOfRange,
    StatementTooLarge,
    StatementUnbalanced,
)

MAX_STATEMENT_BYTES: Final = 3 << 20
"""Of one file; a longer period comes as several files."""
MAX_STATEMENT_LINES: Final = 50_000
MAX_REFERENCE: Final = 140
MAX_REFERENCES: Final = 8
"""Of one line, its own included."""
OLDEST_LINE: Final = timedelta(days=3_660)
"""How long before now a period may begin."""
NEWEST_LINE: Final = timedelta(days=2)
"""How long after now a period may end: a bank's day ends later than ours, and clocks differ."""


class SourceKind(StrEnum):
    """Which of a book's accounts mirror the source."""

    LP = "lp"
    RAIL = "rail"


class StatementFormat(StrEnum):
    """How a statement is written."""

    JSON = "json"
    CSV = "csv"
    CAMT053 = "camt053"


class LineKind(StrEnum):
    """What a line is for. The last two are not of the file: they say how it differs from what the
    source said before."""

    TRADE = "trade"
    PAYMENT = "payment"
    FEE = "fee"
    OTHER = "other"
    OPENING = "opening"
    CORRECTION = "correction"


STATED: Final = frozenset({LineKind.TRADE, LineKind.PAYMENT, LineKind.FEE, LineKind.OTHER})


@dataclass(frozen=True, slots=True)
class Source:
    """Attributes:
    name: the LP's or the rail's, as the owner of the book's accounts has it.
    """

    kind: SourceKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class StatementLine(NamedTuple):
    """One line of a statement.

    Attributes:
        place: where it stands in the file, as people look for it: `line 7`, `Ntry 3 (line 41)`.
        reference: the source's own, of which it never has two in one asset.
        others: by what else the two sides may know it, such as a client order id.
    """

    place: str
    reference: str
    others: tuple[str, ...]
    value_at: datetime
    amount: Amount
    kind: LineKind


class StatementBalance(NamedTuple):
    """What we had at the source in one asset; None where the file does not say."""

    opening: Amount | None
    closing: Amount | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedStatement:
    """All that a file says.

    Attributes:
        source_name: whose it says it is; empty where it does not.
        starts_at, ends_at: the period; its end is not part of it.
        position: where the source's own numbering stood at its end; empty where it has none.
        balances: by asset code.
    """

    source_name: str
    starts_at: datetime
    ends_at: datetime
    lines: tuple[StatementLine, ...]
    balances: Mapping[str, StatementBalance]
    position: str = ""

    def check(self, source: Source, *, now: datetime) -> None:
        """Raise for the first thing that no statement of that source can say.

        Raises `StatementAssetMismatch`, `StatementTimeOutOfRange`, `StatementTooLarge`,
        `StatementReferenceDuplicate`, `StatementMalformed` or `StatementUnbalanced`.
        """
        if self.source_name and self.source_name != source.name:
            raise StatementMalformed(
                f"the statement is of {self.source_name!r:.60}, not of {source.name}",
                place="the head",
            )
        self._check_period(now)
        if len(self.position) > MAX_REFERENCE or not (self.position + " ").isprintable():
            raise StatementMalformed(
                f"the position must have at most {MAX_REFERENCE} printable characters",
                place="the head",
            )
        if len(self.lines) > MAX_STATEMENT_LINES:
            raise too_many_lines()
        seen: set[tuple[Asset, str]] = set()
        for line in self.lines:
            self._check_line(line, seen)
        self._check_sums()

    def _check_period(self, now: datetime) -> None:
        if not now - OLDEST_LINE <= self.starts_at <= self.ends_at <= now + NEWEST_LINE:
            raise StatementTimeOutOfRange(
                f"the period must begin within {OLDEST_LINE.days} days before now, and end after "
                f"that and at most {NEWEST_LINE.days} days from now",
                place="the period",
                starts_at=self.starts_at.isoformat(),
                ends_at=self.ends_at.isoformat(),
            )

    def _check_line(self, line: StatementLine, seen: set[tuple[Asset, str]]) -> None:
        if not self.starts_at <= line.value_at < self.ends_at:
            raise StatementTimeOutOfRange(
                f"{line.place} is of {line.value_at.isoformat()}, outside of the period",
                place=line.place,
            )
        for reference in (line.reference, *line.others):
            if not 1 <= len(reference) <= MAX_REFERENCE or not reference.isprintable():
                raise StatementMalformed(
                    f"{line.place}: a reference must have 1 to {MAX_REFERENCE} printable "
                    "characters",
                    place=line.place,
                )
        if len(line.others) >= MAX_REFERENCES:
            raise StatementMalformed(
                f"{line.place} has more than {MAX_REFERENCES} references", place=line.place
            )
        if not line.amount.units:
            raise StatementMalformed(f"{line.place} moves nothing", place=line.place)
        key = (line.amount.asset, line.reference)
        if key in seen:
            raise StatementReferenceDuplicate(
                f"{line.place} has the reference {line.reference} of an earlier line",
                place=line.place,
                reference=line.reference,
            )
        seen.add(key)

    def _check_sums(self) -> None:
        sums = self.sums()
        for code, balance in self.balances.items():
            opening, closing = balance
            if opening is None or closing is None:
                continue
            if opening.asset.code != code or closing.asset.code != code:
                raise StatementAssetMismatch(
                    f"a balance of {code} is in another asset", place="the balances", asset=code
                )
            total = opening.units + sums.get(code, 0)
            if total != closing.units:
                raise StatementUnbalanced(
                    f"opening {opening} and the lines make {Amount(opening.asset, total)}, "
                    f"closing says {closing}",
                    place="the balances",
                    asset=code,
                )

    def sums(self) -> Mapping[str, int]:
        """Return what the lines add up to, by asset code."""
        sums: dict[str, int] = {}
        for line in self.lines:
            code = line.amount.asset.code
            sums[code] = sums.get(code, 0) + line.amount.units
        return sums


def too_many_lines() -> StatementTooLarge:
    return StatementTooLarge(
        f"a statement has at most {MAX_STATEMENT_LINES} lines", limit=MAX_STATEMENT_LINES
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement that was taken in.

    Attributes:
        imported_by: the operator's key, or `worker`.
        lines: how many of its lines were new.
        known: how many the source had told before.
        matched: how many lines of either side found their counterpart by it.
        waiting: how many lines of the source still wait for theirs.
        breaks_raised, breaks_resolved: how many there are more, and fewer, since it came.
        is_repeat: the same file was taken in before, and this changed nothing.
    """

    id: StatementId
    tenant_id: TenantId
    source: Source
    format: StatementFormat
    starts_at: datetime
    ends_at: datetime
    imported_by: str
    imported_at: datetime
    lines: int
    known: int
    matched: int
    waiting: int
    breaks_raised: int
    breaks_resolved: int
    position: str = ""
    is_repeat: bool = False
