"""The sandbox venue as a liquidity provider."""

from datetime import datetime
from functools import partial

from adapters.lp.http import Answer, LpSessions
from adapters.lp.outcome import not_found, outcome_from, price_from, status_from
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
from domain.asset import Instrument
from domain.ids import AttemptId
from domain.side import Side
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpStatus,
)


class SandboxLp(LiquidityProvider):
    """One sandbox venue."""

    def __init__(self, config: SandboxLpConfig, sessions: LpSessions) -> None:
        self._config = config
        self._client = SandboxClient(config, sessions)

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self._config.capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        fields = {
            "client_quote_id": str(request.id),
            "base_asset": request.instrument.base.code,
            "quote_asset": request.instrument.quote.code,
            "side": request.side.value,
            "base_amount" if request.is_base else "quote_amount": request.fixed.value,
        }
        margin = self._config.quote_safety_margin
        return await price_from(
            self._client.create_quote(fields),
            lambda answer: parse_quote(answer, request, margin=margin),
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
        fields = {"client_order_id": str(client_order_id), "quote_id": reference}
        return await outcome_from(
            self._client.create_order(fields),
            partial(
                parse_execution, client_order_id=client_order_id, instrument=instrument, side=side
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
        def read(answer: Answer) -> LpStatus:
            if is_not_found(answer):
                return not_found(
                    answer,
                    self._config,
                    venue_time=parse_time(answer),
                    lp_quote_expires_at=lp_quote_expires_at,
                )
            return parse_order(
                answer, client_order_id=client_order_id, instrument=instrument, side=side
            )

        return await status_from(self._client.get_order(str(client_order_id)), read)
