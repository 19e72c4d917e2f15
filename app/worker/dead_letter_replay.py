"""Performs the replays that operators have asked for."""

import logging
from dataclasses import dataclass

from app.usecase.event.replay_dead_letters import ReplayDeadLetters
from domain.errors import DomainError, may_pass

BATCH = 50

_log = logging.getLogger("reli.replay")


@dataclass(frozen=True, slots=True)
class DeadLetterReplay:
    """Each request is one try: what fails again is a person's once more."""

    replays: ReplayDeadLetters

    async def __call__(self) -> bool:
        letters = await self.replays.requested(limit=BATCH)
        waiting: DomainError | None = None
        for letter in letters:
            try:
                await self.replays.replay(letter)
            except Exception as error:
                if may_pass(error):
                    waiting = error  # the database was busy or away; that is no fault of the event
                    continue
                _log.error("ALERT the replay of %s failed: %s", letter.id, error)
                await self.replays.fail(letter, f"{type(error).__name__}: {error}")
        if waiting is not None:
            raise waiting
        return len(letters) == BATCH
