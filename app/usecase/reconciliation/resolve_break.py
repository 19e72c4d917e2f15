"""Resolving a break: by a link at once, or by an adjustment that a second key approves."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from app.usecase.reconciliation.raise_break import resolve_break, tell_resolved
from domain.amount import Amount
from domain.errors import InvalidArgument
from domain.ids import (
    AccountId,
    BreakId,
    BreakResolutionId,
    EntryId,
    LineId,
    MatchId,
    TransferId,
)
from domain.ledger.account import AccountKey
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from domain.reconciliation.break_ import Break
from domain.reconciliation.errors import BreakLinkMismatch
from domain.reconciliation.matching import Line, LineSide, MatchRule
from domain.reconciliation.resolution import (
    Adjustment,
    BreakResolution,
    ResolutionKind,
)
from domain.reconciliation.statement import LineKind, Source
from ports.ids import IdSource
from ports.reconciliation import MIRROR, BookOrigin, NotedLine, Tie
from ports.unit_of_work import UnitOfWork

PURPOSE: Final = "adjustment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What an operator says of a break: exactly one of the first three."""

    linked_entry_id: EntryId | None = None
    linked_break_id: BreakId | None = None
    counter_account_id: AccountId | None = None
    note: str


@dataclass(frozen=True, slots=True)
class ResolveBreak:
    """A link moves no money: it only says which lines are the same."""

    once: Once
    ids: IdSource
    announce: Announce

    async def __call__(
        self, call: Call, break_id: BreakId, explanation: Explanation
    ) -> tuple[Break, datetime]:
        """Return the break and the time.

        Raises `TenantNotFound`, `BreakNotFound`, `BreakResolved`, `BreakLinkMismatch`,
        `EntryNotFound`, `AccountNotFound`, `BreakNotAdjustable` or `InvalidArgument`.
        """

        async def effect(uow: UnitOfWork) -> Change[tuple[Break, datetime]]:
            await uow.tenants.get()
            found = await _locked(uow, break_id)
            now = await uow.now()
            explained = await self._explain(uow, call, found, explanation, now)
            return Change((explained, now), after=explained, before=found)

        return await self.once(call, break_id, effect, _as_it_is(break_id))

    async def _explain(
        self, uow: UnitOfWork, call: Call, found: Break, explanation: Explanation, now: datetime
    ) -> Break:
        if explanation.counter_account_id is not None:
            return await self._propose(uow, call, found, explanation, now)
        resolution = self._resolution(call, found, ResolutionKind.LINK, explanation, now)
        if explanation.linked_break_id is not None:
            return await self._link_break(uow, call, found, resolution)
        return await self._link_entry(uow, call, found, resolution)

    def _resolution(
        self,
        call: Call,
        found: Break,
        kind: ResolutionKind,
        explanation: Explanation,
        now: datetime,
        adjustment: Adjustment | None = None,
    ) -> BreakResolution:
        return BreakResolution(
            id=self.ids.new(BreakResolutionId),
            break_id=found.id,
            kind=kind,
            proposed_by=call.api_key_id,
            proposed_at=now,
            note=explanation.note,
            linked_entry_id=explanation.linked_entry_id,
            linked_break_id=explanation.linked_break_id,
            adjustment=adjustment,
        )

    async def _propose(
        self, uow: UnitOfWork, call: Call, found: Break, explanation: Explanation, now: datetime
    ) -> Break:
        source = found.require_adjustable()
        assert explanation.counter_account_id is not None
        counter = await uow.ledger.get_account(explanation.counter_account_id)
        mirror = await _mirror(uow, source, found)
        if counter.asset != found.amount.asset or counter.id == mirror:
            raise InvalidArgument(
                f"counter_account_id must be another account in {found.amount.asset}",
                field="counter_account_id",
            )
        adjustment = Adjustment(counter_account_id=counter.id)
        await uow.breaks.add_resolution(
            self._resolution(call, found, ResolutionKind.ADJUSTMENT, explanation, now, adjustment)
        )
        return await uow.breaks.get(found.id)

    async def _link_entry(
        self, uow: UnitOfWork, call: Call, found: Break, resolution: BreakResolution
    ) -> Break:
        assert resolution.linked_entry_id is not None
        recorded = await uow.ledger.get_entry(resolution.linked_entry_id)
        if found.source is not None:
            account_id = await _mirror(uow, found.source, found)
            units = -_moved(recorded.entry, account_id)
            _require_equal(found, units)
            line = await self._line(
                uow, found.source, account_id, recorded.entry, units, resolution.proposed_at
            )
            lines = [*await uow.reconciliation.lines_of_break(found.id), line]
            await _tie(uow, self.ids, lines, MatchRule.LINK)
        return await resolve_break(
            uow, self.announce, resolution, correlation_id=call.correlation_id
        )

    async def _line(
        self,
        uow: UnitOfWork,
        source: Source,
        account_id: AccountId,
        entry: Entry,
        units: int,
        now: datetime,
    ) -> Line:
        """Return the entry's line, noted now if it was not yet, or raise `BreakLinkMismatch`."""
        known = await uow.reconciliation.line_of_entry(account_id, entry.id)
        if known is not None and known.break_id is None:
            return known.line
        if known is not None or await uow.reconciliation.noted_entries(account_id, [entry.id]):
            raise BreakLinkMismatch(
                "the entry has a match or a break of its own; link to that", entry_id=entry.id
            )
        return await _note(uow, self.ids, source, account_id, entry, units, now)

    async def _link_break(
        self, uow: UnitOfWork, call: Call, found: Break, resolution: BreakResolution
    ) -> Break:
        assert resolution.linked_break_id is not None
        other = await uow.breaks.get(resolution.linked_break_id, lock=True)
        other.require_open()
        if (
            found.source is None
            or found.source != other.source
            or found.id == other.id
            or found.amount.asset != other.amount.asset
            or found.amount.units + other.amount.units
        ):
            raise BreakLinkMismatch(
                "only two breaks of one source and of opposite amounts explain each other",
                break_id=found.id,
                linked_break_id=other.id,
            )
        lines = [
            line
            for one in (found, other)
            for line in await uow.reconciliation.lines_of_break(one.id)
        ]
        await _tie(uow, self.ids, lines, MatchRule.LINK)
        back = BreakResolution(
            id=self.ids.new(BreakResolutionId),
            break_id=other.id,
            kind=ResolutionKind.LINK,
            proposed_by=resolution.proposed_by,
            proposed_at=resolution.proposed_at,
            note=resolution.note,
            linked_break_id=found.id,
        )
        await resolve_break(uow, self.announce, back, correlation_id=call.correlation_id)
        return await resolve_break(
            uow, self.announce, resolution, correlation_id=call.correlation_id
        )


