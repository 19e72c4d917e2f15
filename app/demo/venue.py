"""A sandbox venue's admin port: what is done to its answers, and what its own book says."""

from dataclasses import dataclass

import aiohttp

from adapters.lp.sandbox.behavior import Behavior
from app.demo.expectation import Unmet
from app.demo.partner import Json


@dataclass(frozen=True, slots=True)
class VenueDesk:
    """Whoever sits at the venue; no partner and no part of Reli's own may do this."""

    session: aiohttp.ClientSession
    admin_url: str

    async def lose_next_answer(self) -> None:
        """Execute the next order without an answer, and for some seconds deny that it is known."""
        await self._send("PUT", "/v1/behavior", {"behavior": Behavior.LATE_FILL, "count": 1})

    async def executions_of(self, client_order_id: str) -> list[Json]:
        book = await self._send("GET", "/v1/book")
        executions: list[Json] = book["executions"]
        return [each for each in executions if each["client_order_id"] == client_order_id]

    async def _send(self, method: str, path: str, body: Json | None = None) -> Json:
        async with self.session.request(method, self.admin_url + path, json=body) as response:
            answer: Json = await response.json()
            if response.status != 200:
                raise Unmet(f"{path} of the venue: HTTP {response.status}: {answer}")
            return answer
