"""Resolving an unknown outcome: one operator proposes, another one approves."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.amount import Amount
from domain.errors import InvalidArgument
from domain.ids import ResolutionId, TradeId
from domain.trade.resolution import Resolution, ResolutionVerdict, require_unknown
from domain.trade.trade import Trade
from ports.ids import IdSource
from ports.trade import TradeLease, TradeRunner
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What an operator found out, and where it is to be seen."""

    verdict: ResolutionVerdict
    venue_order_id: str
    filled_amount: Amount | None
    evidence: str


@dataclass(frozen=True, slots=True)
class ProposeResolution:
    """Nothing moves before a second key has approved."""

    once: Once
    ids: IdSource

    async def __call__(self, call: Call, trade_id: TradeId, finding: Finding) -> Resolution:
        """Return the proposal, or raise `TradeNotFound` or `OutcomeKnown`."""
        resolution_id = self.ids.new(ResolutionId)

        async def effect(uow: UnitOfWork) -> Change[Resolution]:
            trade = await uow.trades.get(trade_id, lock=True)
            require_unknown(trade)
            filled = finding.filled_amount
            if filled is not None and filled.asset != trade.quote_amount.asset:
                raise InvalidArgument(
                    f"filled_amount must be in {trade.quote_amount.asset}", field="filled_amount"
                )
            resolution = Resolution(
                id=resolution_id,
                trade_id=trade_id,
                attempt=trade.attempt.number,
                verdict=finding.verdict,
                venue_order_id=finding.venue_order_id,
                filled_amount=filled,
                evidence=finding.evidence,
                proposed_by=call.api_key_id,
                proposed_at=await uow.now(),
            )
            await uow.trades.add_resolution(resolution)
            return Change(resolution, after=resolution)

        async def replay(uow: UnitOfWork, id: UUID) -> Resolution:
            return await uow.trades.get_resolution(trade_id, ResolutionId(id))

        return await self.once(call, resolution_id, effect, replay)


@dataclass(frozen=True, slots=True)
class ApproveResolution:
    """The approval is committed first and is itself the evidence: whoever runs the trade next
    finds it there, so a crash in between loses nothing.
    """

    once: Once
    runner: TradeRunner
    lease_for: timedelta

    async def __call__(self, call: Call, trade_id: TradeId, resolution_id: ResolutionId) -> Trade:
        """Return the trade as it is once the resolution was applied.

        Raises `TradeNotFound`, `ResolutionNotFound`, `OutcomeKnown`, `SecondKeyRequired`,
        `TooManyLiveTrades`.
        """
        leases: list[TradeLease] = []

        async def effect(uow: UnitOfWork) -> Change[Trade]:
            trade = await uow.trades.get(trade_id, lock=True)
            resolution = await uow.trades.get_resolution(trade_id, resolution_id)
            approved = resolution.approve(trade, by=call.api_key_id, now=await uow.now())
            await uow.trades.approve_resolution(approved)
            # Whoever is asking the venue meanwhile must not write over what two persons found.
            leases.append(await uow.trades.take_over(trade_id, lease_for=self.lease_for))
            return Change(trade, after=approved, before=resolution)

        async def replay(uow: UnitOfWork, _id: UUID) -> Trade:
            return await uow.trades.get(trade_id)

        self.runner.reserve(call.tenant_id)
        try:
            trade = await self.once(call, resolution_id, effect, replay)
        except BaseException:
            self.runner.give_back(call.tenant_id)
            raise
        if not leases:
            self.runner.give_back(call.tenant_id)
            return trade
        return await self.runner.start(leases[-1]) or trade