@dataclass(frozen=True, slots=True)
class ApproveBreakResolution:
    """The approval, the entry and the end of the break are one transaction."""

    once: Once
    ids: IdSource
    announce: Announce

    async def __call__(
        self, call: Call, break_id: BreakId, resolution_id: BreakResolutionId
    ) -> tuple[Break, datetime]:
        """Return the break and the time.

        Raises `TenantNotFound`, `BreakNotFound`, `BreakResolutionNotFound`, `BreakResolved`,
        `BreakSecondKeyRequired` or the ledger's refusal.
        """

        async def effect(uow: UnitOfWork) -> Change[tuple[Break, datetime]]:
            await uow.tenants.get()
            found = await _locked(uow, break_id)
            resolution = await uow.breaks.get_resolution(break_id, resolution_id)
            now = await uow.now()
            approved = resolution.approve(
                by=call.api_key_id,
                now=now,
                entry_id=self.ids.new(EntryId),
                transfer_id=self.ids.new(TransferId),
            )
            await uow.breaks.approve_resolution(approved)
            await self._adjust(uow, call, found, approved, now)
            resolved = await tell_resolved(
                uow, self.announce, approved, correlation_id=call.correlation_id
            )
            return Change((resolved, now), after=resolved, before=found)

        return await self.once(call, resolution_id, effect, _as_it_is(break_id))

    async def _adjust(
        self, uow: UnitOfWork, call: Call, found: Break, approved: BreakResolution, now: datetime
    ) -> None:
        source = found.require_adjustable()
        assert approved.adjustment is not None
        account_id = await _mirror(uow, source, found)
        entry = _adjusting(found, approved.adjustment, account_id, call)
        decision = await uow.ledger.commit(entry)
        await self.announce.entries(uow, [decision], correlation_id=call.correlation_id)
        line = await _note(
            uow, self.ids, source, account_id, decision.entry, found.amount.units, now
        )
        lines = [*await uow.reconciliation.lines_of_break(found.id), line]
        await _tie(uow, self.ids, lines, MatchRule.ADJUSTMENT)


