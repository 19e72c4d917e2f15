"""Telling all processes what this one heard of the LPs, and opening and closing circuits by it."""

from dataclasses import dataclass, replace
from typing import Final

from app.usecase.announce import Announce
from app.usecase.liquidity.lp_desk import Heard, LpDesk
from domain.ids import CallId
from domain.liquidity.circuit import CircuitRule, CircuitState, record_of
from ports.ids import IdSource
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

TOLD: Final = {
    CircuitState.CLOSED: "lp.circuit_closed",
    CircuitState.OPEN: "lp.circuit_opened",
    CircuitState.HALF_OPEN: "lp.circuit_half_opened",
}


@dataclass(frozen=True, slots=True)
class ReportOutcomes:
    """Runs apart from calls, each second. What was heard is lost with a database that is away:
    it tells of LPs as they were.
    """

    units_of_work: UnitOfWorkFactory
    ids: IdSource
    announce: Announce
    directory: TenantDirectory
    desk: LpDesk
    rule: CircuitRule

    async def __call__(self) -> bool:
        """Report, and say that there is no more to do."""
        lps = await self.desk.lps()
        heard = self.desk.take_heard()
        open_ones = {name for name, lp in lps.items() if lp.circuit.state is CircuitState.OPEN}
        names = sorted(heard.keys() | open_ones)
        if names:
            # Always in this order, so that no two processes wait for each other.
            async with self.units_of_work.begin(self.directory.house_id) as uow:
                for name in names:
                    await self._report(uow, name, heard.get(name, ()))
        return False

    async def _report(self, uow: UnitOfWork, name: str, heard: Heard) -> None:
        before = await uow.lps.get(name)
        now = await uow.now()
        outcomes = [outcome for outcome, _ in heard]
        circuit = before.circuit.heard(outcomes, now, self.rule).at(now, self.rule)
        if heard:
            await uow.lps.count(name, record_of(heard), now=now)
        if circuit == before.circuit:
            return
        lp = replace(before, circuit=circuit)
        await uow.lps.save(lp)
        if circuit.state is not before.circuit.state:
            correlation_id = str(self.ids.new(CallId))
            await self.announce(
                uow, TOLD[circuit.state], lp, correlation_id=correlation_id, now=now
            )
