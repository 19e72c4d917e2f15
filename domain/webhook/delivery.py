"""A delivery is one event on its way to one endpoint, and an attempt one try to get it there."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from domain.ids import EventId, WebhookDeliveryId, WebhookEndpointId
from domain.transition import advance
from domain.webhook.errors import WebhookDeliveryPending

RETRY_DELAYS: Final = (
    timedelta(seconds=5),
    timedelta(seconds=15),
    timedelta(seconds=45),
    timedelta(minutes=2),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=30),
    timedelta(hours=1),
)
"""How long after a failure the next attempt is made; the last one repeats."""

EXPIRES_AFTER: Final = timedelta(hours=72)
"""How long a delivery is tried before it is a dead letter."""

MAX_RETRY_AFTER: Final = timedelta(hours=1)
"""How long an endpoint may ask to be left alone."""

FAILING: Final = 5
"""After so many deliveries in a row have failed, an endpoint gets one at a time, ever less often.
"""

TIMEOUT: Final = timedelta(seconds=10)
"""How long an attempt may take: name, connection, TLS, request and answer together."""

KEPT_FOR: Final = timedelta(days=30)
"""How long a delivery that has ended is kept, and its attempts with it."""

MAX_RESPONSE_BYTES: Final = 4_096
"""How much of an answer's body is kept; nothing beyond it is read."""

MAX_DETAIL: Final = 200
"""How many characters of what went wrong are kept."""

_GONE: Final = 410
_LEAVE_ALONE: Final = frozenset({429, 503})
_JITTER_PERMILLE: Final = 200


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class DeliveryAction(StrEnum):
    DELIVER = "deliver"
    BURY = "bury"
    REPLAY = "replay"


TRANSITIONS: Final = {
    (DeliveryState.PENDING, DeliveryAction.DELIVER): DeliveryState.DELIVERED,
    (DeliveryState.PENDING, DeliveryAction.BURY): DeliveryState.DEAD,
    # Received is not kept: whoever lost it again may have it again.
    (DeliveryState.DELIVERED, DeliveryAction.REPLAY): DeliveryState.PENDING,
    (DeliveryState.DEAD, DeliveryAction.REPLAY): DeliveryState.PENDING,
}


class Failure(StrEnum):
    """Why an attempt failed."""

    STATUS = "status"
    """It was answered with anything but 2xx; a redirect is not followed."""
    TIMEOUT = "timeout"
    NAME = "name"
    """The name of the host has no address."""
    FORBIDDEN = "forbidden"
    """Nothing may be sent to the address of the host."""
    CONNECTION = "connection"
    """It was not made, or closed before there was an answer."""
    TLS = "tls"
    """The certificate is not one of the host."""
    PROTOCOL = "protocol"
    """What came back is no HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Attempts are counted from 1, over all replays.

    Attributes:
        latency_ms: from the first step to the last byte that was read.
        status: of the answer; None where there was none.
        detail: of the failure, for people.
        response_body: its first `MAX_RESPONSE_BYTES`.
        retry_after: what a 429 or 503 asked for.
    """

    number: int
    started_at: datetime
    latency_ms: int
    status: int | None = None
    failure: Failure | None = None
    detail: str = ""
    response_body: bytes = b""
    retry_after: timedelta | None = None

    def __post_init__(self) -> None:
        assert len(self.response_body) <= MAX_RESPONSE_BYTES
        assert len(self.detail) <= MAX_DETAIL
        assert self.was_received == (self.status is not None and 200 <= self.status < 300)

    @property
    def was_received(self) -> bool:
        return self.failure is None

    @property
    def says_gone(self) -> bool:
        """Whether the endpoint wants nothing more, ever."""
        return self.status == _GONE

    @property
    def hold(self) -> timedelta:
        """How long it asked to be left alone."""
        if self.status not in _LEAVE_ALONE or self.retry_after is None:
            return timedelta()
        return min(self.retry_after, MAX_RETRY_AFTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Attributes:
    sequence: of the event, among the tenant's events.
    subject: id of the thing that the event happened to.
    due_at: when it is sent next; None where it has ended, or an earlier event of its subject is
        on its way.
    expires_at: when it is given up.
    attempts: how many there were, over all replays.
    failures: how many have failed since it was last begun.
    """

    id: WebhookDeliveryId
    endpoint_id: WebhookEndpointId
    event_id: EventId
    sequence: int
    event_type: str
    subject: str
    recorded_at: datetime
    expires_at: datetime
    due_at: datetime | None
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    failures: int = 0
    ended_at: datetime | None = None

    def conclude(self, attempt: Attempt, *, now: datetime, chance: int) -> "Delivery":
        """Return the delivery after an attempt: received, to be tried again, or a dead letter.

        `chance` is from 0 to 999. The last attempt is made when the delivery expires.
        """
        if attempt.was_received:
            return self._end(DeliveryAction.DELIVER, now, attempt.number, self.failures)
        failures = self.failures + 1
        if now >= self.expires_at:
            return self._end(DeliveryAction.BURY, now, attempt.number, failures)
        wait = max(retry_delay(failures, chance), attempt.hold)
        due_at = min(now + wait, self.expires_at)
        return replace(self, attempts=attempt.number, failures=failures, due_at=due_at)

    def require_replayable(self) -> None:
        if (self.state, DeliveryAction.REPLAY) not in TRANSITIONS:
            raise WebhookDeliveryPending("the delivery is on its way", delivery_id=self.id)

    def _end(
        self, action: DeliveryAction, now: datetime, attempts: int, failures: int
    ) -> "Delivery":
        return replace(
            self,
            state=advance(TRANSITIONS, self.state, action),
            due_at=None,
            attempts=attempts,
            failures=failures,
            ended_at=now,
        )


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint does.

    Attributes:
        failures: how many deliveries in a row have failed there; while it is failing, attempts.
        held_until: before that nothing is sent; None where nothing keeps us.
    """

    failures: int = 0
    held_until: datetime | None = None

    @property
    def is_failing(self) -> bool:
        return self.failures >= FAILING

    def after(
        self, delivery: Delivery, attempt: Attempt, *, now: datetime, chance: int
    ) -> "Health":
        """Return how it does after an attempt at a delivery, which is as it was before.

        One event that an endpoint fails at again and again says nothing about the others.
        """
        if attempt.was_received:
            return Health()
        counts = self.is_failing or delivery.failures == 0
        failed = replace(self, failures=self.failures + counts)
        wait = attempt.hold
        if failed.is_failing:
            wait = max(wait, retry_delay(failed.failures - FAILING + 1, chance))
        return replace(failed, held_until=now + wait) if wait else failed


def retry_delay(failures: int, chance: int) -> timedelta:
    """Return how long to wait after so many failures in a row: the schedule, give or take a fifth.

    `chance` is from 0 to 999; without it all that failed together would come again together.
    """
    assert failures > 0
    assert 0 <= chance < 1_000
    delay = RETRY_DELAYS[min(failures, len(RETRY_DELAYS)) - 1]
    return delay * (1_000 - _JITTER_PERMILLE + chance * 2 * _JITTER_PERMILLE // 999) // 1_000
