"""Where the events are kept that a consumer could not deal with."""

from collections.abc import Sequence
from typing import Protocol

from domain.dead_letter import DeadLetter
from domain.ids import DeadLetterId, TenantId
from ports.page import Page, PageRequest


class DeadLetterRepository(Protocol):
    """Dead letters of the book in scope, whosever the events are."""

    async def add(self, letter: DeadLetter) -> bool:
        """Keep a new letter; return False if the consumer has one of that event already."""
        ...

    async def get(self, id: DeadLetterId, *, lock: bool = False) -> DeadLetter:
        """Return a letter, or raise `DeadLetterNotFound`; locked, nobody else decides meanwhile."""
        ...

    async def list(
        self, page: PageRequest, *, source_tenant_id: TenantId | None
    ) -> Page[DeadLetter]:
        """Return letters, the newest first; of one tenant's events, or of all."""
        ...

    async def requested(self, consumer: str, *, limit: int) -> Sequence[DeadLetter]:
        """Return the consumer's letters whose replay is requested, the longest first."""
        ...

    async def request_replay(self, letter: DeadLetter) -> None:
        """Keep that a replay is requested, and by whom."""
        ...

    async def conclude_replay(self, letter: DeadLetter) -> None:
        """Keep what became of a replay."""
        ...
