"""A sandbox venue inside the test's process, on free ports, with a clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from adapters.lp.sandbox.venue import HOST, open_venue
from app.certify.clock import BenchClock


@dataclass(eq=False)
class RunningVenue:
    """A venue and a hand on its two ports."""

    url: str
    admin_url: str
    clock: BenchClock
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        return await self._call(method, self.url + path, body)

    async def admin(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        status, answer = await self._call(method, self.admin_url + path, body)
        assert status == 200, answer
        return answer

    async def refused_admin(self, method: str, path: str, body: Any) -> str:
        status, answer = await self._call(method, self.admin_url + path, body)
        assert status == 400, answer
        return str(answer["error"]["code"])

    async def behave(self, behavior: str, count: int | None = None) -> None:
        await self.admin("PUT", "/v1/behavior", {"behavior": behavior, "count": count})

    async def executions(self, client_order_id: str | None = None) -> list[dict[str, Any]]:
        book = await self.admin("GET", "/v1/book")
        return [
            order
            for order in book["executions"]
            if client_order_id in (None, order["client_order_id"])
        ]

    async def quote(self, base_amount: str = "0.01", **fields: str) -> dict[str, Any]:
        """Ask for a price, by default to buy BTC with NGN."""
        asked = {
            "client_quote_id": "ask-1",
            "base_asset": "BTC",
            "quote_asset": "NGN",
            "side": "buy",
            "base_amount": base_amount,
        }
        status, answer = await self.call("POST", "/v1/quotes", asked | fields)
        assert status == 200, answer
        return answer

    async def order(
        self, quote_id: str, client_order_id: str = "order-1"
    ) -> tuple[int, dict[str, Any]]:
        body = {"client_order_id": client_order_id, "quote_id": quote_id}
        return await self.call("POST", "/v1/orders", body)

    async def _call(self, method: str, url: str, body: Any) -> tuple[int, dict[str, Any]]:
        data = body if body is None or isinstance(body, bytes) else aiohttp.JsonPayload(body)
        async with self.session.request(method, url, data=data) as response:
            answer = await response.json()
            assert datetime.fromisoformat(answer["time"]) == self.clock.at
            return response.status, answer


@asynccontextmanager
async def a_venue(
    data_dir: Path,
    *,
    name: str = "alpha",
    position: int = 1,
    deduplicates: bool = True,
    clock: BenchClock | None = None,
) -> AsyncIterator[RunningVenue]:
    clock = clock or BenchClock()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session,
        open_venue(
            name=name,
            port=0,
            admin_port=0,
            data_dir=data_dir,
            position=position,
            deduplicates=deduplicates,
            clock=clock,
        ) as ports,
    ):
        try:
            yield RunningVenue(
                url=f"http://{HOST}:{ports.public}",
                admin_url=f"http://{HOST}:{ports.admin}",
                clock=clock,
                session=session,
            )
        finally:
            clock.release()
