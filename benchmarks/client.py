"""A lean REST client: keep-alive connections, bodies made ahead, every failure counted."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import aiohttp

Json = dict[str, Any]

_SETTLED: Final = "TRADE_STATE_SETTLED"
_UNDER_WAY: Final = ("TRADE_STATE_PENDING", "TRADE_STATE_OUTCOME_UNKNOWN")
_POLLS: Final = 200


class Failed(Exception):
    """A call was not answered as it must; it is counted, and no latency is taken from it."""


@dataclass(frozen=True, slots=True)
class Trader:
    """One customer, what she sends again and again, and her tenant's key."""

    headers: dict[str, str]
    orders: Sequence[bytes]


@dataclass(slots=True)
class Client:
    """Calls, and what came back that should not have."""

    session: aiohttp.ClientSession
    rest_url: str
    failures: Counter[str] = field(default_factory=Counter)
    settled: int = 0
    settled_late: int = 0
    _keys: Any = field(default_factory=count)

    async def call(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> Json:
        try:
            async with self.session.request(
                method, self.rest_url + path, headers=headers, data=body
            ) as response:
                content = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as e:
            self.failures[type(e).__name__] += 1
            raise Failed from e
        if status != 200:
            self.failures[f"{status} {_reason(content)}"] += 1
            raise Failed(path, content[:500])
        answer: Json = json.loads(content)
        return answer

    async def read_assets(self, trader: Trader) -> None:
        """Authenticated, encoded, carried through everything, and no query behind it."""
        await self.call("GET", "/v1/assets", trader.headers)

    async def read_price(self, trader: Trader, query: str) -> None:
        """Ask what a quote would cost; nothing of it is kept."""
        await self.call("GET", f"/v1/indicativeQuotes?{query}", trader.headers)

    async def quote(self, trader: Trader, number: int) -> Json:
        """Ask for a quote that holds."""
        order = trader.orders[number % len(trader.orders)]
        quoted: Json = (await self.call("POST", "/v1/quotes", trader.headers, order))["quote"]
        return quoted

    async def trade(self, trader: Trader, number: int) -> "TradeTimes":
        """Quote, accept and see it settled."""
        began = time.perf_counter()
        quote = await self.quote(trader, number)
        quoted_at = time.perf_counter()
        path = f"/v1/quotes/{quote['id']}:accept"
        headers = {**trader.headers, "idempotency-key": f"bench-{next(self._keys)}"}
        trade = (await self.call("POST", path, headers, b"{}"))["trade"]
        accepted_at = time.perf_counter()
        if trade["state"] in _UNDER_WAY:
            trade = await self._end_of(trade, trader)
        ended_at = time.perf_counter()
        if trade["state"] != _SETTLED:
            self.failures[f"{trade['state']} {trade['rejection_reason']}"] += 1
            raise Failed(trade)
        self.settled += 1
        return TradeTimes(quoted_at - began, accepted_at - quoted_at, began, ended_at)

    async def _end_of(self, trade: Json, trader: Trader) -> Json:
        self.settled_late += 1
        for _ in range(_POLLS):
            trade = (await self.call("GET", f"/v1/trades/{trade['id']}", trader.headers))["trade"]
            if trade["state"] not in _UNDER_WAY:
                break
        return trade


@dataclass(frozen=True, slots=True)
class TradeTimes:
    """How long a trade took, in seconds, and when it began and ended."""

    quote_s: float
    accept_s: float
    began: float
    ended: float

    @property
    def whole_s(self) -> float:
        return self.ended - self.began


def _reason(content: bytes) -> str:
    try:
        return str(json.loads(content)["details"][0]["reason"])
    except (ValueError, LookupError, TypeError):
        return "without a reason"
