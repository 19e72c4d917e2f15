"""VALR as a liquidity provider.

Its prices are not held, so a price of ours carries a margin for what may change until it is
executed, and the order has it as its limit, all or none: it is filled at the price or better, or
not at all.
"""

from adapters.lp.http import Answer, LpSessions
from adapters.lp.provider import Order, VenueLp
from adapters.lp.reading import NoPrice
from adapters.lp.valr.client import ValrClient
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.parse import is_not_found, parse_quote, parse_summary, read_reference
from domain.amount import Amount
from domain.trade.outcome import Filled, Rejected
from ports.clock import Clock
from ports.liquidity import LpQuote, LpQuoteRequest


class ValrLp(VenueLp[ValrLpConfig]):
    """One account at VALR."""

    def __init__(self, config: ValrLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = ValrClient(config, sessions, clock)

    async def ask_price(self, request: LpQuoteRequest) -> Answer:
        if not request.is_base:
            # At a better price than its limit an order takes or brings another quote amount.
            raise NoPrice("FIXED_QUOTE_AMOUNT")
        if request.instrument.code not in self._config.tick_sizes:
            raise NoPrice("UNKNOWN_INSTRUMENT")
        return await self._client.order_book(self._config.pair_of(request.instrument))

    def read_price(self, answer: Answer, request: LpQuoteRequest) -> LpQuote:
        return parse_quote(answer, request, self._config, now=self._client.now())

    async def send_order(self, order: Order, base: Amount, quote: Amount) -> Answer:
        quantity, limit = read_reference(order.reference)
        return await self._client.order(
            {
                "side": order.side.value.upper(),
                "quantity": quantity,
                "price": limit,
                "pair": self._config.pair_of(order.instrument),
                "timeInForce": "FOK",
                "customerOrderId": str(order.client_order_id.uuid),
            }
        )

    def read_execution(self, answer: Answer, order: Order) -> Filled | Rejected:
        return parse_summary(answer, order, self._config)

    async def ask_state(self, order: Order) -> Answer:
        return await self._client.order_summary(str(order.client_order_id.uuid))

    def read_state(self, answer: Answer, order: Order) -> Filled | Rejected | None:
        return None if is_not_found(answer) else parse_summary(answer, order, self._config)
