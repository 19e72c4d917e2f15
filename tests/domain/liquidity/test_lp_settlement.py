"""The life of a settlement with an LP: every state against every action."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from domain.errors import IllegalTransition
from domain.ids import ApiKeyId, EntryId, LpSettlementId
from domain.liquidity.lp_settlement import (
    TRANSITIONS,
    LpSettlement,
    LpSettlementAction,
    LpSettlementLeg,
    LpSettlementSecondKeyRequired,
    LpSettlementState,
)
from tests.support.builders import NOW, an_id, btc, ngn, seconds

PROPOSER = an_id(ApiKeyId)
APPROVER = an_id(ApiKeyId)
LATER = NOW + seconds(60)
ENTRY = an_id(EntryId)


def a_leg(value: str = "100.00") -> LpSettlementLeg:
    return LpSettlementLeg(ngn(value))


def a_settlement(state: LpSettlementState = LpSettlementState.PROPOSED) -> LpSettlement:
    return LpSettlement(
        id=an_id(LpSettlementId),
        lp="alpha",
        rail="a-bank",
        as_of=NOW,
        legs=(replace(a_leg(), entry_id=ENTRY if state is LpSettlementState.SETTLED else None),),
        note="",
        proposed_by=PROPOSER,
        proposed_at=NOW,
        state=state,
    )


ACTIONS: dict[LpSettlementAction, Callable[[LpSettlement], LpSettlement]] = {
    LpSettlementAction.APPROVE: lambda one: one.approve(by=APPROVER, now=LATER),
    LpSettlementAction.SETTLE: lambda one: one.settle(
        by=PROPOSER, now=LATER, reference="PAY-1", evidence="line 7", entries=[ENTRY]
    ),
    LpSettlementAction.CANCEL: lambda one: one.cancel(by=PROPOSER, now=LATER),
}


@pytest.mark.parametrize("action", LpSettlementAction)
@pytest.mark.parametrize("state", LpSettlementState)
def test_every_action_leads_where_the_table_says_or_is_refused(
    state: LpSettlementState, action: LpSettlementAction
) -> None:
    settlement = a_settlement(state)
    expected = TRANSITIONS.get((state, action))

    if expected is None:
        with pytest.raises(IllegalTransition):
            ACTIONS[action](settlement)
        with pytest.raises(IllegalTransition):
            settlement.require(action)
    else:
        settlement.require(action)
        assert ACTIONS[action](settlement).state is expected


def test_who_decided_and_when_is_kept() -> None:
    settled = ACTIONS[LpSettlementAction.SETTLE](
        ACTIONS[LpSettlementAction.APPROVE](a_settlement())
    )

    assert (settled.approved_by, settled.approved_at) == (APPROVER, LATER)
    assert (settled.ended_by, settled.ended_at) == (PROPOSER, LATER)
    assert (settled.reference, settled.evidence) == ("PAY-1", "line 7")
    assert [leg.entry_id for leg in settled.legs] == [ENTRY]


def test_a_second_key_approves() -> None:
    with pytest.raises(LpSettlementSecondKeyRequired):
        a_settlement().approve(by=PROPOSER, now=LATER)


@pytest.mark.parametrize(
    "legs",
    [(), (a_leg(), a_leg()), (replace(a_leg(), amount=btc("0.00")),)],
    ids=["none", "one asset twice", "nothing to pay"],
)
def test_each_leg_pays_something_in_an_asset_of_its_own(legs: tuple[LpSettlementLeg, ...]) -> None:
    with pytest.raises(AssertionError):
        replace(a_settlement(), legs=legs)
