"""Sending to one endpoint what is due there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from app.usecase.webhook.change_endpoint_state import DisableGoneEndpoint
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
    """

    health: Health
    width: int
    is_slow: bool = False
    is_gone: bool = False
    has_recovered: bool = False
    running: dict[asyncio.Task[Attempt], Delivery] = field(default_factory=dict)

    def learn(self, attempt: Attempt, health: Health) -> None:
        """Send more at once to who is quick, and less to who is not."""
        is_slow = attempt.latency_ms > SLOW // timedelta(milliseconds=1)
        went_well = attempt.was_received and not is_slow
        self.has_recovered |= self.health.is_failing and attempt.was_received
        self.is_slow = is_slow or health.is_failing
        self.is_gone |= attempt.says_gone
        self.health = health
        self.width = min(2 * self.width, MOST) if went_well else max(self.width // 2, 1)
        if health.is_failing:
            self.width = 1

    @property
    def room(self) -> int:
        """How many more may be sent now."""
        is_held = self.health.held_until is not None
        return 0 if is_held or self.is_gone else max(self.width - len(self.running), 0)


@dataclass(frozen=True, slots=True)
class ServeEndpoint:
    """Attempts that end while the ends of others are written down are written down together."""

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
        try:
            await self._take(turn, lease)
        except EndpointTaken:
            pass  # what we know is of the past
        finally:
            for task in turn.running:
                task.cancel()
        if turn.is_gone:
            await self.disable_gone(lease.tenant_id, lease.endpoint_id)

    async def _take(self, turn: _Turn, lease: EndpointLease) -> None:
        secrets = [
            self.box.open(sealed, owner=lease.endpoint_id) for sealed in lease.sealed_secrets
        ]
        ends_at = self.clock.monotonic() + TURN.total_seconds()
        due = lease.due
        while True:
            for one in due:
                task = asyncio.create_task(self._attempt(lease.url, secrets, one))
                turn.running[task] = one.delivery
            sent = await self._ended(turn) if turn.running else []
            is_over = self.clock.monotonic() >= ends_at
            due = await self.queue.conclude(
                lease,
                sent,
                in_flight=[delivery.id for delivery in turn.running.values()],
                limit=0 if is_over else turn.room,
                health=turn.health,
                has_recovered=turn.has_recovered,
                is_slow=turn.is_slow,
            )
            turn.has_recovered = False
            if not due and not turn.running:
                return

    async def _attempt(self, url: str, secrets: Sequence[str], due: DueDelivery) -> Attempt:
        request = WebhookRequest(
            url=url,
            event_id=due.delivery.event_id,
            body=due.body,
            secrets=secrets,
            number=due.delivery.attempts + 1,
        )
        return await self.sender.send(request, sent_at=self.clock.now())

    async def _ended(self, turn: _Turn) -> Sequence[Sent]:
        """Wait for an attempt to end; return it, and all others that have ended."""
        ended, _ = await asyncio.wait(turn.running, return_when=asyncio.FIRST_COMPLETED)
        now = await self.database_clock.now()
        sent = []
        for task in ended:
            before, attempt = turn.running.pop(task), task.result()
            chance = self.chance.below(1_000)
            sent.append(Sent(before.conclude(attempt, now=now, chance=chance), attempt))
            turn.learn(attempt, turn.health.after(before, attempt, now=now, chance=chance))
        return sent
