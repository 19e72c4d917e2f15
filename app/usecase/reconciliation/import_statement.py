"""Taking in a statement: what is new in it, what the book has, and what is the same money."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from app.usecase.announce import Announce
from app.usecase.audit_trail import AuditTrail
from app.usecase.call import Call
from app.usecase.ledger.listed_lines import begin_listed
from app.usecase.reconciliation.book_lines import BookReading, read_book
from app.usecase.reconciliation.raise_break import raise_breaks, resolve_break
from domain.amount import Amount
from domain.asset import Asset
from domain.ids import (
    BreakId,
    BreakResolutionId,
    LineId,
    MatchId,
    StatementId,
    TenantId,
)
from domain.ledger.account import AccountKey
from domain.reconciliation.break_ import Break
from domain.reconciliation.judging import Finding, Judgement, judge
from domain.reconciliation.matching import Line, LineSide, Rules, match_lines
from domain.reconciliation.resolution import BreakResolution, ResolutionKind
from domain.reconciliation.statement import (
    LineKind,
    ParsedStatement,
    Source,
    SourceKind,
    Statement,
    StatementFormat,
)
from ports.ids import IdSource
from ports.market import Market
from ports.reconciliation import (
    MIRROR,
    NotedLine,
    StatementOrigin,
    StatementReader,
    Tie,
    Told,
)
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

_NAMED: Final = 3
"""How many lines the words of a break name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementFile:
    """A file as it came."""

    source: Source
    format: StatementFormat
    content: bytes


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """One transaction takes a file in, or nothing of it.

    Attributes:
        rules: what holds for the lines of a source of each kind.
    """

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    announce: Announce
    audit_trail: AuditTrail
    market: Market
    directory: TenantDirectory
    reader: StatementReader
    rules: Mapping[SourceKind, Rules]

    async def __call__(
        self,
        tenant_id: TenantId,
        file: StatementFile,
        *,
        by: str,
        correlation_id: str,
        call: Call | None = None,
    ) -> Statement:
        """Return what became of the file, or of the very same one that came before.

        `call` is who brought it; a worker that fetched it itself has none.
        Raises `TenantNotFound`, `LinesArchived` where lines to read on from are gone, and what
        `StatementReader.read` and `ParsedStatement.check` raise.
        """
        assets = (await self.market.catalogue()).assets
        # Some ten thousand lines: other calls are answered meanwhile.
        parsed = await asyncio.to_thread(self.reader.read, file.format, file.content, assets)
        content_hash = hashlib.sha256(file.content).digest()
        async with begin_listed(self.units_of_work, tenant_id) as uow:
            await uow.tenants.get()
            await uow.reconciliation.lock(file.source)
            known = await uow.reconciliation.find_statement(file.source, content_hash)
            if known is not None:
                return replace(known, is_repeat=True)
            now = await uow.now()
            parsed.check(file.source, now=now)
            news = await self._news(uow, file.source, parsed, now)
            statement = await self._reconcile(
                uow, file, parsed, news, content_hash, by=by, correlation_id=correlation_id
            )
            if call is not None:
                await uow.audit_log.add(self.audit_trail.record(call, statement))
            return statement

    async def _news(
        self, uow: UnitOfWork, source: Source, parsed: ParsedStatement, now: datetime
    ) -> "_News":
        store = uow.reconciliation
        state = await store.state(source)
        opened = {
            asset.code: asset
            for asset in (
                *(line.amount.asset for line in parsed.lines),
                *(
                    amount.asset
                    for balance in parsed.balances.values()
                    for amount in balance
                    if amount is not None
                ),
            )
        }
        await uow.ledger.open_accounts(
            [AccountKey(MIRROR[source.kind], asset, source.name) for asset in opened.values()]
        )
        book = await read_book(
            uow,
            self.ids,
            await store.accounts(source),
            since=state.starts_at or parsed.starts_at,
            names_trades=uow.tenant_id != self.directory.house_id,
        )
        told = await store.told(source, [line.reference for line in parsed.lines])
        told_sums = await store.told_sums(source)
        statement_id = self.ids.new(StatementId)
        draft = _Draft(self.ids, statement_id)
        known = draft.add_lines(parsed, told)
        before = {one.asset.code: one.units_before or 0 for one in book.accounts}
        if parsed.position:
            # What it numbers a source tells once, each line after the one before.
            sums = _less(told_sums, parsed, told)
        else:
            draft.retract(
                parsed, await store.told_between(source, parsed.starts_at, parsed.ends_at)
            )
            sums = await store.told_sums(source, before=parsed.starts_at)
        draft.add_openings(parsed, sums, before)
        until = max(filter(None, (state.ends_at, parsed.ends_at)))
        told_sums = _added_up(told_sums, draft.lines)
        return _News(statement_id, now, until, told_sums, book, tuple(draft.lines), known)

    async def _reconcile(
        self,
        uow: UnitOfWork,
        file: StatementFile,
        parsed: ParsedStatement,
        news: "_News",
        content_hash: bytes,
        *,
        by: str,
        correlation_id: str,
    ) -> Statement:
        store, source, rules = uow.reconciliation, file.source, self.rules[file.source.kind]
        waiting = await store.open_lines(source)
        noted = [*news.lines, *news.book.lines]
        lines = [*(one.line for one in waiting), *(one.line for one in noted)]
        matching = await asyncio.to_thread(match_lines, lines, rules.window)
        judgement = judge(
            matching,
            {one.line.id: one.break_id for one in waiting if one.break_id is not None},
            now=news.now,
            told_until=news.told_until,
            grace=rules.grace,
        )
        statement = Statement(
            id=news.statement_id,
            tenant_id=uow.tenant_id,
            source=source,
            format=file.format,
            starts_at=parsed.starts_at,
            ends_at=parsed.ends_at,
            imported_by=by,
            imported_at=news.now,
            lines=len(news.lines),
            known=news.known,
            matched=sum(len(match.group.lines) for match in judgement.matches),
            waiting=len(judgement.waiting),
            breaks_raised=len(judgement.found),
            breaks_resolved=len(judgement.explained),
            position=parsed.position,
        )
        await store.add_statement(statement, content_hash, news.told_sums, news.lines)
        ties = await self._decide(uow, source, judgement, news.now, correlation_id)
        of_line = {line.id: tie for tie in ties for line in tie.lines}
        await store.note(
            source, [one._replace(tie=of_line.get(one.line.id)) for one in noted], now=news.now
        )
        fresh = {one.line.id for one in noted}
        await store.tie(
            [
                tie._replace(lines=[line for line in tie.lines if line.id not in fresh])
                for tie in ties
            ]
        )
        for account in news.book.accounts:
            await store.save_account(source, account)
        await self._explain(uow, judgement, news.now, correlation_id)
        return statement

    async def _decide(
        self,
        uow: UnitOfWork,
        source: Source,
        judgement: Judgement,
        now: datetime,
        correlation_id: str,
    ) -> Sequence[Tie]:
        """Raise the breaks; return which lines get which match or break."""
        assets = (await self.market.catalogue()).assets
        ties = [Tie(judgement.waiting)]
        ties += [
            Tie(match.group.lines, match_id=self.ids.new(MatchId), rule=match.rule)
            for match in judgement.matches
        ]
        raised: list[Break] = []
        for finding in judgement.found:
            asset = assets[finding.group.lines[0].asset]
            found = Break(
                id=self.ids.new(BreakId),
                tenant_id=uow.tenant_id,
                kind=finding.kind,
                trade_id=None,
                amount=Amount(asset, finding.group.difference),
                detail=_words(source, finding, asset),
                raised_at=now,
                source=source,
            )
            raised.append(found)
            ties.append(Tie(finding.group.lines, break_id=found.id))
        await raise_breaks(uow, self.announce, raised, correlation_id=correlation_id)
        return ties

    async def _explain(
        self, uow: UnitOfWork, judgement: Judgement, now: datetime, correlation_id: str
    ) -> None:
        for break_id in judgement.explained:
            resolution = BreakResolution(
                id=self.ids.new(BreakResolutionId),
                break_id=break_id,
                kind=ResolutionKind.MATCH,
                proposed_by=None,
                proposed_at=now,
            )
            await resolve_break(uow, self.announce, resolution, correlation_id=correlation_id)


