"""Serves the endpoints of all tenants, a bounded number at a time."""

import asyncio
import logging
from typing import Final

from app.usecase.webhook.serve_endpoint import ENDPOINT_LEASE, FIRST, ServeEndpoint
from domain.errors import DomainError
from ports.webhook import EndpointLease, WebhookQueue

PROMPT: Final = 32
SLOW: Final = 64
"""How many endpoints one process serves at once: those that are quick, and beside them those that
are slow or fail, each of which gets little at a time."""

_log = logging.getLogger("reli.webhooks")


class WebhookDeliverer:
    """Leases endpoints that are due and serves them; nobody waits for one that is slow."""

    def __init__(self, queue: WebhookQueue, serve_endpoint: ServeEndpoint) -> None:
        self._queue = queue
        self._serve_endpoint = serve_endpoint
        self._serving: dict[bool, set[asyncio.Task[None]]] = {False: set(), True: set()}

    async def __call__(self) -> bool:
        prompt = PROMPT - len(self._serving[False])
        slow = SLOW - len(self._serving[True])
        if prompt <= 0 and slow <= 0:
            return False
        leases = await self._queue.claim(
            prompt=prompt, slow=slow, first=FIRST, lease_for=ENDPOINT_LEASE
        )
        for lease in leases:
            serving = self._serving[lease.is_slow]
            task = asyncio.create_task(self._serve(lease), name=str(lease.endpoint_id))
            serving.add(task)
            task.add_done_callback(serving.discard)
        return False

    @property
    def is_busy(self) -> bool:
        """Whether some endpoint is being served."""
        return bool(self._serving[False] or self._serving[True])

    async def drain(self) -> None:
        """Wait until every turn is over."""
        while serving := self._serving[False] | self._serving[True]:
            await asyncio.wait(serving)

    async def stop(self) -> None:
        """End every turn; what was being sent is sent again once its lease has run out."""
        for task in (*self._serving[False], *self._serving[True]):
            task.cancel()
        await self.drain()

    async def _serve(self, lease: EndpointLease) -> None:
        try:
            await self._serve_endpoint(lease)
        except DomainError as error:
            # The lease runs out, and somebody goes on from what the database knows.
            _log.warning("%s left for later: %s", lease.endpoint_id, error.message)
        except Exception:
            _log.exception("%s left for later", lease.endpoint_id)
