"""The calls of Zero Hash, signed.

Source: docs.zerohash.com, "API authentication", "Request IDs", "Request and execute quotes" and
"Get trades".
"""

import base64
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlencode
from uuid import UUID

from adapters.lp.http import Answer, Call, Connection, LpSessions, json_body
from adapters.lp.signing import VenueTime, base64_text, hmac_sha256, milliseconds_text
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from ports.clock import Clock


class ZeroHashClient:
    """Every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: ZeroHashLpConfig, sessions: LpSessions, clock: Clock) -> None:
        self._config = config
        self._secret = base64.b64decode(config.secret)
        self._connection = Connection(config, sessions)
        self._time = VenueTime(clock)

    async def request_quote(self, request_id: UUID, fields: dict[str, str]) -> Answer:
        call = self._signed("POST", "/liquidity/rfq", request_id, json_body(fields))
        return self._time.hear(await self._connection.quote(call))

    async def execute(self, request_id: UUID, quote_id: str) -> Answer:
        body = json_body({"quote_id": quote_id})
        call = self._signed("POST", "/liquidity/execute", request_id, body)
        return self._time.hear(await self._connection.execute(call))

    async def find_trades(self, client_trade_id: str) -> Answer:
        query = urlencode({"client_trade_id": client_trade_id})
        target = f"/trades?{query}"
        call = self._signed("GET", target, self._request_id(target))
        return self._time.hear(await self._connection.status(call))

    async def list_trades(self, starts_at: datetime, ends_at: datetime, *, page: int) -> Answer:
        """Ask for a page of the participant's trades of a time; the first one is 1."""
        query = urlencode(
            {
                "party_code": self._config.participant_code,
                "transaction_timestamp[gte]": milliseconds_text(starts_at),
                "transaction_timestamp[lt]": milliseconds_text(ends_at),
                "page": page,
            }
        )
        target = f"/trades?{query}"
        call = self._signed("GET", target, self._request_id(target))
        return self._time.hear(await self._connection.listing(call))

    def _request_id(self, target: str) -> UUID:
        """Return an id of this question: asked again later it is another one, and asked anew.

        To an id that it knows the venue may say again what it said at first ("Request IDs").
        """
        text = f"{milliseconds_text(self._time.now())} {target}"
        return UUID(bytes=sha256(text.encode()).digest()[:16], version=4)

    def _signed(
        self, method: str, target: str, request_id: UUID, body: bytes | None = None
    ) -> Call:
        timestamp = milliseconds_text(self._time.now())[:-3]
        # Without a body an empty object is signed.
        message = f"{timestamp}{method}{target}".encode() + (body or b"{}")
        return Call(
            method,
            target,
            body,
            {
                "X-SCX-API-KEY": self._config.api_key,
                "X-SCX-PASSPHRASE": self._config.passphrase,
                "X-SCX-TIMESTAMP": timestamp,
                "X-SCX-SIGNED": base64_text(hmac_sha256(self._secret, message)),
                "X-REQUEST-ID": str(request_id),
            },
        )
