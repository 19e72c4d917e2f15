"""Trading states: which way customers may trade in each."""

import pytest

from domain.asset import Instrument, InstrumentHalted
from domain.errors import Retry
from domain.liquidity.errors import LpHalted
from domain.party import Party
from domain.side import Side
from domain.tenant.acting import Acting
from domain.tenant.errors import TenantHalted, TenantSuspended
from domain.tenant.tenant import TenantState
from domain.trading_state import ACTION_TO, TRANSITIONS, TradingState
from tests.support.builders import BTC, NGN, NOW, an_lp

MAY = {
    (TradingState.ACTIVE, Side.BUY): True,
    (TradingState.ACTIVE, Side.SELL): True,
    (TradingState.REDUCING, Side.BUY): False,
    (TradingState.REDUCING, Side.SELL): True,
    (TradingState.HALTED, Side.BUY): False,
    (TradingState.HALTED, Side.SELL): False,
}


@pytest.mark.parametrize(("state", "side"), MAY)
def test_an_instrument_a_tenant_and_an_lp_are_halted_alike(state: TradingState, side: Side) -> None:
    instrument = Instrument(BTC, NGN, trading_state=state)
    acting = Acting(Party(None), TenantState.ACTIVE, state, None, NOW)
    lp = an_lp(trading_state=state)

    for require, refusal in (
        (instrument.require_open, InstrumentHalted),
        (acting.require_may_trade, TenantHalted),
        (lp.require_open, LpHalted),
    ):
        if MAY[state, side]:
            require(side)
            continue
        with pytest.raises(refusal) as caught:
            require(side)
        assert caught.value.metadata["trading_state"] == state
        assert caught.value.retry is Retry.LATER


def test_a_suspension_outranks_the_trading_state() -> None:
    for state in TradingState:
        with pytest.raises(TenantSuspended):
            Acting(Party(None), TenantState.SUSPENDED, state, None, NOW).require_may_trade(
                Side.SELL
            )


def test_an_operator_can_lead_every_state_into_every_other_one() -> None:
    for before in TradingState:
        for after in TradingState:
            found = TRANSITIONS.get((before, ACTION_TO[after]))
            assert found is (None if before is after else after)
