"""Sending to one endpoint what is due there."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from app.usecase.webhook.change_endpoint_state import DisableGoneEndpoint
from domain.ids import WebhookDeliveryId
from domain.webhook.delivery import TIMEOUT, Attempt, Delivery, Health
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

AHEAD: Final = 6
"""How many times as many are fetched at once."""

A_MOMENT_S: Final = 0.005
"""How long the end of an attempt may wait for others, to be written down with them."""

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
        width: how many deliveries may be sent at once.
        waiting: what was fetched ahead, so that nothing waits for the database in between.
        ended: what is not written down yet.
        stirred: something has ended.
        failure: what kept us from telling what came of an attempt.
    """

    health: Health
    width: int
    is_slow: bool = False
    is_gone: bool = False
    has_recovered: bool = False
    waiting: deque[DueDelivery] = field(default_factory=deque)
    running: dict[asyncio.Task[None], Delivery] = field(default_factory=dict)
    ended: list[Sent] = field(default_factory=list)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    failure: BaseException | None = None

    def start(self, due: DueDelivery, attempt: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(attempt)
        self.running[task] = due.delivery
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self.running[task]
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()
        self.stirred.set()

    @property
    def in_flight(self) -> list[WebhookDeliveryId]:
        waiting = [due.delivery.id for due in self.waiting]
        return [*waiting, *(delivery.id for delivery in self.running.values())]

    @property
    def room(self) -> int:
        """How many more may be fetched."""
        if self._must_stop:
            return 0
        if self.health.is_failing:
            return 1 - len(self.running)
        return max(AHEAD * self.width - len(self.waiting) - len(self.running), 0)

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
        turn = _Turn(lease.health, width=1 if lease.health.is_failing else FIRST)
        turn.waiting.extend(lease.due)
        try:
            await self._take(turn, lease)
        except EndpointTaken:
            pass  # what we know is of the past
        finally:
            for task in tuple(turn.running):
                task.cancel()
        if turn.is_gone:
            await self.disable_gone(lease.tenant_id, lease.endpoint_id)

    async def _take(self, turn: _Turn, lease: EndpointLease) -> None:
        secrets = [
            self.box.open(sealed, owner=lease.endpoint_id) for sealed in lease.sealed_secrets
        ]
        ends_at = self.clock.monotonic() + TURN.total_seconds()
        writing: asyncio.Task[bool] | None = None
        try:
            while True:
                # Not beyond the turn, however long the database takes: the lease has an end.
                while (
                    turn.waiting
                    and len(turn.running) < turn.width
                    and self.clock.monotonic() < ends_at
                ):
                    due = turn.waiting.popleft()
                    turn.start(due, self._attempt(turn, lease.url, secrets, due))
                if writing is None and (turn.ended or not turn.running):
                    writing = asyncio.create_task(self._write_down(turn, lease, ends_at))
                    writing.add_done_callback(lambda _: turn.stirred.set())
                await turn.stirred.wait()
                turn.stirred.clear()
                if turn.failure is not None:
                    raise turn.failure
                if writing is not None and writing.done():
                    if writing.result():
                        return
                    writing = None
        finally:
            if writing is not None:
                writing.cancel()

    async def _attempt(
        self, turn: _Turn, url: str, secrets: Sequence[str], due: DueDelivery
    ) -> None:
        before = due.delivery
        request = WebhookRequest(
            url=url,
            event_id=before.event_id,
            body=due.body,
            secrets=secrets,
            number=before.attempts + 1,
        )
        attempt = await self.sender.send(request, sent_at=self.clock.now())
        now, chance = await self.database_clock.now(), self.chance.below(1_000)
        after = before.conclude(attempt, now=now, chance=chance)
        turn.learn(attempt, turn.health.after(before, attempt, now=now, chance=chance))
        turn.ended.append(Sent(after, attempt))

    async def _write_down(self, turn: _Turn, lease: EndpointLease, ends_at: float) -> bool:
        """Write down what has ended and fetch what is due next; return whether there is nothing."""
        if turn.running:
            await self.clock.sleep(A_MOMENT_S)
        is_over = self.clock.monotonic() >= ends_at
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
        turn.waiting.extend(due)
        return not due and not in_flight
