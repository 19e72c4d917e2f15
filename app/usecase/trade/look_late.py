"""Looking late: asking an LP once more about an attempt that was concluded absent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.usecase.announce import Announce
from app.usecase.reconciliation.raise_break import raise_break
from app.usecase.trade.ask_status import ask_status
from domain.ids import BreakId
from domain.reconciliation.break_ import Break, BreakKind, LateFill
from domain.trade.outcome import ORDER_NOT_FOUND, Filled, Unknown
from ports.ids import IdSource
from ports.late_check import LateCheckLease
from ports.liquidity import LiquidityProvider, LpStatus, Working
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class LookLate:
    """Takes one leased look; the LP is asked between two units of work and never inside one.

    What an LP turns out to have executed after all is a break. The trade keeps its outcome and
    everybody their amounts: the house's book takes the fill over, by the event.

    Attributes:
        actor: who is working, kept with every transition.
        schedule: how long after the conclusion the LP is asked, in ascending order.
    """

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    announce: Announce
    providers: Mapping[str, LiquidityProvider]
    actor: str
    schedule: Sequence[timedelta]

    async def __call__(self, lease: LateCheckLease) -> None:
        """Ask and note the answer.

        Raises `StaleLease` when somebody else looks by now, `VersionConflict`, `DatabaseBusy` or
        `DatabaseUnavailable`; the lease then runs out and somebody looks again.
        """
        async with self.units_of_work.begin(lease.tenant_id) as uow:
            trade = await uow.trades.get(lease.trade_id)
            asked_at = await uow.now()
        status = await ask_status(self.providers, trade, trade.attempts[lease.attempt - 1])
        async with self.units_of_work.begin(lease.tenant_id) as uow:
            check = await uow.late_checks.get(lease)
            now = await uow.now()
            if isinstance(status, Filled):
                await self._raise_break(uow, lease, status, now)
                check = check.find_fill()
            elif _is_silence(status):
                check = check.go_unanswered(now=now)
            else:
                check = check.look_in_vain(self.schedule, asked_at=asked_at)
            await uow.late_checks.save(check, lease)

    async def _raise_break(
        self, uow: UnitOfWork, lease: LateCheckLease, fill: Filled, now: datetime
    ) -> None:
        trade = await uow.trades.get(lease.trade_id, lock=True)
        await uow.late_checks.note_fill(trade.fill_late(lease.attempt, fill, actor=self.actor))
        attempt = trade.attempts[lease.attempt - 1]
        found = Break(
            id=self.ids.new(BreakId),
            tenant_id=trade.tenant_id,
            kind=BreakKind.LATE_FILL,
            trade_id=trade.id,
            amount=fill.quote,
            detail=(
                f"{attempt.lp} executed {fill.base} for {fill.quote} as {fill.venue_order_id}, "
                f"after {attempt.id} had been concluded absent; the trade was {trade.state}"
            ),
            raised_at=now,
            late_fill=LateFill(
                attempt=attempt.number,
                attempt_id=attempt.id,
                lp=attempt.lp,
                side=trade.side,
                venue_order_id=fill.venue_order_id,
                base=fill.base,
                quote=fill.quote,
            ),
        )
        await raise_break(uow, self.announce, found, correlation_id=trade.correlation_id)


def _is_silence(status: LpStatus) -> bool:
    """Say whether the LP has not told what became of the order.

    Where its status proves nothing, two operators found the order absent; that it still shows none
    is then all that it can say.
    """
    if isinstance(status, Unknown):
        return status.reason != ORDER_NOT_FOUND
    return isinstance(status, Working)
