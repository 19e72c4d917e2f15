"""VALR as a liquidity provider.

Its prices are not held, so a price of ours carries a margin for what may change until it is
executed, and the order has it as its limit, all or none: it is filled at the price or better, or
not at all.
"""

from datetime import datetime
from functools import partial

from adapters.lp.http import Answer, LpSessions
from adapters.lp.outcome import not_found, outcome_from, price_from, status_from
from adapters.lp.valr.client import ValrClient
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.parse import is_not_found, parse_quote, parse_summary, read_reference
from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import AttemptId
from domain.side import Side
from ports.clock import Clock
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpStatus,
)


class ValrLp(LiquidityProvider):
    """One account at VALR."""

    def __init__(self, config: ValrLpConfig, sessions: LpSessions, clock: Clock) -> None:
        self._config = config
        self._client = ValrClient(config, sessions, clock)

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self._config.capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        """Return a price; also raises `LpRefused` where the quote amount is what is fixed.

        An order at a better price than its limit would take or bring another quote amount.
        """
        if not request.is_base:
            raise self._refused("FIXED_QUOTE_AMOUNT")
        if request.instrument.code not in self._config.tick_sizes:
            raise self._refused("UNKNOWN_INSTRUMENT")
        now = self._client.now()
        return await price_from(
            self._client.order_book(self._config.pair_of(request.instrument)),
            lambda answer: parse_quote(answer, request, self._config, now=now),
            lp=self.name,
            request=request,
        )

    async def execute(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        base: Amount,
        quote: Amount,
    ) -> ExecutionOutcome:
        quantity, limit = read_reference(reference)
        customer_order_id = str(client_order_id.uuid)
        fields = {
            "side": side.value.upper(),
            "quantity": quantity,
            "price": limit,
            "pair": self._config.pair_of(instrument),
            "timeInForce": "FOK",
            "customerOrderId": customer_order_id,
        }
        return await outcome_from(
            self._client.order(fields),
            partial(
                parse_summary,
                customer_order_id=customer_order_id,
                instrument=instrument,
                side=side,
                config=self._config,
            ),
        )

    async def get_status(
        self,
        *,
        client_order_id: AttemptId,
        reference: str,
        instrument: Instrument,
        side: Side,
        lp_quote_expires_at: datetime,
    ) -> LpStatus:
        customer_order_id = str(client_order_id.uuid)

        def read(answer: Answer) -> LpStatus:
            if is_not_found(answer):
                return not_found(
                    answer,
                    self._config,
                    venue_time=answer.date,
                    lp_quote_expires_at=lp_quote_expires_at,
                )
            return parse_summary(
                answer,
                customer_order_id=customer_order_id,
                instrument=instrument,
                side=side,
                config=self._config,
            )

        return await status_from(self._client.order_summary(customer_order_id), read)

    def _refused(self, code: str) -> LpRefused:
        return LpRefused(f"{self.name} gives no price: {code}", lp=self.name, code=code)
