"""Statements of sources, the lines of both sides, and where breaks are kept."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from domain.asset import Asset
from domain.ids import AccountId, BreakId, BreakResolutionId, EntryId, MatchId, StatementId
from domain.ledger.account import AccountKind
from domain.ledger.entry import EntrySource
from domain.reconciliation.break_ import Break
from domain.reconciliation.matching import Line, MatchRule
from domain.reconciliation.period import Period
from domain.reconciliation.resolution import BreakResolution
from domain.reconciliation.statement import (
    ParsedStatement,
    Source,
    SourceKind,
    Statement,
    StatementFormat,
)
from ports.market import Catalogue
from ports.page import Page, PageRequest

MIRROR: Final = {SourceKind.LP: AccountKind.LP, SourceKind.RAIL: AccountKind.EXTERNAL}
"""The kind of account that mirrors a source in a book."""


class StatementReader(Protocol):
    """Reads the files in which sources tell what we have there."""

    def read(
        self, format: StatementFormat, content: bytes, assets: Mapping[str, Asset]
    ) -> ParsedStatement:
        """Return what the file says, or raise for the first thing wrong with it.

        Raises `StatementTooLarge`, `StatementEncodingInvalid`, `StatementMalformed`,
        `StatementEntityForbidden`, `StatementAssetMismatch` or `StatementTimeOutOfRange`.
        """
        ...


class FetchedStatement(NamedTuple):
    """A statement that a source was asked for.

    Attributes:
        has_lines: whether it tells anything that is not told yet.
        has_more: whether the source has more to tell at once.
    """

    content: bytes
    has_lines: bool
    has_more: bool


class StatementFeed(Protocol):
    """A source that numbers what it executed for us, and tells what came after a number."""

    @property
    def source(self) -> Source: ...

    async def fetch(self, after: str) -> FetchedStatement:
        """Return the statement, as JSON, that goes on where the source stood at position `after`.

        An empty or unknown position means from the beginning. Raises `LpUnavailable`.
        """
        ...


class StatementListing(Protocol):
    """A source that lists what it executed for us in a period."""

    @property
    def source(self) -> Source: ...

    async def fetch(self, period: Period, catalogue: Catalogue) -> bytes:
        """Return the statement of the period, as JSON, whole.

        A listing of which anything is missing, contradicts itself or cannot be read is none: a
        statement with a hole would be a break. Raises `LpUnavailable`, or `StatementAssetMismatch`
        where it tells of an asset that is not in the catalogue.
        """
        ...


class BreakRepository(Protocol):
    """Breaks of one tenant; what a break says never changes, but for its owner and their note."""

    async def add(self, found: Break) -> None:
        """Store a new break.

        Of an attempt that was filled late there is one at most: the second one is a mistake of
        ours and fails.
        """
        ...

    async def add_all(self, found: Sequence[Break]) -> None:
        """Store new breaks, each as `add` does."""
        ...

    async def get(self, break_id: BreakId, *, lock: bool = False) -> Break:
        """Return the break with its latest resolution, locked until commit if asked.

        Raises `BreakNotFound`.
        """
        ...

    async def list(self, page: PageRequest) -> Page[Break]:
        """Return a page of breaks, the newest first."""
        ...

    async def assign(self, found: Break) -> None:
        """Store the break's owner and note."""
        ...

    async def add_resolution(self, resolution: BreakResolution) -> None:
        """Store what explains a break or is proposed to, or raise `BreakResolved`."""
        ...

    async def get_resolution(
        self, break_id: BreakId, resolution_id: BreakResolutionId
    ) -> BreakResolution:
        """Return a resolution, or raise `BreakResolutionNotFound`."""
        ...

    async def approve_resolution(self, resolution: BreakResolution) -> None:
        """Store the approval, or raise `BreakResolved` when another one came first."""
        ...


@dataclass(frozen=True, slots=True)
class SourceState:
    """How far a source has told.

    Attributes:
        starts_at: where its first statement begins; None before there is one.
        ends_at: the latest end of any.
        position: where its numbering stood at the latest end that had one; empty before that.
    """

    starts_at: datetime | None = None
    ends_at: datetime | None = None
    position: str = ""


