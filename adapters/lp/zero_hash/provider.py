"""Zero Hash as a liquidity provider."""

from uuid import UUID

from adapters.lp.http import Answer, LpSessions
from adapters.lp.provider import Order, VenueLp
from adapters.lp.zero_hash.client import ZeroHashClient
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from adapters.lp.zero_hash.parse import parse_execution, parse_quote, parse_trades
from domain.amount import Amount
from domain.ids import AttemptId, LpQuoteRequestId
from domain.trade.outcome import Filled
from ports.clock import Clock
from ports.liquidity import LpQuote, LpQuoteRequest


class ZeroHashLp(VenueLp[ZeroHashLpConfig]):
    """One participant's account at Zero Hash."""

    def __init__(self, config: ZeroHashLpConfig, sessions: LpSessions, clock: Clock) -> None:
        super().__init__(config)
        self._client = ZeroHashClient(config, sessions, clock)

    async def ask_price(self, request: LpQuoteRequest) -> Answer:
        fields = {
            "side": request.side.value,
            "participant_code": self._config.participant_code,
            "account_label": self._config.account_label,
            "underlying": self._config.code_of(request.instrument.base),
            "quoted_currency": self._config.code_of(request.instrument.quote),
            "quantity" if request.is_base else "total": request.fixed.value,
        }
        return await self._client.request_quote(_request_id(request.id), fields)

    def read_price(self, answer: Answer, request: LpQuoteRequest) -> LpQuote:
        return parse_quote(answer, request, self._config)

    async def send_order(self, order: Order, base: Amount, quote: Amount) -> Answer:
        return await self._client.execute(_request_id(order.client_order_id), order.reference)

    def read_execution(self, answer: Answer, order: Order) -> Filled:
        return parse_execution(answer, order, self._config)

    async def ask_state(self, order: Order) -> Answer:
        return await self._client.find_trades(order.reference)

    def read_state(self, answer: Answer, order: Order) -> Filled | None:
        return parse_trades(answer, order, self._config)


def _request_id(id: AttemptId | LpQuoteRequestId) -> UUID:
    """Return our id as Zero Hash takes it, a UUID that says that it is of version 4."""
    return UUID(bytes=id.bytes, version=4)
