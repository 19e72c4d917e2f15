"""Binance Convert as a liquidity provider."""

from adapters.lp.binance.client import BinanceClient
from adapters.lp.binance.config import BinanceLpConfig
from adapters.lp.binance.parse import is_not_found, parse_order, parse_quote
from adapters.lp.conversion import assets_of
from adapters.lp.http import Answer, LpSessions
from adapters.lp.provider import Order, VenueLp
from domain.amount import Amount
from domain.trade.outcome import Filled, Rejected
from ports.clock import Clock
from ports.liquidity import LpQuote, LpQuoteRequest, Working


class BinanceLp(VenueLp[BinanceLpConfig]):
    """One account at Binance."""

    def __init__(self, config: BinanceLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = BinanceClient(config, sessions, clock)

    async def ask_price(self, request: LpQuoteRequest) -> Answer:
        given, received = assets_of(request.instrument, request.side)
        return await self._client.get_quote(
            {
                "fromAsset": self._config.code_of(given),
                "toAsset": self._config.code_of(received),
                "fromAmount" if request.fixed.asset == given else "toAmount": request.fixed.value,
                "walletType": self._config.wallet,
                "validTime": "10s",
            }
        )

    def read_price(self, answer: Answer, request: LpQuoteRequest) -> LpQuote:
        return parse_quote(answer, request, self._config)

    async def send_order(self, order: Order, base: Amount, quote: Amount) -> Answer:
        return await self._client.accept_quote(order.reference)

    def read_execution(self, answer: Answer, order: Order) -> Filled | Rejected | Working:
        return parse_order(answer, order, self._config)

    async def ask_state(self, order: Order) -> Answer:
        return await self._client.order_status(order.reference)

    def read_state(self, answer: Answer, order: Order) -> Filled | Rejected | Working | None:
        return None if is_not_found(answer) else parse_order(answer, order, self._config)
