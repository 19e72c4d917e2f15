"""Halting and opening: one decision of an operator about one thing."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.errors import InvalidArgument
from domain.ids import TenantId, TradingStateChangeId
from domain.trading_state import (
    ACTION_TO,
    TRANSITIONS,
    Traded,
    TradedKind,
    TradingState,
    TradingStateChange,
)
from domain.transition import advance
from ports.ids import IdSource
from ports.page import Page, PageRequest
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

CHANGED: Final = "trading_state.changed"


@dataclass(frozen=True, slots=True)
class ChangeTradingState:
    """What is decided about a tenant is kept and told in its book, everything else in the house's.

    Nobody is told to look: every process reads the states again within a second.
    """

    once: Once
    ids: IdSource
    announce: Announce
    directory: TenantDirectory

    async def of_instrument(
        self, call: Call, code: str, state: TradingState, reason: str
    ) -> TradingStateChange:
        """Return the decision; raises `InstrumentNotFound` or `IllegalTransition`."""
        return await self._change(
            call.on(self.directory.house_id), Traded(TradedKind.INSTRUMENT, code), state, reason
        )

    async def of_lp(
        self, call: Call, name: str, state: TradingState, reason: str
    ) -> TradingStateChange:
        """Return the decision; raises `UnknownLp` or `IllegalTransition`."""
        return await self._change(
            call.on(self.directory.house_id), Traded(TradedKind.LP, name), state, reason
        )

    async def of_tenant(
        self, call: Call, tenant_id: TenantId, state: TradingState, reason: str
    ) -> TradingStateChange:
        """Return the decision; raises `TenantNotFound` or `IllegalTransition`."""
        if tenant_id == self.directory.house_id:
            raise InvalidArgument("the house stays active", field="tenant_id")
        traded = Traded(TradedKind.TENANT, str(tenant_id))
        return await self._change(call.on(tenant_id), traded, state, reason)

    async def _change(
        self, call: Call, traded: Traded, state: TradingState, reason: str
    ) -> TradingStateChange:
        change_id = self.ids.new(TradingStateChangeId)

        async def effect(uow: UnitOfWork) -> Change[TradingStateChange]:
            before = await uow.trading_states.get(traded)
            change = TradingStateChange(
                id=change_id,
                traded=traded,
                from_state=before,
                to_state=advance(TRANSITIONS, before, ACTION_TO[state]),
                reason=reason,
                changed_by=call.api_key_id,
                changed_at=await uow.now(),
            )
            await uow.trading_states.save(change)
            await self.announce(
                uow,
                CHANGED,
                change,
                correlation_id=call.correlation_id,
                now=change.changed_at,
            )
            return Change(change, after=change)

        async def replay(uow: UnitOfWork, id: UUID) -> TradingStateChange:
            return await uow.trading_states.find(TradingStateChangeId(id))

        return await self.once(call, change_id, effect, replay)


@dataclass(frozen=True, slots=True)
class ListTradingStateChanges:
    """Decisions about a tenant; the house has those about LPs and instruments."""

    units_of_work: UnitOfWorkFactory

    async def __call__(self, tenant_id: TenantId, page: PageRequest) -> Page[TradingStateChange]:
        """Return decisions, the newest first, or raise `TenantNotFound`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            return await uow.trading_states.list(page)
