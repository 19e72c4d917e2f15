"""Keeping the house's book: what every settled trade earned, cost and left at an LP, and what an
LP executed late."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.usecase.event.replay_dead_letters import Receive
from app.usecase.house.draft import Change, Draft, commit_drafts
from app.usecase.house.take_inventory import inventory_taken
from app.usecase.reconciliation.raise_break import BREAK_RAISED
from domain.amount import Amount
from domain.ids import BreakId, TenantId, TradeId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import EntrySource
from domain.reconciliation.break_ import Break, BreakKind
from domain.trade.house import house_changes
from domain.trade.settlement import Role
from domain.trade.trade import Trade
from ports.consumer import LoggedEvent
from ports.ids import IdSource
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

CONSUMER = "house_book"
SETTLED = "trade.settled"
NOTED = frozenset({SETTLED, BREAK_RAISED})
"""Types of events that may have an effect, and so are noted."""

_KIND = {
    Role.LP: AccountKind.LP,
    Role.PLATFORM_FEE: AccountKind.PLATFORM_FEE,
    Role.SLIPPAGE: AccountKind.SLIPPAGE,
}


@dataclass(frozen=True, slots=True)
class MirrorTrades:
    """Mirrors trades against the tenant's external account in the house's book, each once.

    A transfer never crosses books, so the house's book says the same again: its accounts of a kind
    are the sum of the tenants' accounts of that kind.
    """

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    directory: TenantDirectory

    @property
    def types(self) -> frozenset[str]:
        """Types of events that may have an effect."""
        return NOTED

    async def __call__(
        self, events: Sequence[LoggedEvent], *, receive: Receive | None = None
    ) -> None:
        """Deal with successive events of one tenant; settled trades and late fills have an effect.

        Whether there is to be one is decided by the position in the tenant's events, or by
        `receive` where an event is dealt with out of its turn.
        """
        noted = [event for event in events if event.type in NOTED]
        things = await self._things(events[0].tenant_id, noted)
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            if await (
                uow.inbox.receive(CONSUMER, events, noted=noted)
                if receive is None
                else receive(uow)
            ):
                await self._take_up(uow, things)

    async def _take_up(self, uow: UnitOfWork, things: Sequence[Trade | Break]) -> None:
        await commit_drafts(uow, _drafts(things), self.ids)

    async def _things(
        self, tenant_id: TenantId, noted: Sequence[LoggedEvent]
    ) -> Sequence[Trade | Break]:
        if not noted:
            return []
        settled = [TradeId.parse(event.subject) for event in noted if event.type == SETTLED]
        async with self.units_of_work.begin(tenant_id) as uow:
            trades = await uow.trades.get_all(settled)
            return [
                trades[TradeId.parse(event.subject)]
                if event.type == SETTLED
                else await uow.breaks.get(BreakId.parse(event.subject))
                for event in noted
            ]


def _drafts(things: Iterable[Trade | Break]) -> Iterator[Draft]:
    for thing in things:
        if isinstance(thing, Trade):
            yield _mirrored(thing)
        elif thing.kind is BreakKind.LATE_FILL:
            yield inventory_taken(thing)


def _mirrored(trade: Trade) -> Draft:
    changes = [
        Change(
            account=key,
            against=_outside(trade.tenant_id, key),
            amount=amount,
            purpose=key.kind,
        )
        for role, amounts in house_changes(trade).items()
        for amount in amounts
        for key in [_key(role, trade, amount)]
    ]
    orders = (str(trade.attempt.id), trade.attempt.venue_order_id)
    return Draft(changes, EntrySource.TRADE, str(trade.id), orders)


def _key(role: Role, trade: Trade, amount: Amount) -> AccountKey:
    owner = trade.attempt.lp if role is Role.LP else ""
    return AccountKey(_KIND[role], amount.asset, owner)


def _outside(tenant_id: TenantId, key: AccountKey) -> AccountKey:
    return AccountKey(AccountKind.EXTERNAL, key.asset, str(tenant_id))
