"""The sandbox venue as a liquidity provider.

What is known of an execution decides whether another venue may be asked, so certainty is never
assumed: not sent needs a connection that was never made, rejected needs a verdict from a list, and
filled needs an answer that names our order; all else is unknown.
"""

from datetime import datetime
from typing import Final

from adapters.lp.sandbox.client import (
    Answer,
    LpSessions,
    NoAnswer,
    NotConnected,
    SandboxClient,
    evidence,
)
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.parse import (
    NO_PRICE,
    BadAnswer,
    parse_error,
    parse_order,
    parse_quote,
    parse_time,
    rejection,
)
from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.outcome import ORDER_NOT_FOUND, Absent, NotSent, Rejected, Unknown
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpStatus,
    LpUnavailable,
    Working,
)

_OK: Final = 200
_NOT_FOUND: Final = 404


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
        is_base = request.fixed.asset == request.instrument.base
        assert is_base or request.fixed.asset == request.instrument.quote
        try:
            answer = await self._client.create_quote(
                {
                    "client_quote_id": str(request.id),
                    "base_asset": request.instrument.base.code,
                    "quote_asset": request.instrument.quote.code,
                    "side": request.side.value,
                    "base_amount" if is_base else "quote_amount": request.fixed.value,
                }
            )
            if answer.status == _OK:
                return parse_quote(answer, request, margin=self._config.quote_safety_margin)
            code = parse_error(answer).code if _is_refusal(answer) else ""
        except NotConnected as error:
            raise self._unavailable("LP_UNREACHABLE") from error
        except (NoAnswer, BadAnswer) as error:
            raise self._unavailable(error.reason) from error
        if code in NO_PRICE:
            raise LpRefused(f"{self.name} gives no price: {code}", lp=self.name, code=code)
        raise self._unavailable(f"HTTP_{answer.status}")

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
        try:
            answer = await self._client.create_order(
                {"client_order_id": str(client_order_id), "quote_id": reference}
            )
        except NotConnected as error:
            return NotSent(reason="LP_UNREACHABLE", evidence=str(error))
        except NoAnswer as error:
            return Unknown(reason=error.reason, evidence=str(error))
        try:
            if answer.status == _OK:
                order = parse_order(
                    answer, client_order_id=client_order_id, instrument=instrument, side=side
                )
                if isinstance(order, Working):
                    return Unknown(reason="LP_ORDER_WORKING", evidence=order.evidence)
                return order
            if _is_refusal(answer):
                return _verdict(answer, client_order_id)
        except BadAnswer as error:
            return _not_understood(error, answer)
        return Unknown(reason=f"LP_HTTP_{answer.status}", evidence=answer.evidence)

    async def get_status(
        self,
        *,
        client_order_id: AttemptId,
        instrument: Instrument,
        side: Side,
        lp_quote_expires_at: datetime,
    ) -> LpStatus:
        try:
            answer = await self._client.get_order(str(client_order_id))
        except NotConnected as error:
            return Unknown(reason="LP_UNREACHABLE", evidence=str(error))
        except NoAnswer as error:
            return Unknown(reason=error.reason, evidence=str(error))
        try:
            if answer.status == _OK:
                return parse_order(
                    answer, client_order_id=client_order_id, instrument=instrument, side=side
                )
            if answer.status == _NOT_FOUND and parse_error(answer).code == "ORDER_NOT_FOUND":
                return self._not_found(answer, lp_quote_expires_at)
        except BadAnswer as error:
            return _not_understood(error, answer)
        return Unknown(reason=f"LP_HTTP_{answer.status}", evidence=answer.evidence)

    def _not_found(self, answer: Answer, lp_quote_expires_at: datetime) -> Absent | Unknown:
        # What we hold as the expiry is the venue's less the margin; absence is judged by its own.
        conclusive_after = self._config.quote_safety_margin + self._config.visibility_window
        passed = parse_time(answer) - lp_quote_expires_at
        if self._config.status_is_authoritative and passed > conclusive_after:
            return Absent(evidence=answer.evidence)
        return Unknown(reason=ORDER_NOT_FOUND, evidence=answer.evidence)

    def _unavailable(self, cause: str) -> LpUnavailable:
        return LpUnavailable(f"{self.name} could not be asked: {cause}", lp=self.name, cause=cause)


def _is_refusal(answer: Answer) -> bool:
    return 400 <= answer.status < 500


def _verdict(answer: Answer, client_order_id: AttemptId) -> Rejected:
    error = parse_error(answer)
    if error.client_order_id not in (None, str(client_order_id)):
        raise BadAnswer("LP_WRONG_ECHO", "client_order_id is not what was asked")
    return rejection(error.code, answer)


def _not_understood(error: BadAnswer, answer: Answer) -> Unknown:
    return Unknown(reason=error.reason, evidence=evidence(f"{error}; {answer.evidence}"))
