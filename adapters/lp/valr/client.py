"""The calls of VALR, signed.

Source: docs.valr.com, "Authentication", "Order Book", "Limit Order" (v2), "Order History Summary
by Customer Order Id" and "Order History".
"""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from adapters.lp.http import Answer, Call, Connection, LpSessions, after_sending, json_body
from adapters.lp.signing import VenueTime, hmac_sha512, iso_text, milliseconds_text
from adapters.lp.valr.config import ValrLpConfig
from ports.clock import Clock

PAGE: Final = 100
"""The most that one page of the history has."""

_CREATED = 201


class ValrClient:
    """Every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: ValrLpConfig, sessions: LpSessions, clock: Clock) -> None:
        self._config = config
        self._connection = Connection(config, sessions)
        self._time = VenueTime(clock)

    def now(self) -> datetime:
        """Return the venue's time, as far as it is known."""
        return self._time.now()

    async def order_book(self, pair: str) -> Answer:
        call = self._signed("GET", f"/v1/marketdata/{pair}/orderbook")
        return self._time.hear(await self._connection.quote(call))

    async def order(self, fields: dict[str, str]) -> Answer:
        """Place an order and return what became of it, or the refusal to place it."""
        call = self._signed("POST", "/v2/orders/limit", json_body(fields))
        placed = self._time.hear(await self._connection.execute(call))
        if placed.status != _CREATED:
            return placed
        return await after_sending(self.order_summary(fields["customerOrderId"]))

    async def order_summary(self, customer_order_id: str) -> Answer:
        target = f"/v1/orders/history/summary/customerorderid/{customer_order_id}"
        return self._time.hear(await self._connection.status(self._signed("GET", target)))

    async def order_history(self, after: datetime, before: datetime, *, skip: int) -> Answer:
        """Ask for a page of the orders that were decided in a time."""
        query = urlencode(
            {
                "skip": skip,
                "limit": PAGE,
                "startTime": iso_text(after),
                "endTime": iso_text(before),
            }
        )
        call = self._signed("GET", f"/v1/orders/history?{query}")
        return self._time.hear(await self._connection.listing(call))

    def _signed(self, method: str, target: str, body: bytes | None = None) -> Call:
        timestamp = milliseconds_text(self._time.now())
        message = f"{timestamp}{method}{target}".encode() + (body or b"")
        return Call(
            method,
            target,
            body,
            {
                "X-VALR-API-KEY": self._config.api_key,
                "X-VALR-TIMESTAMP": timestamp,
                "X-VALR-SIGNATURE": hmac_sha512(self._config.secret.encode(), message).hex(),
            },
        )
