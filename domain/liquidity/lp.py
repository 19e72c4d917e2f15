"""A liquidity provider as it stands now, for all processes alike."""

from dataclasses import dataclass, field

from domain.ids import LpId
from domain.liquidity.circuit import Circuit, CircuitState
from domain.liquidity.errors import LpHalted
from domain.routing import LpRecord
from domain.side import Side
from domain.trading_state import TradingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Lp:
    """Attributes:
    name: as in the settings of the processes and in tenants' orders.
    trading_state: what an operator lets it be asked for.
    circuit: whether it answers.
    record: what became of the calls to it in the last quarter of an hour.
    """

    id: LpId
    name: str
    circuit: Circuit
    trading_state: TradingState = TradingState.ACTIVE
    record: LpRecord = field(default_factory=LpRecord)

    @property
    def is_answering(self) -> bool:
        """Whether orders may be sent to it: its circuit is not open."""
        return self.circuit.state is not CircuitState.OPEN

    def require_open(self, side: Side) -> None:
        """Raise `LpHalted` where customers may not trade that way with it now."""
        if not self.trading_state.allows(side):
            raise LpHalted(
                f"{self.name} {self.trading_state.refusal}",
                lp=self.name,
                trading_state=self.trading_state,
            )
