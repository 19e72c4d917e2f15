"""The calls of VALR, signed.

Source: docs.valr.com, "Authentication", "Order Book", "Limit Order" (v2) and "Order History Summary
by Customer Order Id".
"""

from datetime import datetime

from adapters.lp.http import Answer, Call, Connection, LpSessions, after_sending, json_body
from adapters.lp.signing import VenueTime, hmac_sha512, milliseconds_text
from adapters.lp.valr.config import ValrLpConfig
from ports.clock import Clock

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
