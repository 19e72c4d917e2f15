"""The calls of a sandbox venue's public port."""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from adapters.lp.http import Answer, Call, Connection, LpSessions, json_body
from adapters.lp.sandbox.config import SandboxLpConfig

PAGE: Final = 100
"""The most that one page of orders has."""


class SandboxClient:
    """The venue's public API; every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: SandboxLpConfig, sessions: LpSessions) -> None:
        self._connection = Connection(config, sessions)

    async def create_quote(self, fields: dict[str, str]) -> Answer:
        return await self._connection.quote(Call("POST", "/v1/quotes", json_body(fields)))

    async def create_order(self, fields: dict[str, str]) -> Answer:
        return await self._connection.execute(Call("POST", "/v1/orders", json_body(fields)))

    async def list_orders(self, starts_at: datetime, ends_at: datetime, *, skip: int) -> Answer:
        """Ask for a page of the orders that were decided in a time."""
        query = urlencode(
            {
                "start_time": starts_at.isoformat(),
                "end_time": ends_at.isoformat(),
                "skip": skip,
                "limit": PAGE,
            }
        )
        return await self._connection.listing(Call("GET", f"/v1/orders?{query}"))

    async def get_order(self, client_order_id: str) -> Answer:
        return await self._connection.status(Call("GET", f"/v1/orders/{client_order_id}"))
