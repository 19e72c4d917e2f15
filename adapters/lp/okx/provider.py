"""OKX Convert as a liquidity provider."""

from adapters.lp.http import Answer, LpSessions
from adapters.lp.okx.client import OkxClient
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.okx.parse import (
    parse_history,
    parse_quote,
    parse_trade,
    read_reference,
    request_id_of,
)
from adapters.lp.provider import Order, VenueLp
from domain.amount import Amount
from domain.trade.outcome import Filled, Rejected
from ports.clock import Clock
from ports.liquidity import LpQuote, LpQuoteRequest


class OkxLp(VenueLp[OkxLpConfig]):
    """One account at OKX."""

    def __init__(self, config: OkxLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = OkxClient(config, sessions, clock)

    async def ask_price(self, request: LpQuoteRequest) -> Answer:
        return await self._client.estimate_quote(
            {
                "baseCcy": self._config.code_of(request.instrument.base),
                "quoteCcy": self._config.code_of(request.instrument.quote),
                "side": request.side.value,
                "rfqSz": request.fixed.value,
                "rfqSzCcy": self._config.code_of(request.fixed.asset),
                "clQReqId": request_id_of(request.id),
            }
        )

    def read_price(self, answer: Answer, request: LpQuoteRequest) -> LpQuote:
        return parse_quote(answer, request, self._config)

    async def send_order(self, order: Order, base: Amount, quote: Amount) -> Answer:
        quote_id, size_currency = read_reference(order.reference)
        base_currency = self._config.code_of(order.instrument.base)
        return await self._client.trade(
            {
                "quoteId": quote_id,
                "baseCcy": base_currency,
                "quoteCcy": self._config.code_of(order.instrument.quote),
                "side": order.side.value,
                "sz": (base if size_currency == base_currency else quote).value,
                "szCcy": size_currency,
                "clTReqId": request_id_of(order.client_order_id),
            }
        )

    def read_execution(self, answer: Answer, order: Order) -> Filled | Rejected:
        return parse_trade(answer, order, self._config)

    async def ask_state(self, order: Order) -> Answer:
        return await self._client.history(request_id_of(order.client_order_id))

    def read_state(self, answer: Answer, order: Order) -> Filled | Rejected | None:
        return parse_history(answer, order, self._config)
