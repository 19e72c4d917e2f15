"""Keeping the house's book: what every settled trade earned, cost and left at an LP."""

from dataclasses import dataclass

from domain.amount import Amount
from domain.ids import AccountId, EntryId, TenantId, TradeId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from domain.trade.house import house_changes
from domain.trade.settlement import Role
from domain.trade.trade import Trade
from ports.consumer import LoggedEvent
from ports.ids import IdSource
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

CONSUMER = "house_book"
SETTLED = "trade.settled"

_KIND = {
    Role.LP: AccountKind.LP,
    Role.PLATFORM_FEE: AccountKind.PLATFORM_FEE,
    Role.SLIPPAGE: AccountKind.SLIPPAGE,
}


@dataclass(frozen=True, slots=True)
class MirrorTrade:
    """Mirrors a trade against the tenant's external account in the house's book, once.

    A transfer never crosses books, so the house's book says the same again: its accounts of a kind
    are the sum of the tenants' accounts of that kind.
    """

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    directory: TenantDirectory

    async def __call__(self, event: LoggedEvent) -> None:
        """Deal with one event of the log; every type but a settled trade is passed over."""
        trade: Trade | None = None
        if event.type == SETTLED:
            async with self.units_of_work.begin(event.tenant_id) as uow:
                trade = await uow.trades.get(TradeId.parse(event.subject))
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            is_new = await uow.inbox.receive(CONSUMER, event)
            if is_new and trade is not None:
                await self._mirror(uow, trade)

    async def give_up(self, event: LoggedEvent, reason: str) -> None:
        """Pass over an event that cannot be dealt with, and keep that for a person."""
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            await uow.inbox.bury(CONSUMER, event, reason=reason)

    async def _mirror(self, uow: UnitOfWork, trade: Trade) -> None:
        changes = [
            (_key(role, trade, amount), amount)
            for role, amounts in house_changes(trade).items()
            for amount in amounts
        ]
        if not changes:
            return
        keys = [key for key, _ in changes]
        outside = {key: _outside(trade.tenant_id, key) for key in keys}
        accounts = await uow.ledger.open_accounts([*keys, *set(outside.values())])
        await uow.ledger.commit(
            Entry(
                id=self.ids.new(EntryId),
                transfers=tuple(
                    self._transfer(accounts[key], accounts[outside[key]], amount, key.kind)
                    for key, amount in changes
                ),
                source=EntrySource.TRADE,
                reference=str(trade.id),
                effective_at=trade.ended_at or await uow.now(),
            )
        )

    def _transfer(
        self, mirror: AccountId, outside: AccountId, amount: Amount, purpose: str
    ) -> Transfer:
        rises = amount.is_positive
        return Transfer(
            id=self.ids.new(TransferId),
            debit_account_id=outside if rises else mirror,
            credit_account_id=mirror if rises else outside,
            amount=amount if rises else -amount,
            purpose=purpose,
        )


def _key(role: Role, trade: Trade, amount: Amount) -> AccountKey:
    owner = trade.attempt.lp if role is Role.LP else ""
    return AccountKey(_KIND[role], amount.asset, owner)


def _outside(tenant_id: TenantId, key: AccountKey) -> AccountKey:
    return AccountKey(AccountKind.EXTERNAL, key.asset, str(tenant_id))