def _as_it_is(break_id: BreakId) -> Callable[[UnitOfWork, UUID], Awaitable[tuple[Break, datetime]]]:
    """Return what answers a repeated request: the break as it is by now, and the time."""

    async def replay(uow: UnitOfWork, _id: UUID) -> tuple[Break, datetime]:
        return await uow.breaks.get(break_id), await uow.now()

    return replay


async def _locked(uow: UnitOfWork, break_id: BreakId) -> Break:
    """Return the open break; nobody reconciles its source or resolves it until commit."""
    source = (await uow.breaks.get(break_id)).source
    if source is not None:
        await uow.reconciliation.lock(source)
    found = await uow.breaks.get(break_id, lock=True)
    found.require_open()
    return found


async def _mirror(uow: UnitOfWork, source: Source, found: Break) -> AccountId:
    key = AccountKey(MIRROR[source.kind], found.amount.asset, source.name)
    return (await uow.ledger.open_accounts([key]))[key]


def _moved(entry: Entry, account_id: AccountId) -> int:
    return sum(
        transfer.amount.units * sign
        for transfer in entry.transfers
        if transfer.moves
        for id, sign in ((transfer.credit_account_id, 1), (transfer.debit_account_id, -1))
        if id == account_id
    )


def _require_equal(found: Break, units: int) -> None:
    if units != found.amount.units:
        raise BreakLinkMismatch(
            f"the entry explains {Amount(found.amount.asset, units)}, the break is of "
            f"{found.amount}",
            break_id=found.id,
        )


def _adjusting(found: Break, adjustment: Adjustment, account_id: AccountId, call: Call) -> Entry:
    """Return the entry: what the source has more for us is debited to what mirrors it."""
    assert adjustment.entry_id is not None and adjustment.transfer_id is not None
    counter, amount = adjustment.counter_account_id, found.amount
    rises = amount.is_positive
    return Entry(
        id=adjustment.entry_id,
        transfers=(
            Transfer(
                id=adjustment.transfer_id,
                debit_account_id=account_id if rises else counter,
                credit_account_id=counter if rises else account_id,
                amount=amount if rises else -amount,
                purpose=PURPOSE,
            ),
        ),
        source=EntrySource.OPERATOR,
        reference=str(call.api_key_id),
        description=str(found.id),
    )


async def _note(
    uow: UnitOfWork,
    ids: IdSource,
    source: Source,
    account_id: AccountId,
    entry: Entry,
    units: int,
    now: datetime,
) -> Line:
    line = Line(
        ids.new(LineId),
        LineSide.BOOK,
        entry.transfers[0].amount.asset.code,
        units,
        entry.effective_at or now,
        (str(entry.id),),
        LineKind.OTHER,
    )
    noted = NotedLine(line, BookOrigin(account_id, entry.id))
    await uow.reconciliation.note(source, [noted], now=now)
    return line


async def _tie(uow: UnitOfWork, ids: IdSource, lines: Sequence[Line], rule: MatchRule) -> None:
    await uow.reconciliation.tie([Tie(lines, match_id=ids.new(MatchId), rule=rule)])
