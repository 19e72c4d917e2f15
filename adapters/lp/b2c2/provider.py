"""B2C2 as a liquidity provider.

Its prices are held for some seconds, and told per whole unit of the base. An order on one repeats
it, all or none.
"""

from adapters.lp.b2c2.client import B2c2Client
from adapters.lp.b2c2.config import B2c2LpConfig
from adapters.lp.b2c2.parse import (
    Reference,
    is_not_found,
    parse_order,
    parse_quote,
    quantity_text,
)
from adapters.lp.http import Answer, LpSessions
from adapters.lp.provider import Order, VenueLp
from adapters.lp.reading import NoPrice
from domain.amount import Amount
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import LpQuote, LpQuoteRequest


class B2c2Lp(VenueLp[B2c2LpConfig]):
    """One account at B2C2."""

    def __init__(self, config: B2c2LpConfig, sessions: LpSessions) -> None:
        super().__init__(config)
        self._client = B2c2Client(config, sessions)

    async def ask_price(self, request: LpQuoteRequest) -> Answer:
        if not request.is_base:
            # The venue prices amounts of the base, and what one comes to is known only then.
            raise NoPrice("FIXED_QUOTE_AMOUNT")
        return await self._client.request_for_quote(
            {
                "instrument": self._config.name_of(request.instrument),
                "side": request.side.value,
                "quantity": quantity_text(request.fixed),
                "client_rfq_id": str(request.id.uuid),
            }
        )

    def read_price(self, answer: Answer, request: LpQuoteRequest) -> LpQuote:
        return parse_quote(answer, request, self._config)

    async def send_order(self, order: Order, base: Amount, quote: Amount) -> Answer:
        reference = Reference.read(order.reference)
        return await self._client.order(
            {
                "instrument": self._config.name_of(order.instrument),
                "side": order.side.value,
                "quantity": quantity_text(base),
                "client_order_id": str(order.client_order_id.uuid),
                "price": reference.price,
                "order_type": "FOK",
                "valid_until": reference.valid_until,
                "rfq_id": reference.rfq_id,
            }
        )

    def read_execution(self, answer: Answer, order: Order) -> Filled | Rejected:
        return parse_order(answer, order, self._config)

    async def ask_state(self, order: Order) -> Answer:
        return await self._client.find_order(str(order.client_order_id.uuid))

    def read_state(self, answer: Answer, order: Order) -> Filled | Rejected | None:
        return None if is_not_found(answer) else parse_order(answer, order, self._config)
