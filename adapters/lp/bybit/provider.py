"""Bybit Convert as a liquidity provider."""

from adapters.lp.bybit.client import BybitClient
from adapters.lp.bybit.config import BybitLpConfig
from adapters.lp.bybit.parse import (
    is_not_found,
    parse_execution,
    parse_quote,
    parse_result,
)
from adapters.lp.conversion import assets_of
from adapters.lp.http import Answer, LpSessions
from adapters.lp.provider import Order, VenueLp
from adapters.lp.reading import NoPrice
from domain.amount import Amount
from domain.trade.outcome import Filled, Rejected
from ports.clock import Clock
from ports.liquidity import LpQuote, LpQuoteRequest, Working


class BybitLp(VenueLp[BybitLpConfig]):
    """One account at Bybit."""

    def __init__(self, config: BybitLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = BybitClient(config, sessions, clock)

    async def ask_price(self, request: LpQuoteRequest) -> Answer:
        given, received = assets_of(request.instrument, request.side)
        if request.fixed.asset != given:
            # The venue prices an amount of what it is given, and no other yet.
            raise NoPrice("FIXED_RECEIVED_AMOUNT")
        return await self._client.apply_quote(
            {
                "fromCoin": self._config.code_of(given),
                "toCoin": self._config.code_of(received),
                "requestCoin": self._config.code_of(given),
                "requestAmount": request.fixed.value,
            }
        )

    def read_price(self, answer: Answer, request: LpQuoteRequest) -> LpQuote:
        return parse_quote(answer, request, self._config)

    async def send_order(self, order: Order, base: Amount, quote: Amount) -> Answer:
        return await self._client.execute(order.reference)

    def read_execution(self, answer: Answer, order: Order) -> Filled | Rejected | Working:
        return parse_execution(answer, order, self._config)

    async def ask_state(self, order: Order) -> Answer:
        return await self._client.query_result(order.reference)

    def read_state(self, answer: Answer, order: Order) -> Filled | Rejected | Working | None:
        return None if is_not_found(answer) else parse_result(answer, order, self._config)
