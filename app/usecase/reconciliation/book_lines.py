"""What the book has on the accounts that mirror a source, since it was last looked at."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from domain.ids import EntryId, LineId, TradeId
from domain.ledger.entry import EntrySource
from domain.ledger.errors import LinesArchived
from domain.reconciliation.matching import Line, LineSide
from domain.reconciliation.statement import MAX_REFERENCE, LineKind
from domain.trade.attempt import AttemptState
from ports.ids import IdSource
from ports.ledger import PostingOrder
from ports.page import PageRequest
from ports.reconciliation import BookOrigin, EntryNote, NotedLine, ReconciledAccount
from ports.unit_of_work import UnitOfWork

PAGE: Final = 2_000

_OURS: Final = frozenset({EntrySource.TRADE, EntrySource.DEPOSIT, EntrySource.BREAK})
"""Whose reference names what happened, and not who wrote it down."""


@dataclass(frozen=True, slots=True)
class BookReading:
    """Attributes:
    accounts: as they are to be kept, looked at up to their latest lines.
    """

    accounts: tuple[ReconciledAccount, ...]
    lines: tuple[NotedLine, ...]


class _Moved(NamedTuple):
    """What one entry moved on the account, as the source has it."""

    units: int
    effective_at: datetime


async def read_book(
    uow: UnitOfWork,
    ids: IdSource,
    accounts: Sequence[ReconciledAccount],
    *,
    since: datetime,
    names_trades: bool,
) -> BookReading:
    """Read on where each account was left.

    What an entry moves on an account is one line. On an account that was never looked at, what
    counts before `since` is no line but the balance that it began with. With `names_trades` the
    trades of the book are its tenant's own, and their orders at LPs are known by attempt.
    """
    kept: list[ReconciledAccount] = []
    lines: list[NotedLine] = []
    for account in accounts:
        moved, version = await _moved(uow, account)
        before = account.units_before
        if before is None:
            early = [id for id, one in moved.items() if one.effective_at < since]
            before = sum(moved.pop(id).units for id in early)
        kept.append(replace(account, units_before=before, version=version))
        for id in await uow.reconciliation.noted_entries(account.id, list(moved)):
            del moved[id]
        lines += await _lines(uow, ids, account, moved, names_trades=names_trades)
    return BookReading(tuple(kept), tuple(lines))


async def _moved(uow: UnitOfWork, account: ReconciledAccount) -> tuple[dict[EntryId, _Moved], int]:
    """Return what entries moved since then, and the account's latest version.

    Raises `LinesArchived` where a line between is not there.
    """
    moved: dict[EntryId, _Moved] = {}
    version = account.version
    start: UUID | int | None = version
    while start is not None:
        page = await uow.ledger.list_postings(
            account.id, PageRequest(size=PAGE, before=start), PostingOrder.OLDEST_FIRST
        )
        for posting in page.items:
            if posting.version != version + 1:
                raise LinesArchived("lines of the account are archived", account_id=account.id)
            before = moved.get(posting.entry_id)
            # The book's account is the other side of what the source has for us.
            units = (before.units if before else 0) - posting.change.units
            moved[posting.entry_id] = _Moved(units, posting.effective_at)
            version = posting.version
        start = page.next_before
    return {id: one for id, one in moved.items() if one.units}, version


async def _lines(
    uow: UnitOfWork,
    ids: IdSource,
    account: ReconciledAccount,
    moved: Mapping[EntryId, _Moved],
    *,
    names_trades: bool,
) -> list[NotedLine]:
    notes = await uow.reconciliation.entry_notes(list(moved)) if moved else {}
    orders = await _orders(uow, notes) if names_trades else {}
    return [
        NotedLine(
            Line(
                ids.new(LineId),
                LineSide.BOOK,
                account.asset.code,
                one.units,
                one.effective_at,
                _references(entry_id, notes[entry_id], orders),
                LineKind.TRADE if notes[entry_id].source is EntrySource.TRADE else LineKind.OTHER,
            ),
            BookOrigin(account.id, entry_id),
        )
        for entry_id, one in moved.items()
    ]


async def _orders(
    uow: UnitOfWork, notes: Mapping[EntryId, EntryNote]
) -> Mapping[str, Sequence[str]]:
    """Return the client order ids and the LPs' own of trades, by the trades'."""
    trades = {note.reference for note in notes.values() if note.source is EntrySource.TRADE}
    found: dict[str, list[str]] = defaultdict(list)
    names = sorted(trades)
    for start in range(0, len(names), PAGE):
        some = [TradeId.parse(name) for name in names[start : start + PAGE]]
        for trade in (await uow.trades.get_all(some)).values():
            found[str(trade.id)] += [
                name
                for attempt in trade.attempts
                if attempt.state is AttemptState.FILLED
                for name in (str(attempt.id), attempt.venue_order_id)
            ]
    return found


def _references(
    entry_id: EntryId, note: EntryNote, orders: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return by what the entry may be known: its id, what it is about, and a word with digits.

    What we describe ourselves is described by nothing but ids. Of others, a description of several
    words, or of none with a digit, would be shared by entries that have nothing to do with each
    other.
    """
    references = [str(entry_id)]
    words = note.description.split()
    if note.source in _OURS:
        references.append(note.reference)
        references += orders.get(note.reference, ())
        references += words
    elif len(words) == 1 and any(char.isdigit() for char in words[0]):
        references += words
    return tuple(dict.fromkeys(one for one in references if 0 < len(one) <= MAX_REFERENCE))
