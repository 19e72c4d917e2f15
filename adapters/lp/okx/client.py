"""The calls of OKX Convert, signed.

Source: OKX API guide v5, "REST Authentication" and "Funding Account": "Estimate quote", "Convert
trade", "Get convert history".
"""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from adapters.lp.http import Answer, Call, Connection, LpSessions, json_body
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.signing import (
    VenueTime,
    base64_text,
    hmac_sha256,
    iso_text,
    milliseconds_text,
)
from ports.clock import Clock

PAGE: Final = 100
"""The most that one page of the history has."""

_CONVERT = "/api/v5/asset/convert"


class OkxClient:
    """Every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: OkxLpConfig, sessions: LpSessions, clock: Clock) -> None:
        self._config = config
        self._connection = Connection(config, sessions)
        self._time = VenueTime(clock)

    async def estimate_quote(self, fields: dict[str, str]) -> Answer:
        call = self._signed("POST", f"{_CONVERT}/estimate-quote", json_body(fields))
        return self._time.hear(await self._connection.quote(call))

    async def trade(self, fields: dict[str, str]) -> Answer:
        call = self._signed("POST", f"{_CONVERT}/trade", json_body(fields))
        return self._time.hear(await self._connection.execute(call))

    async def history(self, client_request_id: str) -> Answer:
        query = urlencode({"clTReqId": client_request_id})
        call = self._signed("GET", f"{_CONVERT}/history?{query}")
        return self._time.hear(await self._connection.status(call))

    async def list_history(self, before: datetime) -> Answer:
        """Ask for the newest trades of before an instant."""
        query = urlencode({"after": milliseconds_text(before), "limit": PAGE})
        call = self._signed("GET", f"{_CONVERT}/history?{query}")
        return self._time.hear(await self._connection.listing(call))

    def _signed(self, method: str, target: str, body: bytes | None = None) -> Call:
        timestamp = iso_text(self._time.now())
        message = f"{timestamp}{method}{target}".encode() + (body or b"")
        return Call(
            method,
            target,
            body,
            {
                "OK-ACCESS-KEY": self._config.api_key,
                "OK-ACCESS-PASSPHRASE": self._config.passphrase,
                "OK-ACCESS-TIMESTAMP": timestamp,
                "OK-ACCESS-SIGN": base64_text(hmac_sha256(self._config.secret.encode(), message)),
            },
        )
