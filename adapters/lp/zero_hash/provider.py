"""Zero Hash as a liquidity provider."""

from datetime import datetime
from functools import partial
from uuid import UUID

from adapters.lp.http import Answer, LpSessions
from adapters.lp.outcome import not_found, outcome_from, price_from, status_from
from adapters.lp.zero_hash.client import ZeroHashClient
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from adapters.lp.zero_hash.parse import parse_execution, parse_quote, parse_trades
from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import AttemptId, LpQuoteRequestId
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


class ZeroHashLp(LiquidityProvider):
    """One participant's account at Zero Hash."""

    def __init__(self, config: ZeroHashLpConfig, sessions: LpSessions, clock: Clock) -> None:
        self._config = config
        self._client = ZeroHashClient(config, sessions, clock)

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self._config.capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        fields = {
            "side": request.side.value,
            "participant_code": self._config.participant_code,
            "account_label": self._config.account_label,
            "underlying": self._config.code_of(request.instrument.base),
            "quoted_currency": self._config.code_of(request.instrument.quote),
            "quantity" if request.is_base else "total": request.fixed.value,
        }
        return await price_from(
            self._client.request_quote(_request_id(request.id), fields),
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
        return await outcome_from(
            self._client.execute(_request_id(client_order_id), reference),
            partial(
                parse_execution,
                quote_id=reference,
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
        def read(answer: Answer) -> LpStatus:
            found = parse_trades(
                answer, quote_id=reference, instrument=instrument, side=side, config=self._config
            )
            return found or not_found(
                answer,
                self._config,
                venue_time=answer.date,
                lp_quote_expires_at=lp_quote_expires_at,
            )

        asking = self._client.find_trades(_request_id(client_order_id), reference)
        return await status_from(asking, read)


def _request_id(id: AttemptId | LpQuoteRequestId) -> UUID:
    """Return our id as Zero Hash takes it, a UUID that says that it is of version 4."""
    return UUID(bytes=id.bytes, version=4)
