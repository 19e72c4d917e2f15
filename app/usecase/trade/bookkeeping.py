"""Turns a trade's movements, told by role, into ledger entries on the accounts of its book."""

from collections.abc import Mapping, Sequence

from domain.asset import Asset
from domain.ids import AccountId, EntryId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer, TransferKind
from domain.party import Party
from domain.trade.settlement import Movement, Role, hold, release, settlement
from domain.trade.trade import Trade
from ports.unit_of_work import UnitOfWork


async def hold_funds(uow: UnitOfWork, trade: Trade) -> None:
    """Reserve all that the party gives, or raise `InsufficientFunds`."""
    accounts = await _accounts(uow, trade, [hold(trade)])
    entry = _entry(trade, trade.ledger_ids.hold_entry, [_hold(trade, accounts)])
    await uow.ledger.commit(entry, is_new=True)


async def release_funds(uow: UnitOfWork, trade: Trade) -> None:
    """Give the hold back in full.

    It is written with the trade's one rejection, so its ids are new and the hold unresolved.
    """
    movement = release(trade)
    accounts = await _accounts(uow, trade, [movement])
    void = _transfer(
        trade.ledger_ids.release,
        movement,
        accounts,
        TransferKind.VOID,
        pending_id=trade.ledger_ids.hold,
    )
    entry = _entry(trade, trade.ledger_ids.release_entry, [void])
    await uow.ledger.commit(entry, is_new=True, pending=[_hold(trade, accounts)])


async def settle_funds(uow: UnitOfWork, trade: Trade) -> None:
    """Post the hold and everything that follows from the fill, as one entry.

    It is written with the trade's one settlement, so its ids are new and the hold unresolved.
    """
    movements = settlement(trade)
    accounts = await _accounts(uow, trade, movements)
    first, *others = movements
    ids = trade.ledger_ids.settlement
    transfers = [
        _transfer(ids[0], first, accounts, TransferKind.POST, pending_id=trade.ledger_ids.hold),
        *(
            _transfer(transfer_id, movement, accounts, TransferKind.REGULAR)
            for transfer_id, movement in zip(ids[1:], others, strict=False)
        ),
    ]
    assert len(transfers) == len(movements)
    entry = _entry(trade, trade.ledger_ids.settlement_entry, transfers)
    await uow.ledger.commit(entry, is_new=True, pending=[_hold(trade, accounts)])


def _hold(trade: Trade, accounts: Mapping[tuple[Role, Asset], AccountId]) -> Transfer:
    return _transfer(trade.ledger_ids.hold, hold(trade), accounts, TransferKind.PENDING)


def _entry(trade: Trade, id: EntryId, transfers: Sequence[Transfer]) -> Entry:
    return Entry(
        id=id,
        transfers=tuple(transfers),
        source=EntrySource.TRADE,
        reference=str(trade.id),
    )


def party_key(party: Party, asset: Asset) -> AccountKey:
    """Return the name of a party's account in one asset."""
    if party.customer_id is None:
        return AccountKey(AccountKind.TREASURY, asset)
    return AccountKey(AccountKind.CUSTOMER, asset, str(party.customer_id))


def _key(role: Role, trade: Trade, asset: Asset) -> AccountKey:
    match role:
        case Role.PARTY:
            return party_key(trade.party, asset)
        case Role.LP:
            return AccountKey(AccountKind.LP, asset, trade.attempt.lp)
        case Role.CLEARING:
            return AccountKey(AccountKind.TRADE_CLEARING, asset)
        case Role.PLATFORM_FEE:
            return AccountKey(AccountKind.PLATFORM_FEE, asset)
        case Role.TENANT_MARKUP:
            return AccountKey(AccountKind.TENANT_MARKUP, asset)
        case Role.SLIPPAGE:
            return AccountKey(AccountKind.SLIPPAGE, asset)


async def _accounts(
    uow: UnitOfWork, trade: Trade, movements: Sequence[Movement]
) -> Mapping[tuple[Role, Asset], AccountId]:
    keys = {
        (role, movement.amount.asset): _key(role, trade, movement.amount.asset)
        for movement in movements
        for role in (movement.debit, movement.credit)
    }
    ids = await uow.ledger.open_accounts(list(keys.values()))
    return {name: ids[key] for name, key in keys.items()}


def _transfer(
    id: TransferId,
    movement: Movement,
    accounts: Mapping[tuple[Role, Asset], AccountId],
    kind: TransferKind,
    *,
    pending_id: TransferId | None = None,
) -> Transfer:
    asset = movement.amount.asset
    return Transfer(
        id=id,
        debit_account_id=accounts[movement.debit, asset],
        credit_account_id=accounts[movement.credit, asset],
        amount=movement.amount,
        kind=kind,
        pending_id=pending_id,
        purpose=movement.purpose,
    )
