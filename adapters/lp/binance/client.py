"""The calls of Binance Convert, signed.

Source: developers.binance.com, "General info: SIGNED endpoint security" and "Convert: Send Quote
Request, Accept Quote, Order Status, Get Convert Trade History".
"""

from datetime import datetime
from urllib.parse import urlencode

from adapters.lp.binance.config import BinanceLpConfig
from adapters.lp.binance.parse import PAGE, is_accepted
from adapters.lp.http import Answer, Call, Connection, LpSessions, after_sending
from adapters.lp.signing import VenueTime, hmac_sha256, milliseconds_text
from ports.clock import Clock

_CONVERT = "/sapi/v1/convert"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class BinanceClient:
    """Every call raises `NotConnected` or `NoAnswer`."""

    def __init__(self, config: BinanceLpConfig, sessions: LpSessions, clock: Clock) -> None:
        self._config = config
        self._connection = Connection(config, sessions)
        self._time = VenueTime(clock)
        self._headers = {"X-MBX-APIKEY": config.api_key}

    async def get_quote(self, fields: dict[str, str]) -> Answer:
        call = self._post("getQuote", fields)
        return self._time.hear(await self._connection.quote(call))

    async def accept_quote(self, quote_id: str) -> Answer:
        """Accept and return what became of it, or the refusal."""
        call = self._post("acceptQuote", {"quoteId": quote_id})
        accepted = self._time.hear(await self._connection.execute(call))
        if not is_accepted(accepted):
            return accepted
        return await after_sending(self.order_status(quote_id))

    async def order_status(self, quote_id: str) -> Answer:
        target = f"{_CONVERT}/orderStatus?{self._signed({'quoteId': quote_id})}"
        call = Call("GET", target, headers=self._headers)
        return self._time.hear(await self._connection.status(call))

    async def trade_flow(self, starts_at: datetime, last_at: datetime) -> Answer:
        """Ask for the conversions of a time, both ends included."""
        fields = {
            "startTime": milliseconds_text(starts_at),
            "endTime": milliseconds_text(last_at),
            "limit": str(PAGE),
        }
        call = Call("GET", f"{_CONVERT}/tradeFlow?{self._signed(fields)}", headers=self._headers)
        return self._time.hear(await self._connection.listing(call))

    def _post(self, name: str, fields: dict[str, str]) -> Call:
        body = self._signed(fields).encode()
        return Call("POST", f"{_CONVERT}/{name}", body, {**self._headers, **_FORM})

    def _signed(self, fields: dict[str, str]) -> str:
        text = urlencode({**fields, "timestamp": milliseconds_text(self._time.now())})
        signature = hmac_sha256(self._config.secret.encode(), text.encode()).hex()
        return f"{text}&signature={signature}"
