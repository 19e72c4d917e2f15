"""What all adapters are: three calls of a venue, and one way to judge their answers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from adapters.lp.config import LpConfig
from adapters.lp.http import Answer
from adapters.lp.outcome import not_found, outcome_from, price_from, status_from
from adapters.lp.reading import NoPrice
from domain.amount import Amount, TooManyDigits
from domain.asset import Instrument
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.outcome import Filled, Rejected
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpStatus,
    Working,
)

Config = TypeVar("Config", bound=LpConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an answer must be about; see `LiquidityProvider.execute`."""

    client_order_id: AttemptId
    reference: str
    instrument: Instrument
    side: Side


class VenueLp(LiquidityProvider, ABC, Generic[Config]):
    """An adapter, once it says how its venue is asked and how the answers read.

    What asks raises `NotConnected` or `NoAnswer`; what reads raises `BadAnswer` for all that proves
    nothing, inside `of_taken_order` once the answer has named our order.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def capabilities(self) -> LpCapabilities:
        return self._config.capabilities

    @abstractmethod
    async def ask_price(self, request: LpQuoteRequest) -> Answer:
        """Ask for a price, or raise `NoPrice` where there cannot be one."""

    @abstractmethod
    def read_price(self, answer: Answer, request: LpQuoteRequest) -> LpQuote:
        """Read the price, or raise `NoPrice` or `BadAnswer`."""

    @abstractmethod
    async def send_order(self, order: Order, base: Amount, quote: Amount) -> Answer:
        """Send what may execute; `NotConnected` only if no byte of it left."""

    @abstractmethod
    def read_execution(self, answer: Answer, order: Order) -> Filled | Rejected | Working:
        """Read what became of the order, or raise `BadAnswer`."""

    @abstractmethod
    async def ask_state(self, order: Order) -> Answer:
        """Ask what became of the order."""

    @abstractmethod
    def read_state(self, answer: Answer, order: Order) -> Filled | Rejected | Working | None:
        """Read the same, None where the venue has no such order, or raise `BadAnswer`."""

    def read_clock(self, answer: Answer) -> datetime | None:
        """Read the venue's clock, by which absence is judged; where it says none, nothing is."""
        return answer.date

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        return await price_from(
            self._ask_price(request),
            lambda answer: self.read_price(answer, request),
            lp=self.name,
            request=request,
        )

    async def _ask_price(self, request: LpQuoteRequest) -> Answer:
        if request.is_base and not self.capabilities.takes(request.fixed):
            raise NoPrice(TooManyDigits.reason)
        return await self.ask_price(request)

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
        order = Order(
            client_order_id=client_order_id, reference=reference, instrument=instrument, side=side
        )
        return await outcome_from(
            self.send_order(order, base, quote), lambda answer: self.read_execution(answer, order)
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
        order = Order(
            client_order_id=client_order_id, reference=reference, instrument=instrument, side=side
        )

        def read(answer: Answer) -> LpStatus:
            return self.read_state(answer, order) or not_found(
                answer,
                self._config,
                venue_time=self.read_clock(answer),
                lp_quote_expires_at=lp_quote_expires_at,
            )

        return await status_from(self.ask_state(order), read)
