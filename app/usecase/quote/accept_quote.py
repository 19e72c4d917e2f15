"""Accepting a quote: the intent is committed here, the trade runs apart from the call."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.liquidity.lp_desk import LpDesk
from app.usecase.once import Once
from app.usecase.trade.bookkeeping import hold_funds
from domain.ids import AttemptId, EntryId, QuoteId, TradeId, TransferId
from domain.liquidity.lp import Lp
from domain.quote.errors import QuoteAlreadyAccepted
from domain.quote.quote import Quote
from domain.trade.settlement import SETTLEMENT_MOVEMENTS
from domain.trade.trade import LedgerIds, Trade
from ports.ids import IdSource
from ports.trade import TradeLease, TradeRunner
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class AcceptQuote:
    """Holds the funds, records the first attempt, and hands the trade over.

    Attributes:
        lease_for: how long the trade is ours before a worker may take it over.
        answer_within: how long the call waits for the trade to end.
    """

    units_of_work: UnitOfWorkFactory
    once: Once
    ids: IdSource
    announce: Announce
    runner: TradeRunner
    desk: LpDesk
    lease_for: timedelta
    answer_within: timedelta

    async def __call__(self, call: Call, quote_id: QuoteId) -> Trade:
        """Return the trade in the state it has reached.

        Raises `QuoteNotFound`, `QuoteExpired`, `QuoteCanceled`, `QuoteAlreadyAccepted`,
        `CustomerSuspended`, `TenantSuspended`, `InstrumentHalted`, `TenantHalted`, `LpHalted`,
        `InsufficientFunds`, `TooManyLiveTrades`.
        """
        lps = await self.desk.lps()
        leases: list[TradeLease] = []
        trade_id = self.ids.new(TradeId)

        async def effect(uow: UnitOfWork) -> Change[Trade]:
            trade, lease = await self._accept(uow, call, quote_id, trade_id, lps)
            leases.append(lease)
            return Change(trade, after=trade)

        async def replay(uow: UnitOfWork, id: UUID) -> Trade:
            return await uow.trades.get(TradeId(id))

        self.runner.reserve(call.tenant_id)
        try:
            trade = await self.once(call, trade_id, effect, replay, in_company=True)
        except BaseException:
            self.runner.give_back(call.tenant_id)
            raise
        # Not by the lease: a try that was undone leaves one behind.
        if trade.id != trade_id:
            self.runner.give_back(call.tenant_id)
            return trade
        return await self._run(leases[-1], trade)

    async def _accept(
        self,
        uow: UnitOfWork,
        call: Call,
        quote_id: QuoteId,
        trade_id: TradeId,
        lps: Mapping[str, Lp],
    ) -> tuple[Trade, TradeLease]:
        quote = await uow.quotes.get(quote_id, lock=True)
        # Asked after the quote's row is locked, and with it the clock that judges its expiry.
        acting = await uow.tenants.acting(quote.party)
        now = acting.now
        try:
            accepted = quote.accept(now=now)
        except QuoteAlreadyAccepted as error:
            error.metadata["trade_id"] = str(await uow.quotes.trade_of(quote_id))
            raise
        acting.require_may_trade(quote.side)
        quote.instrument.require_open(quote.side)
        lp = lps.get(quote.lp)
        if lp is not None:
            lp.require_open(quote.side)
        trade = self._trade(call, accepted, trade_id, now, lp)
        await uow.quotes.save(accepted, trade_id=trade_id)
        lease = await uow.trades.add(trade, lease_for=self.lease_for)
        await self.announce(
            uow, "trade.accepted", trade, correlation_id=call.correlation_id, now=now
        )
        # Last: the clearing account is shared by all of the tenant's trades.
        await hold_funds(uow, trade)
        return trade, lease

    def _trade(
        self, call: Call, quote: Quote, trade_id: TradeId, now: datetime, lp: Lp | None
    ) -> Trade:
        new = self.ids.new
        trade = Trade(
            id=trade_id,
            tenant_id=quote.tenant_id,
            quote_id=quote.id,
            party=quote.party,
            side=quote.side,
            instrument=quote.instrument,
            base_amount=quote.base_amount,
            quote_amount=quote.quote_amount,
            waterfall=quote.waterfall,
            lp_order=quote.lp_order,
            tolerance_bps=quote.tolerance_bps,
            accepted_at=now,
            accepted_by=call.api_key_id,
            correlation_id=call.correlation_id,
            ledger_ids=LedgerIds(
                hold_entry=new(EntryId),
                hold=new(TransferId),
                settlement_entry=new(EntryId),
                settlement=tuple(new(TransferId) for _ in range(SETTLEMENT_MOVEMENTS)),
                release_entry=new(EntryId),
                release=new(TransferId),
            ),
        )
        actor = str(call.api_key_id)
        trade = trade.prepare(
            new(AttemptId),
            actor=actor,
            lp=quote.lp,
            lp_reference=quote.lp_reference,
            lp_amount=quote.waterfall.lp,
            lp_expires_at=quote.lp_expires_at,
        )
        if trade.attempt.needs_new_lp_quote(now) or lp is None or not lp.is_answering:
            return trade
        # The commit of the accept is the intent that must stand before the first byte leaves.
        return trade.send(
            actor=actor,
            now=now,
            lp_reference=quote.lp_reference,
            lp_amount=quote.waterfall.lp,
            lp_expires_at=quote.lp_expires_at,
        )

    async def _run(self, lease: TradeLease, accepted: Trade) -> Trade:
        running = self.runner.start(lease, accepted)
        try:
            async with asyncio.timeout(self.answer_within.total_seconds()):
                return await running or accepted
        except TimeoutError:
            pass
        async with self.units_of_work.begin(lease.tenant_id) as uow:
            return await uow.trades.get(lease.trade_id)
