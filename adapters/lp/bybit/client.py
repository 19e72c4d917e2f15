"""The calls of Bybit Convert, signed.

Source: Bybit v5 documentation, "Integration guidance: Authentication" and "Asset: Convert".
"""

from typing import Final
from urllib.parse import urlencode

from adapters.lp.bybit.config import BybitLpConfig
from adapters.lp.bybit.parse import is_accepted
from adapters.lp.http import Answer, Call, Connection, LpSessions, after_sending, json_body
from adapters.lp.signing import VenueTime, hmac_sha256, milliseconds_text
from ports.clock import Clock

PAGE: Final = 100
"""The most that one page of the history has."""

_EXCHANGE = "/v5/asset/exchange"
_WINDOW_MS = "5000"


class BybitClient:
    """Every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: BybitLpConfig, sessions: LpSessions, clock: Clock) -> None:
        self._config = config
        self._connection = Connection(config, sessions)
        self._time = VenueTime(clock)

    async def apply_quote(self, fields: dict[str, str]) -> Answer:
        call = self._post("quote-apply", {**fields, "accountType": self._config.account_type})
        return self._time.hear(await self._connection.quote(call))

    async def execute(self, quote_id: str) -> Answer:
        """Confirm a quote and return what became of it, or the refusal."""
        call = self._post("convert-execute", {"quoteTxId": quote_id})
        confirmed = self._time.hear(await self._connection.execute(call))
        if not is_accepted(confirmed):
            return confirmed
        return await after_sending(self.query_result(quote_id))

    async def query_result(self, quote_id: str) -> Answer:
        query = urlencode({"quoteTxId": quote_id, "accountType": self._config.account_type})
        target = f"{_EXCHANGE}/convert-result-query?{query}"
        call = Call("GET", target, headers=self._headers(query.encode()))
        return self._time.hear(await self._connection.status(call))

    async def convert_history(self, index: int) -> Answer:
        """Ask for a page of all conversions; the first one is 1."""
        query = urlencode({"accountType": self._config.account_type, "index": index, "limit": PAGE})
        target = f"{_EXCHANGE}/query-convert-history?{query}"
        call = Call("GET", target, headers=self._headers(query.encode()))
        return self._time.hear(await self._connection.listing(call))

    def _post(self, name: str, fields: dict[str, str]) -> Call:
        body = json_body(fields)
        return Call("POST", f"{_EXCHANGE}/{name}", body, self._headers(body))

    def _headers(self, signed: bytes) -> dict[str, str]:
        timestamp = milliseconds_text(self._time.now())
        message = f"{timestamp}{self._config.api_key}{_WINDOW_MS}".encode() + signed
        return {
            "X-BAPI-API-KEY": self._config.api_key,
            "X-BAPI-TIMESTAMP": timestamp,
            "X-BAPI-RECV-WINDOW": _WINDOW_MS,
            "X-BAPI-SIGN": hmac_sha256(self._config.secret.encode(), message).hex(),
        }
