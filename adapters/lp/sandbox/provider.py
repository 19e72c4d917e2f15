"""The sandbox venue as a liquidity provider."""

from datetime import datetime

from adapters.lp.http import Answer, LpSessions
from adapters.lp.provider import Order, VenueLp
from adapters.lp.sandbox.client import SandboxClient
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.parse import (
    is_not_found,
    parse_execution,
    parse_order,
    parse_quote,
    parse_time,
)
from domain.amount import Amount
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest, Working


class SandboxLp(VenueLp[SandboxLpConfig]):
    """One sandbox venue."""

    def __init__(self, config: SandboxLpConfig, sessions: LpSessions) -> None:
        super().__init__(config)
        self._client = SandboxClient(config, sessions)

    async def ask_price(self, request: LpQuoteRequest) -> Answer:
        return await self._client.create_quote(
            {
                "client_quote_id": str(request.id),
                "base_asset": request.instrument.base.code,
                "quote_asset": request.instrument.quote.code,
                "side": request.side.value,
                "base_amount" if request.is_base else "quote_amount": request.fixed.value,
            }
        )

    def read_price(self, answer: Answer, request: LpQuoteRequest) -> LpQuote:
        return parse_quote(answer, request, margin=self._config.quote_safety_margin)

    async def send_order(self, order: Order, base: Amount, quote: Amount) -> Answer:
        return await self._client.create_order(
            {"client_order_id": str(order.client_order_id), "quote_id": order.reference}
        )

    def read_execution(self, answer: Answer, order: Order) -> Filled | Rejected | Working:
        return parse_execution(answer, order)

    async def ask_state(self, order: Order) -> Answer:
        return await self._client.get_order(str(order.client_order_id))

    def read_state(self, answer: Answer, order: Order) -> Filled | Rejected | Working | None:
        return None if is_not_found(answer) else parse_order(answer, order)

    def read_clock(self, answer: Answer) -> datetime:
        return parse_time(answer)
