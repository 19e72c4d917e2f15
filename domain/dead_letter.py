"""A dead letter is an event that a consumer could not deal with, kept until it is replayed."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.errors import DomainError, Kind
from domain.ids import ApiKeyId, DeadLetterId, EventId, TenantId
from domain.transition import advance

MAX_REASON: Final = 500
"""How many characters of what went wrong are kept."""


class DeadLetterState(StrEnum):
    BURIED = "buried"
    REPLAY_REQUESTED = "replay_requested"
    REPLAYED = "replayed"


class DeadLetterAction(StrEnum):
    REQUEST_REPLAY = "request_replay"
    REPLAY = "replay"
    FAIL = "fail"


TRANSITIONS: Final = {
    (DeadLetterState.BURIED, DeadLetterAction.REQUEST_REPLAY): DeadLetterState.REPLAY_REQUESTED,
    (DeadLetterState.REPLAY_REQUESTED, DeadLetterAction.REPLAY): DeadLetterState.REPLAYED,
    # Nothing is tried again by itself: what has failed ten times and once more needs a person.
    (DeadLetterState.REPLAY_REQUESTED, DeadLetterAction.FAIL): DeadLetterState.BURIED,
}


class DeadLetterNotFound(DomainError):
    """No such dead letter among that tenant's events."""

    kind = Kind.MISSING
    reason = "DEAD_LETTER_NOT_FOUND"


class DeadLetterAlreadyReplayed(DomainError):
    """The event of the dead letter has had its effect."""

    kind = Kind.REFUSED
    reason = "DEAD_LETTER_ALREADY_REPLAYED"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Attributes:
    source_tenant_id: the tenant whose event it is.
    event_type, subject: what happened, and the id of the thing that it happened to.
    reason: what the consumer failed of in the end.
    replay_requested_by: the key that asked for the latest replay.
    replay_failures: how many replays have failed.
    replay_failure: what the latest of them failed of; empty when none has.
    """

    id: DeadLetterId
    consumer: str
    event_id: EventId
    source_tenant_id: TenantId
    event_type: str
    subject: str
    reason: str
    buried_at: datetime
    state: DeadLetterState = DeadLetterState.BURIED
    replay_requested_by: ApiKeyId | None = None
    replay_requested_at: datetime | None = None
    replay_failures: int = 0
    replay_failure: str = ""
    replayed_at: datetime | None = None

    def __post_init__(self) -> None:
        assert len(self.reason) <= MAX_REASON
        assert len(self.replay_failure) <= MAX_REASON
        assert (self.state is DeadLetterState.REPLAYED) == (self.replayed_at is not None)

    def request_replay(self, *, by: ApiKeyId, now: datetime) -> "DeadLetter":
        """Return the letter as it waits for a worker, or raise `DeadLetterAlreadyReplayed`."""
        if self.state is DeadLetterState.REPLAYED:
            raise DeadLetterAlreadyReplayed("the event has had its effect", dead_letter_id=self.id)
        if self.state is DeadLetterState.REPLAY_REQUESTED:
            return self  # whoever asks second gets what the first one asked for
        state = advance(TRANSITIONS, self.state, DeadLetterAction.REQUEST_REPLAY)
        return replace(self, state=state, replay_requested_by=by, replay_requested_at=now)

    def replay(self, *, now: datetime) -> "DeadLetter":
        state = advance(TRANSITIONS, self.state, DeadLetterAction.REPLAY)
        return replace(self, state=state, replayed_at=now)

    def fail(self, reason: str) -> "DeadLetter":
        """Return the letter buried again, with one more replay that failed."""
        return replace(
            self,
            state=advance(TRANSITIONS, self.state, DeadLetterAction.FAIL),
            replay_failures=self.replay_failures + 1,
            replay_failure=reason[:MAX_REASON],
        )
