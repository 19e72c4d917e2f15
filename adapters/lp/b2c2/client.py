"""The calls of B2C2, each with the account's token.

Source: public clients of the venue and their recorded answers; docs/venues.md lists them.
"""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from adapters.lp.b2c2.config import B2c2LpConfig
from adapters.lp.http import Answer, Call, Connection, LpSessions, json_body
from adapters.lp.signing import iso_text

PAGE: Final = 100


class B2c2Client:
    """Every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: B2c2LpConfig, sessions: LpSessions) -> None:
        self._config = config
        self._connection = Connection(config, sessions)

    async def request_for_quote(self, fields: dict[str, str]) -> Answer:
        return await self._connection.quote(self._post("/request_for_quote/", fields))

    async def order(self, fields: dict[str, str]) -> Answer:
        return await self._connection.execute(self._post("/order/", fields))

    async def find_order(self, client_order_id: str) -> Answer:
        call = Call("GET", f"/order/{client_order_id}", headers=self._headers())
        return await self._connection.status(call)

    async def list_orders(self, starts_at: datetime, ends_at: datetime, *, offset: int) -> Answer:
        """Ask for a page of the orders that were created in a time."""
        query = urlencode(
            {
                "created__gte": iso_text(starts_at),
                "created__lt": iso_text(ends_at),
                "limit": PAGE,
                "offset": offset,
            }
        )
        call = Call("GET", f"/order/?{query}", headers=self._headers())
        return await self._connection.listing(call)

    def _post(self, target: str, fields: dict[str, str]) -> Call:
        return Call("POST", target, json_body(fields), self._headers())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self._config.token}"}