@dataclass(frozen=True, slots=True)
class _News:
    """What a statement tells that is new, and what the book has by now.

    Attributes:
        told_until: up to when the source has told by now.
        told_sums: what all lines that it has told by now add up to, by asset.
        known: how many lines it had told before.
    """

    statement_id: StatementId
    now: datetime
    told_until: datetime
    told_sums: Mapping[str, int]
    book: BookReading
    lines: tuple[NotedLine, ...]
    known: int


class _Draft:
    """The new lines of a statement, numbered as they are found."""

    def __init__(self, ids: IdSource, statement_id: StatementId) -> None:
        self._ids = ids
        self._statement_id = statement_id
        self.lines: list[NotedLine] = []

    def add_lines(self, parsed: ParsedStatement, told: Mapping[tuple[str, str], Told]) -> int:
        """Add what is new or says something else than before; return how many were known."""
        known = 0
        for line in parsed.lines:
            code = line.amount.asset.code
            before = told.get((code, line.reference))
            units = line.amount.units - (before.units if before else 0)
            if before is None:
                self._add(code, units, line.value_at, (line.reference, *line.others), line.kind)
            elif units:
                self._add(code, units, before.value_at, (line.reference,), LineKind.CORRECTION)
            else:
                known += 1
        return known

    def retract(self, parsed: ParsedStatement, told: Mapping[tuple[str, str], Told]) -> None:
        """Take back what the source had told of the period and does not tell any more."""
        still = {(line.amount.asset.code, line.reference) for line in parsed.lines}
        for key in sorted(told.keys() - still):
            code, reference = key
            units, value_at = told[key]
            self._add(code, -units, value_at, (reference,), LineKind.CORRECTION)

    def add_openings(
        self, parsed: ParsedStatement, told: Mapping[str, int], before: Mapping[str, int]
    ) -> None:
        """Add by how much an opening balance differs from all that was told before."""
        for code, (opening, _) in sorted(parsed.balances.items()):
            if opening is None:
                continue
            units = opening.units - before.get(code, 0) - told.get(code, 0)
            if units:
                reference = f"opening of {self._statement_id}"
                self._add(code, units, parsed.starts_at, (reference,), LineKind.OPENING)

    def _add(
        self,
        code: str,
        units: int,
        value_at: datetime,
        references: tuple[str, ...],
        kind: LineKind,
    ) -> None:
        line = Line(
            self._ids.new(LineId), LineSide.STATEMENT, code, units, value_at, references, kind
        )
        origin = StatementOrigin(self._statement_id, len(self.lines) + 1)
        self.lines.append(NotedLine(line, origin))


def _less(
    sums: Mapping[str, int], parsed: ParsedStatement, told: Mapping[tuple[str, str], Told]
) -> Mapping[str, int]:
    """Return the sums without what the statement tells again."""
    left = dict(sums)
    for line in parsed.lines:
        code = line.amount.asset.code
        again = told.get((code, line.reference))
        if again is not None:
            left[code] -= again.units
    return left


def _added_up(told: Mapping[str, int], lines: Sequence[NotedLine]) -> Mapping[str, int]:
    sums = dict(told)
    for line, *_ in lines:
        sums[line.asset] = sums.get(line.asset, 0) + line.units
    return sums


def _words(source: Source, finding: Finding, asset: Asset) -> str:
    theirs = _listed(finding.group.statement, asset)
    ours = _listed(finding.group.book, asset)
    return f"{source} has {theirs}; the book has {ours}"


def _listed(lines: Sequence[Line], asset: Asset) -> str:
    if not lines:
        return "nothing of it"
    words = ", ".join(
        f"{Amount(asset, line.units)} of {line.value_at.isoformat()} as {line.references[0]}"
        for line in lines[:_NAMED]
    )
    more = len(lines) - _NAMED
    return f"{words} and {more} more" if more > 0 else words
