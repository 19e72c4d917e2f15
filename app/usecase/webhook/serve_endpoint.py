"""Sending to one endpoint what is due there."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from app.usecase.webhook.change_endpoint_state import DisableGoneEndpoint
from domain.ids import WebhookDeliveryId
from domain.webhook.delivery import TIMEOUT, Attempt, Health
from ports.chance import Chance
from ports.clock import Clock, DatabaseClock
from ports.secrets import SecretBox
from ports.webhook import (
    DueDelivery,
    EndpointLease,
    EndpointTaken,
    Sent,
    WebhookQueue,
    WebhookRequest,
    WebhookSender,
)

FIRST: Final = 4
MOST: Final = 32
"""How many deliveries are sent to an endpoint at once: at first, and where it is quick."""

AHEAD: Final = 10
"""How many times as many are fetched at once."""

A_MOMENT_S: Final = 0.005
A_WHILE_S: Final = 0.02
"""How long the end of an attempt may wait for others, to be written down with them: a moment, and a
while where so much is at hand that nothing waits for what is fetched then."""

SLOW: Final = timedelta(seconds=1)
"""An answer that takes longer is slow, and so is the endpoint."""

TURN: Final = timedelta(seconds=5)
"""How long an endpoint is served before others that wait have their turn."""

ENDPOINT_LEASE: Final = TURN + TIMEOUT + timedelta(seconds=10)
"""Longer than a turn with its last attempt takes, since it is not renewed."""


@dataclass(slots=True)
class _Turn:
    """What is under way at an endpoint, and how it does.

    Attributes:
        ends_at: on the monotonic clock; after that nothing more is begun.
        width: how many deliveries may be sent at once.
        waiting: what was fetched ahead, so that nothing waits for the database in between.
        senders: tasks, each of which sends one delivery after the other.
        ended: what is not written down yet.
        stirred: something has ended.
        failure: what kept us from telling what came of an attempt.
    """

    url: str
    secrets: Sequence[str] = field(repr=False)
    ends_at: float
    health: Health
    width: int
    waiting: deque[DueDelivery]
    is_slow: bool = False
    is_gone: bool = False
    has_recovered: bool = False
    senders: set[asyncio.Task[None]] = field(default_factory=set)
    sending: set[WebhookDeliveryId] = field(default_factory=set)
    ended: list[Sent] = field(default_factory=list)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    failure: BaseException | None = None

    def start(self, sender: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(sender)
        self.senders.add(task)
        task.add_done_callback(self._stop)

    def _stop(self, task: asyncio.Task[None]) -> None:
        self.senders.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()
        self.stirred.set()

    def queue_up(self, due: Sequence[DueDelivery]) -> None:
        """Send what was fetched, unless the endpoint wants nothing by now."""
        if not self._must_stop:
            self.waiting.extend(due)

    def take(self) -> DueDelivery:
        """Return what is sent next; there must be something."""
        due = self.waiting.popleft()
        self.sending.add(due.delivery.id)
        return due

    def end(self, sent: Sent) -> None:
        self.sending.remove(sent.delivery.id)
        self.ended.append(sent)
        self.stirred.set()

    @property
    def in_flight(self) -> list[WebhookDeliveryId]:
        return [*(due.delivery.id for due in self.waiting), *self.sending]

    @property
    def has_plenty(self) -> bool:
        return 2 * len(self.waiting) >= AHEAD * self.width

    @property
    def room(self) -> int:
        """How many more may be fetched."""
        if self._must_stop:
            return 0
        if self.health.is_failing:
            return max(1 - len(self.sending), 0)
        return max(AHEAD * self.width - len(self.waiting) - len(self.sending), 0)

    def learn(self, attempt: Attempt, health: Health) -> None:
        """Send more at once to who is quick, less to who is not, and nothing to who is held."""
        is_slow = attempt.latency_ms > SLOW // timedelta(milliseconds=1)
        went_well = attempt.was_received and not is_slow
        self.has_recovered |= self.health.is_failing and attempt.was_received
        self.is_slow = is_slow or health.is_failing
        self.is_gone |= attempt.says_gone
        self.health = health
        self.width = min(2 * self.width, MOST) if went_well else max(self.width // 2, 1)
        if health.is_failing:
            self.width = 1
        if self._must_stop:
            self.waiting.clear()

    @property
    def _must_stop(self) -> bool:
        return self.is_gone or self.health.held_until is not None


@dataclass(frozen=True, slots=True)
class ServeEndpoint:
    """What ends within a moment is written down together, while more is being sent."""

    queue: WebhookQueue
    sender: WebhookSender
    box: SecretBox
    clock: Clock
    database_clock: DatabaseClock
    chance: Chance
    disable_gone: DisableGoneEndpoint

    async def __call__(self, lease: EndpointLease) -> None:
        """Send until nothing is due or the turn is over; then the endpoint is given back.

        What is being sent when this is canceled is sent again by whoever holds the endpoint next.
        """
        turn = _Turn(
            lease.url,
            [self.box.open(sealed, owner=lease.endpoint_id) for sealed in lease.sealed_secrets],
            ends_at=self.clock.monotonic() + TURN.total_seconds(),
            health=lease.health,
            width=1 if lease.health.is_failing else FIRST,
            waiting=deque(lease.due),
        )
        try:
            await self._take(turn, lease)
        except EndpointTaken:
            pass  # what we know is of the past
        finally:
            for sender in tuple(turn.senders):
                sender.cancel()
        if turn.is_gone:
            await self.disable_gone(lease.tenant_id, lease.endpoint_id)

    async def _take(self, turn: _Turn, lease: EndpointLease) -> None:
        is_done = False
        while not is_done:
            self._fill(turn)
            if turn.senders:
                await turn.stirred.wait()
                await self.clock.sleep(A_WHILE_S if turn.has_plenty else A_MOMENT_S)
            turn.stirred.clear()
            if turn.failure is not None:
                raise turn.failure
            is_done = await self._write_down(turn, lease)

    def _fill(self, turn: _Turn) -> None:
        """Have as many send as there is something to send for and the endpoint may get at once."""
        while len(turn.senders) < turn.width and self._has_next(turn):
            turn.start(self._send(turn, turn.take()))

    def _has_next(self, turn: _Turn) -> bool:
        # Not beyond the turn, however long the database takes: the lease has an end.
        return bool(turn.waiting) and self.clock.monotonic() < turn.ends_at

    async def _send(self, turn: _Turn, due: DueDelivery) -> None:
        """Send a delivery, and others after it while the endpoint may get so many at once."""
        while True:
            await self._attempt(turn, due)
            self._fill(turn)
            if len(turn.senders) > turn.width or not self._has_next(turn):
                return
            due = turn.take()

    async def _attempt(self, turn: _Turn, due: DueDelivery) -> None:
        before = due.delivery
        request = WebhookRequest(
            url=turn.url,
            event_id=before.event_id,
            body=due.body,
            secrets=turn.secrets,
            number=before.attempts + 1,
        )
        attempt = await self.sender.send(request, sent_at=self.clock.now())
        now, chance = await self.database_clock.now(), self.chance.below(1_000)
        after = before.conclude(attempt, now=now, chance=chance)
        turn.learn(attempt, turn.health.after(before, attempt, now=now, chance=chance))
        turn.end(Sent(after, attempt))

    async def _write_down(self, turn: _Turn, lease: EndpointLease) -> bool:
        """Write down what has ended and fetch what is due next; return whether there is nothing."""
        is_over = self.clock.monotonic() >= turn.ends_at
        if is_over:
            turn.waiting.clear()
        sent, turn.ended = turn.ended, []
        in_flight = turn.in_flight
        has_recovered, turn.has_recovered = turn.has_recovered, False
        due = await self.queue.conclude(
            lease,
            sent,
            in_flight=in_flight,
            limit=0 if is_over else turn.room,
            health=turn.health,
            has_recovered=has_recovered,
            is_slow=turn.is_slow,
        )
        turn.queue_up(due)
        return not due and not in_flight