@dataclass(frozen=True, slots=True)
class ReconciledAccount:
    """An account that mirrors a source in one asset.

    Attributes:
        units_before: what the book had before the first statement, as the source has it; None
            where the account has not been looked at yet.
        version: up to which of its lines it was looked at.
    """

    id: AccountId
    asset: Asset
    units_before: int | None
    version: int


class Told(NamedTuple):
    """What a source said of one reference so far, corrections included."""

    units: int
    value_at: datetime


class EntryNote(NamedTuple):
    """By what an entry may be known outside."""

    source: EntrySource
    reference: str
    description: str


class StatementOrigin(NamedTuple):
    """Which line of which statement it is."""

    statement_id: StatementId
    number: int


class BookOrigin(NamedTuple):
    """Which entry moved which account."""

    account_id: AccountId
    entry_id: EntryId


class NotedLine(NamedTuple):
    """A line that is to be kept, with its match or its break if it has one by now."""

    line: Line
    origin: StatementOrigin | BookOrigin
    tie: "Tie | None" = None


class OpenLine(NamedTuple):
    """A line without a match; `break_id` is None while it waits."""

    line: Line
    break_id: BreakId | None


class Tie(NamedTuple):
    """Lines that get a match or a break."""

    lines: Sequence[Line]
    match_id: MatchId | None = None
    rule: MatchRule | None = None
    break_id: BreakId | None = None


class ReconciliationStore(Protocol):
    """Statements and lines of one tenant."""

    async def lock(self, source: Source) -> None:
        """Keep others from reconciling the source until commit."""
        ...

    async def find_statement(self, source: Source, content_hash: bytes) -> Statement | None:
        """Return the statement that came as that very file."""
        ...

    async def add_statement(
        self,
        statement: Statement,
        content_hash: bytes,
        told: Mapping[str, int],
        lines: Sequence[NotedLine],
    ) -> None:
        """Store a statement, and what all that was told by then adds up to, by asset.

        `lines` are those of its own that were new, in their order; `note` keeps them. The same file
        once more is a mistake of ours and fails.
        """
        ...

    async def state(self, source: Source) -> SourceState:
        """Return how far the source has told."""
        ...

    async def told(
        self, source: Source, references: Sequence[str]
    ) -> Mapping[tuple[str, str], Told]:
        """Return what was told of those references, by asset and reference."""
        ...

    async def told_between(
        self, source: Source, starts_at: datetime, ends_at: datetime
    ) -> Mapping[tuple[str, str], Told]:
        """Return what was told of that time, by asset and reference; nothing that sums to zero."""
        ...

    async def told_sums(
        self, source: Source, *, before: datetime | None = None
    ) -> Mapping[str, int]:
        """Return what all lines told so far add up to, by asset, or those of before an instant."""
        ...

    async def accounts(self, source: Source) -> Sequence[ReconciledAccount]:
        """Return the accounts of the book that mirror the source, by asset code."""
        ...

    async def save_account(self, source: Source, account: ReconciledAccount) -> None:
        """Store how far an account was looked at."""
        ...

    async def entry_notes(self, entry_ids: Sequence[EntryId]) -> Mapping[EntryId, EntryNote]:
        """Return by what entries may be known."""
        ...

    async def note(self, source: Source, lines: Sequence[NotedLine], *, now: datetime) -> None:
        """Keep lines of either side.

        An entry that is noted on its account already is a mistake of ours and fails.
        """
        ...

    async def open_lines(self, source: Source) -> Sequence[OpenLine]:
        """Return the lines without a match."""
        ...

    async def lines_of_break(self, break_id: BreakId) -> Sequence[Line]:
        """Return the lines without a match that a break was raised for."""
        ...

    async def line_of_entry(self, account_id: AccountId, entry_id: EntryId) -> OpenLine | None:
        """Return what an entry moved on an account, if that was noted and has no match."""
        ...

    async def noted_entries(
        self, account_id: AccountId, entry_ids: Sequence[EntryId]
    ) -> Set[EntryId]:
        """Return those entries whose lines on the account are kept already, matched or not."""
        ...

    async def tie(self, ties: Sequence[Tie]) -> None:
        """Give lines their match or their break.

        With a match they keep the break that they had; with neither they lose it.
        """
        ...

    async def has_news(self, source: Source, *, grace: timedelta) -> bool:
        """Say whether the book has lines not looked at, or a line has waited for `grace`."""
        ...
