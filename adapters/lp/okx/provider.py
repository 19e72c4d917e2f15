"""OKX Convert as a liquidity provider."""

from datetime import datetime
from functools import partial

from adapters.lp.http import Answer, LpSessions
from adapters.lp.okx.client import OkxClient
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.okx.parse import parse_history, parse_quote, parse_trade, read_reference
from adapters.lp.outcome import not_found, outcome_from, price_from, status_from
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
    LpStatus,
)


class OkxLp(LiquidityProvider):
    """One account at OKX."""

    def __init__(self, config: OkxLpConfig, sessions: LpSessions, clock: Clock) -> None:
        self._config = config
        self._client = OkxClient(config, sessions, clock)

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self._config.capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        fields = {
            "baseCcy": self._config.code_of(request.instrument.base),
            "quoteCcy": self._config.code_of(request.instrument.quote),
            "side": request.side.value,
            "rfqSz": request.fixed.value,
            "rfqSzCcy": self._config.code_of(request.fixed.asset),
            "clQReqId": request.id.uuid.hex,
        }
        return await price_from(
            self._client.estimate_quote(fields),
            lambda answer: parse_quote(answer, request, self._config),
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
        quote_id, size_currency = read_reference(reference)
        base_currency = self._config.code_of(instrument.base)
        request_id = _request_id(client_order_id)
        fields = {
            "quoteId": quote_id,
            "baseCcy": base_currency,
            "quoteCcy": self._config.code_of(instrument.quote),
            "side": side.value,
            "sz": (base if size_currency == base_currency else quote).value,
            "szCcy": size_currency,
            "clTReqId": request_id,
        }
        return await outcome_from(
            self._client.trade(fields),
            partial(
                parse_trade,
                client_request_id=request_id,
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
        request_id = _request_id(client_order_id)

        def read(answer: Answer) -> LpStatus:
            found = parse_history(
                answer,
                client_request_id=request_id,
                instrument=instrument,
                side=side,
                config=self._config,
            )
            return found or not_found(
                answer,
                self._config,
                venue_time=answer.date,
                lp_quote_expires_at=lp_quote_expires_at,
            )

        return await status_from(self._client.history(request_id), read)


def _request_id(client_order_id: AttemptId) -> str:
    """Return our id as OKX takes it: up to 32 letters and digits."""
    return client_order_id.uuid.hex
