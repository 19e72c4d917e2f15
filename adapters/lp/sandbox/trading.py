"""How a venue trades and misbehaves, whatever its wire format."""

from dataclasses import dataclass

from adapters.lp.sandbox.behavior import (
    FILL_DELAY_S,
    ON_LISTING,
    ON_ORDER,
    ON_QUOTE,
    QUOTE_DELAY_S,
    SPOILS_AFTER,
    SPOILS_BEFORE,
    SPOILS_QUOTE,
    Behavior,
    BehaviorSwitch,
)
from adapters.lp.sandbox.book import BookedOrder, OrderStatus
from adapters.lp.sandbox.desk import Desk, Refused, VenueQuote, verdict
from domain.amount import Amount
from domain.side import Side
from ports.clock import Clock


class Spoiled(Exception):
    """The answer is withheld or ruined, in the way of this behavior."""

    def __init__(self, behavior: Behavior) -> None:
        super().__init__(behavior)
        self.behavior = behavior


class Working(Exception):
    """The order is taken and not decided."""


@dataclass(slots=True, kw_only=True, eq=False)
class Trading:
    """What a face translates requests into.

    Attributes:
        deduplicates: whether a known client order id is answered with its first order.
    """

    desk: Desk
    behavior: BehaviorSwitch
    clock: Clock
    deduplicates: bool

    async def price(
        self, *, client_quote_id: str, base: str, quote: str, side: Side, text: str, is_base: bool
    ) -> VenueQuote:
        """Give a price for the amount `text` of the base or of the quote asset.

        Raises `Refused` or `Spoiled`.
        """
        priced = self.desk.price(
            client_quote_id=client_quote_id,
            base=base,
            quote=quote,
            side=side,
            text=text,
            is_base=is_base,
        )
        behavior = self.behavior.take(ON_QUOTE, otherwise=priced.behavior)
        if behavior in SPOILS_QUOTE:
            raise Spoiled(behavior)
        if behavior is Behavior.REFUSE_QUOTE:
            raise Refused(422, "NO_PRICE", "no price is given for this")
        if behavior is Behavior.SLOW:
            await self.clock.sleep(QUOTE_DELAY_S)
        return priced

    async def order(
        self, *, client_order_id: str, quote_id: str, limit: Amount | None = None
    ) -> BookedOrder:
        """Execute, or raise `Refused`, `Spoiled` or `Working`.

        A limit is the worst quote amount at which the order may be filled.
        """
        if self.deduplicates:
            if self.desk.is_working(client_order_id):
                raise Working
            if known := self.desk.find_order(client_order_id):
                if known.order.status is OrderStatus.REJECTED:
                    raise verdict(known.order.code)
                return known
        quote = self.desk.find_quote(quote_id)
        behavior = self.behavior.take(ON_ORDER, otherwise=quote.behavior)
        if behavior in SPOILS_BEFORE:
            raise Spoiled(behavior)
        self.desk.take(quote, client_order_id, behavior, limit=limit)
        if behavior is Behavior.SLOW:
            with self.desk.working(client_order_id):
                await self.clock.sleep(FILL_DELAY_S)
        filled = self.desk.fill(quote, client_order_id, behavior, late_ms=self.behavior.late_ms)
        if behavior in SPOILS_AFTER:
            raise Spoiled(behavior)
        return filled

    async def listing(self, *, with_hidden: bool = False) -> list[BookedOrder]:
        """Return the orders that the status knows, the newest first, or raise `Spoiled`."""
        behavior = self.behavior.take(ON_LISTING, otherwise=Behavior.FILL)
        if behavior is Behavior.SLOW:
            await self.clock.sleep(QUOTE_DELAY_S)
        elif behavior is not Behavior.FILL:
            raise Spoiled(behavior)
        return self.desk.orders(with_hidden=with_hidden)

    def find(self, client_order_id: str) -> BookedOrder | None:
        """Return what the status knows of an order, or raise `Working`."""
        if self.desk.is_working(client_order_id):
            raise Working
        return self.desk.find_visible_order(client_order_id)
