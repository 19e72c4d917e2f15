"""What becomes of a proposed settlement: a second key, the payment, or its end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import EntryId, LpSettlementId, TransferId
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.transfer import Transfer
from domain.liquidity.lp_settlement import LpSettlement, LpSettlementAction, LpSettlementLeg
from ports.ids import IdSource
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork

PURPOSE: Final = "lp_settlement"

_Decide = Callable[[UnitOfWork, LpSettlement], Awaitable[LpSettlement]]


@dataclass(frozen=True, slots=True)
class ApproveLpSettlement:
    """A second key says that it may be paid; nothing is booked."""

    once: Once
    directory: TenantDirectory

    async def __call__(self, call: Call, settlement_id: LpSettlementId) -> LpSettlement:
        """Return the approved settlement.

        Raises `LpSettlementNotFound`, `LpSettlementSecondKeyRequired` or `IllegalTransition`.
        """

        async def approve(uow: UnitOfWork, settlement: LpSettlement) -> LpSettlement:
            return settlement.approve(by=call.api_key_id, now=await uow.now())

        return await _decide(self.once, self.directory, call, settlement_id, approve)


@dataclass(frozen=True, slots=True)
class CancelLpSettlement:
    """Nothing was booked, so nothing is taken back."""

    once: Once
    directory: TenantDirectory

    async def __call__(self, call: Call, settlement_id: LpSettlementId) -> LpSettlement:
        """Return the canceled settlement, or raise `LpSettlementNotFound`, `IllegalTransition`."""

        async def cancel(uow: UnitOfWork, settlement: LpSettlement) -> LpSettlement:
            return settlement.cancel(by=call.api_key_id, now=await uow.now())

        return await _decide(self.once, self.directory, call, settlement_id, cancel)


@dataclass(frozen=True, slots=True)
class SettleLpSettlement:
    """The end of the settlement and all of its entries are one transaction."""

    once: Once
    ids: IdSource
    announce: Announce
    directory: TenantDirectory

    async def __call__(
        self, call: Call, settlement_id: LpSettlementId, *, reference: str, evidence: str
    ) -> LpSettlement:
        """Return the settled settlement.

        Raises `LpSettlementNotFound`, `IllegalTransition` or the ledger's refusal.
        """

        async def settle(uow: UnitOfWork, settlement: LpSettlement) -> LpSettlement:
            settlement.require(LpSettlementAction.SETTLE)
            entries = await self._entries(uow, settlement, call, reference)
            decisions = await uow.ledger.commit_new(entries)
            await self.announce.entries(uow, decisions, correlation_id=call.correlation_id)
            return settlement.settle(
                by=call.api_key_id,
                now=max(decision.recorded_at for decision in decisions),
                reference=reference,
                evidence=evidence,
                entries=[entry.id for entry in entries],
            )

        return await _decide(self.once, self.directory, call, settlement_id, settle)

    async def _entries(
        self, uow: UnitOfWork, settlement: LpSettlement, call: Call, reference: str
    ) -> list[Entry]:
        """Return an entry for each leg: what the LP pays us is debited to the rail's account."""
        assets = [leg.amount.asset for leg in settlement.legs]
        at_lp = {asset: AccountKey(AccountKind.LP, asset, settlement.lp) for asset in assets}
        at_rail = {
            asset: AccountKey(AccountKind.EXTERNAL, asset, settlement.rail) for asset in assets
        }
        ids = await uow.ledger.open_accounts([*at_lp.values(), *at_rail.values()])

        def entry(leg: LpSettlementLeg) -> Entry:
            lp, rail = ids[at_lp[leg.amount.asset]], ids[at_rail[leg.amount.asset]]
            is_paid_to_us = leg.amount.is_positive
            transfer = Transfer(
                id=self.ids.new(TransferId),
                debit_account_id=rail if is_paid_to_us else lp,
                credit_account_id=lp if is_paid_to_us else rail,
                amount=leg.amount if is_paid_to_us else -leg.amount,
                purpose=PURPOSE,
            )
            return Entry(
                id=self.ids.new(EntryId),
                transfers=(transfer,),
                source=EntrySource.OPERATOR,
                reference=str(call.api_key_id),
                description=reference,
            )

        return [entry(leg) for leg in settlement.legs]


async def _decide(
    once: Once, directory: TenantDirectory, call: Call, id: LpSettlementId, decide: _Decide
) -> LpSettlement:
    async def effect(uow: UnitOfWork) -> Change[LpSettlement]:
        before = await uow.lp_settlements.get(id, lock=True)
        decided = await decide(uow, before)
        await uow.lp_settlements.save(decided)
        return Change(decided, after=decided, before=before)

    async def replay(uow: UnitOfWork, _id: UUID) -> LpSettlement:
        return await uow.lp_settlements.get(id)

    return await once(call.on(directory.house_id), id, effect, replay)
