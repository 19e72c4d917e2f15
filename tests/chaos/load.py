"""Customers who trade over REST and do not give up before they have a definite answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Final

import aiohttp

from tests.chaos.history import DepositRecord, History, TradeRecord
from tests.chaos.recovery import Recovery

Json = dict[str, Any]

CALL_TIMEOUT_S: Final = 8.0
FUNDS: Final = Decimal("100000000.00")
ZERO: Final = Decimal(0)

# The digits of `adapters/lp/sandbox/behavior.py`; 1 is a fill.
_FAULTY_DIGITS: Final = "2345678"
_FAULTY_SHARE: Final = 0.27
"""With what the admin port does, three answers in ten are faulty."""
_PLAIN_SHARE: Final = 0.2

# Refused by its own trade, or a quote that was acknowledged and then is not there: never.
_EXPECTED_REFUSALS: Final = frozenset({"INSUFFICIENT_FUNDS", "QUOTE_CANCELED", "QUOTE_EXPIRED"})

_TRADE_STATES: Final = {
    "TRADE_STATE_PENDING": "pending",
    "TRADE_STATE_OUTCOME_UNKNOWN": "outcome_unknown",
    "TRADE_STATE_SETTLED": "settled",
    "TRADE_STATE_REJECTED": "rejected",
}


class Undecided(Exception):
    """No definite answer came in time; the record of the request says so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A definite answer: done, or refused for good."""

    body: Json
    reason: str = ""

    @property
    def is_refusal(self) -> bool:
        return bool(self.reason)


@dataclass(slots=True)
class Market:
    """What all customers share.

    Attributes:
        give_up_at: when even a request without a definite answer is not sent again.
    """

    session: aiohttp.ClientSession
    rest_url: str
    history: History
    recovery: Recovery
    give_up_at: float = float("inf")
    requests: int = 0
    slowest_s: float = 0.0

    async def decide(
        self, method: str, path: str, key: str, body: Json | None = None, *, is_write: bool
    ) -> Answer:
        """Send the same request until the answer is definite."""
        pause_s = 0.1
        while True:
            answer = await self.ask(method, path, key, body, is_write=is_write)
            if answer is not None:
                return answer
            if time.monotonic() > self.give_up_at:
                raise Undecided
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 1.0)

    async def ask(
        self, method: str, path: str, key: str, body: Json | None, *, is_write: bool
    ) -> Answer | None:
        """Send a request once; return nothing if the answer decides nothing."""
        self.requests += 1
        asked_at = time.monotonic()
        try:
            async with self.session.request(
                method,
                self.rest_url + path,
                headers={"authorization": f"Bearer {key}"},
                json=body,
            ) as response:
                status = response.status
                content = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.history.answers[type(error).__name__] += 1
            return None
        self.slowest_s = max(self.slowest_s, time.monotonic() - asked_at)
        if status == 200:
            self.history.answers["200"] += 1
            if is_write:
                self.recovery.wrote(asked_at=asked_at)
            return Answer(content)
        info = _error_info(content)
        reason = info.get("reason", "")
        self.history.answers[f"{status} {reason or 'without a reason'}"] += 1
        if reason == "INTERNAL":
            self.history.violate("internal error", "", info["metadata"].get("incident", ""), path)
        if status >= 500 or status in (408, 409, 429):
            # The retry class tells a conflict that is final from one that decides nothing.
            if info.get("metadata", {}).get("retry") == "never":
                return Answer(content, reason)
            return None
        return Answer(content, reason)


@dataclass(slots=True)
class Customer:
    """One customer: one thing after another, so that every balance can be foretold."""

    market: Market
    tenant_id: str
    key: str
    id: str
    name: str
    random: Random
    think_s: float
    deposits: list[DepositRecord] = field(default_factory=list)
    trades: list[TradeRecord] = field(default_factory=list)
    _asked: int = 0

    @property
    def history(self) -> History:
        return self.market.history

    async def live(self, until: float) -> None:
        """Trade until that instant of the monotonic clock, and finish what was begun."""
        steps: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._buy, 55),
            (self._sell, 15),
            (self._deposit_some, 8),
            (self._cancel_and_accept, 4),
            (self._buy_too_much, 2),
            (self._replay, 8),
            (self.compare_balances, 8),
        ]
        actions, weights = zip(*steps, strict=True)
        try:
            while True:
                await asyncio.sleep(self.random.uniform(0, 2 * self.think_s))
                if time.monotonic() >= until:
                    return
                (action,) = self.random.choices(actions, weights)
                await action()
        except Undecided:
            return

    async def deposit(self, asset: str, value: Decimal) -> None:
        record = DepositRecord(
            tenant_id=self.tenant_id,
            customer_id=self.id,
            request_id=self._request_id(),
            asset=asset,
            value=value,
        )
        self.history.deposits.append(record)
        self.deposits.append(record)
        await self._send_deposit(record)

    async def compare_balances(self) -> None:
        """Compare what the system says with what its answers so far add up to."""
        for trade in self.trades:
            if trade.trade_id and not trade.is_ended:
                await self.look_at(trade)
        if any(trade.trade_id and not trade.is_ended for trade in self.trades):
            return
        answer = await self._decide("GET", f"/v1/customers/{self.id}/balances")
        said = {
            account["asset"]: (
                Decimal(account["balance"]["posted"]["value"]),
                Decimal(account["balance"]["held"]["value"]),
            )
            for account in answer.body.get("accounts", ())
        }
        self.history.balances_compared += 1
        for asset, expected in self.balances().items():
            found = said.get(asset, (ZERO, ZERO))
            if found != (expected, ZERO):
                self.history.violate(
                    "balance", self.tenant_id, self.id, f"{asset}: {found} instead of {expected}"
                )

    def balances(self) -> dict[str, Decimal]:
        """Add up what was acknowledged."""
        sums = {"NGN": ZERO, "BTC": ZERO}
        for deposit in self.deposits:
            if deposit.id:
                sums[deposit.asset] += deposit.value
        for trade in self.trades:
            if trade.state == "settled":
                sign = 1 if trade.side == "buy" else -1
                sums["BTC"] += sign * trade.base
                sums["NGN"] -= sign * trade.quote
        return sums

    async def look_at(self, trade: TradeRecord) -> None:
        answer = await self._decide("GET", f"/v1/trades/{trade.trade_id}")
        if answer.is_refusal:
            self.history.violate(
                "acknowledged trade", self.tenant_id, trade.trade_id, answer.reason
            )
            return
        self._acknowledge(trade, answer.body["trade"])

    async def _buy(self) -> None:
        await self._trade("buy", self._size())

    async def _sell(self) -> None:
        size = self._size()
        if self.balances()["BTC"] >= size:
            await self._trade("sell", size)
        else:
            await self._buy()

    async def _buy_too_much(self) -> None:
        record = await self._trade("buy", Decimal("9000"))
        if record is not None and record.trade_id:
            self.history.violate(
                "insufficient funds", self.tenant_id, record.trade_id, "was accepted"
            )

    async def _deposit_some(self) -> None:
        asset, value = self.random.choice((("NGN", Decimal("5000.00")), ("BTC", Decimal("0.01"))))
        await self.deposit(asset, value)

    async def _cancel_and_accept(self) -> None:
        quote = await self._quote("buy", self._size())
        if quote is None:
            return
        canceled = await self._decide(
            "POST", f"/v1/quotes/{quote['id']}:cancel", {"request_id": self._request_id()}
        )
        if canceled.is_refusal:
            return  # it had expired
        self.history.canceled_quotes.add(quote["id"])
        record = await self._accept("buy", quote)
        if record.trade_id:
            self.history.violate("canceled quote", self.tenant_id, record.trade_id, "was accepted")

    async def _replay(self) -> None:
        """Send an earlier request again, as one who has lost the answer."""
        self.history.replays += 1
        if self.trades and self.random.random() < 0.7:
            await self._send_accept(self.random.choice(self.trades))
        elif self.deposits:
            await self._send_deposit(self.random.choice(self.deposits))

    async def _trade(self, side: str, size: Decimal) -> TradeRecord | None:
        quote = await self._quote(side, size)
        if quote is None:
            return None
        record = await self._accept(side, quote)
        for _ in range(self.random.choice((0, 1, 3))):
            if record.trade_id and not record.is_ended:
                await asyncio.sleep(self.random.uniform(0.2, 1.5))
                await self.look_at(record)
        return record

    async def _quote(self, side: str, size: Decimal) -> Json | None:
        # Asked once: where there is no quote to be had now, the customer does without.
        answer = await self.market.ask(
            "POST",
            "/v1/quotes",
            self.key,
            {
                "customer_id": self.id,
                "side": f"SIDE_{side.upper()}",
                "base_asset": "BTC",
                "quote_asset": "NGN",
                "base_amount": {"value": f"{size:f}", "asset": "BTC"},
                "request_id": self._request_id(),
            },
            is_write=True,
        )
        if answer is None or answer.is_refusal:
            return None
        quote: Json = answer.body["quote"]
        return quote

    async def _accept(self, side: str, quote: Json) -> TradeRecord:
        record = TradeRecord(
            tenant_id=self.tenant_id,
            customer_id=self.id,
            request_id=self._request_id(),
            quote_id=quote["id"],
            side=side,
            base=Decimal(quote["base_amount"]["value"]),
            quote=Decimal(quote["quote_amount"]["value"]),
        )
        self.history.trades.append(record)
        self.trades.append(record)
        await self._send_accept(record)
        return record

    async def _send_accept(self, record: TradeRecord) -> None:
        answer = await self._decide(
            "POST", f"/v1/quotes/{record.quote_id}:accept", {"request_id": record.request_id}
        )
        if answer.is_refusal:
            if record.trade_id or record.refusal not in ("", answer.reason):
                self.history.violate(
                    "replay",
                    self.tenant_id,
                    record.trade_id or record.request_id,
                    f"{answer.reason} after {record.refusal or 'a trade'}",
                )
            record.refusal = answer.reason
            if answer.reason not in _EXPECTED_REFUSALS:
                self.history.violate(
                    "accept", self.tenant_id, record.request_id, f"refused with {answer.reason}"
                )
            return
        self._acknowledge(record, answer.body["trade"])

    async def _send_deposit(self, record: DepositRecord) -> None:
        answer = await self._decide(
            "POST",
            "/v1/sandbox/deposits",
            {
                "customer_id": self.id,
                "amount": {"value": f"{record.value:f}", "asset": record.asset},
                "request_id": record.request_id,
            },
        )
        if answer.is_refusal:
            self.history.violate("deposit", self.tenant_id, record.request_id, answer.reason)
            return
        id = answer.body["deposit"]["id"]
        if record.id not in ("", id):
            self.history.violate("replay", self.tenant_id, id, f"was deposit {record.id}")
        record.id = id

    def _acknowledge(self, record: TradeRecord, said: Json) -> None:
        state = _TRADE_STATES[said["state"]]
        amounts = Decimal(said["base_amount"]["value"]), Decimal(said["quote_amount"]["value"])
        problem = ""
        if record.trade_id not in ("", said["id"]):
            problem = f"was trade {record.trade_id}"
        elif record.refusal:
            problem = f"had been refused with {record.refusal}"
        elif amounts != (record.base, record.quote) or said["quote_id"] != record.quote_id:
            problem = f"{amounts} of {said['quote_id']}, accepted {record.base}, {record.quote}"
        elif record.is_ended and state != record.state:
            problem = f"is {state}, was {record.state}"
        if problem:
            self.history.violate("acknowledged trade", self.tenant_id, said["id"], problem)
        record.trade_id = said["id"]
        record.state = state

    async def _decide(self, method: str, path: str, body: Json | None = None) -> Answer:
        return await self.market.decide(method, path, self.key, body, is_write=body is not None)

    def _size(self) -> Decimal:
        """Return an amount whose digits tell the venues how to behave.

        Now and then it has so few that every venue trades it.
        """
        if self.random.random() < _PLAIN_SHARE:
            return Decimal(f"0.000{self.random.randint(1, 9)}")
        digits = "".join(
            self.random.choice(_FAULTY_DIGITS) if self.random.random() < _FAULTY_SHARE else "1"
            for _ in range(2)
        )
        return Decimal(f"0.000{self.random.randint(1, 9)}77{digits}")

    def _request_id(self) -> str:
        self._asked += 1
        return f"{self.name}-{self._asked}"


def _error_info(content: Any) -> Json:
    if isinstance(content, dict):
        for detail in content.get("details", ()):
            if "reason" in detail:
                return dict(detail)
    return {}
