"""Committing a stream of batches."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.usecase.call import Call
from app.usecase.ledger.create_entries import CreateEntries, EntryResult
from domain.errors import DomainError, may_pass
from domain.ledger.entry import NewEntry
from ports.clock import Clock

REFUSALS_TOLD: Final = 1_000
DELAYS_S: Final = (0.1, 0.2, 0.4, 0.8)
"""Between the tries of a batch."""

Batch = tuple[Call, Sequence[NewEntry | DomainError]]


@dataclass(slots=True)
class Loaded:
    """What became of the entries of a stream.

    Attributes:
        refusals: the first of those that were refused, by their places in the stream, from 0.
    """

    committed: int = 0
    replayed: int = 0
    refused: int = 0
    refusals: list[tuple[int, DomainError]] = field(default_factory=list)

    def add(self, results: Sequence[EntryResult]) -> None:
        first = self.committed + self.replayed + self.refused
        for position, result in enumerate(results, start=first):
            if isinstance(result, DomainError):
                self.refused += 1
                if len(self.refusals) < REFUSALS_TOLD:
                    self.refusals.append((position, result))
            elif result.is_replay:
                self.replayed += 1
            else:
                self.committed += 1


@dataclass(frozen=True, slots=True)
class LoadEntries:
    """Each batch is committed for itself, and the next is read meanwhile."""

    create_entries: CreateEntries
    clock: Clock

    async def __call__(self, batches: AsyncIterator[Batch]) -> Loaded:
        """Return what became of all entries, or raise what is wrong with a batch as a whole.

        What passes by itself is waited for: a batch can be sent again. Raises as `CreateEntries`
        does, with `batch` saying which it was; those before it are committed.
        """
        loaded = Loaded()
        committing: asyncio.Task[Sequence[EntryResult]] | None = None
        number = 0
        try:
            async for batch in batches:
                if committing is not None:
                    loaded.add(await committing)
                committing = asyncio.create_task(self._commit(number, batch))
                number += 1
        finally:
            if committing is not None:
                # Also when the stream broke: what has begun is ended, and nobody else waits for it.
                await asyncio.wait({committing})
        if committing is not None:
            loaded.add(committing.result())
        return loaded

    async def _commit(self, number: int, batch: Batch) -> Sequence[EntryResult]:
        for delay in (*DELAYS_S, None):
            try:
                return await self.create_entries(*batch)
            except DomainError as error:
                if delay is None or not may_pass(error):
                    raise type(error)(error.message, **error.metadata, batch=number) from error
                await self.clock.sleep(delay)
        raise AssertionError("the last try ends in a result or an error")
