"""Evidence of best execution, as a tenant and its operator read it."""

import json
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import pytest

from domain.canonical import canonical_json
from reli.liquidity.v1 import liquidity_service_pb2 as liquidity_pb
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import evidence_pb2, trade_pb2
from reli.trade.v1 import trade_service_pb2 as pb
from reli.type.v1 import routing_pb2
from tests.support.platform import SELL, Client, Platform

REFERENCE_PRICE: Final = "150000000.00"
REJECTED_BY_ALPHA: Final = "0.00007721"


@pytest.fixture(scope="module")
def desk(own_platform: Platform) -> Platform:
    """A platform whose LPs are halted and whose prices move."""
    return own_platform


async def evidence_for(client: Client, trade_id: str) -> evidence_pb2.TradeEvidence:
    answer = await client.trades.GetTradeEvidence(pb.GetTradeEvidenceRequest(trade_id=trade_id))
    evidence: evidence_pb2.TradeEvidence = answer.evidence
    said = json.loads(evidence.content)
    assert canonical_json(said) == evidence.content
    assert sha256(evidence.content).digest() == evidence.digest
    return evidence


async def a_trade(platform: Platform, base_amount: str = "0.01") -> tuple[str, Client, Any]:
    tenant_id, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)
    quote = await client.quote(customer_id, base_amount)
    return tenant_id, client, await client.accept(quote.id)


async def test_it_shows_every_answer_beside_the_median_and_the_rule_that_chose(
    desk: Platform,
) -> None:
    _, client, trade = await a_trade(desk)

    evidence = await evidence_for(client, trade.id)

    assert (evidence.trade_id, evidence.quote_id) == (trade.id, trade.quote_id)
    assert (evidence.base_amount, evidence.waterfall) == (trade.base_amount, trade.waterfall)
    assert evidence.state == trade_pb2.TRADE_STATE_SETTLED
    assert (evidence.accept_time, evidence.end_time) == (trade.accept_time, trade.end_time)
    assert evidence.answer_time.ToDatetime() < evidence.accept_time.ToDatetime()
    assert evidence.routing == routing_pb2.ROUTING_RULE_BEST_PRICE
    used, outbid = evidence.answers
    assert (used.lp, used.verdict) == ("alpha", "used")
    assert (outbid.lp, outbid.verdict) == ("beta", "outbid")
    assert used.quote_amount == trade.waterfall.lp
    assert used.price.quote_asset == "NGN"
    assert evidence.median.prices == 2
    assert Decimal(used.better_bps) > 0 > Decimal(outbid.better_bps)
    (attempt,) = evidence.attempts
    assert (attempt.asked_again, attempt.better_bps) == (False, "0.00")
    assert attempt.filled_amount == trade.attempts[0].filled_amount
    assert [step.to_state for step in evidence.steps if step.attempt == 0] == [
        "submitted",
        "filled",
        "settled",
    ]


async def test_a_seller_is_better_off_where_more_is_paid(desk: Platform) -> None:
    _, client = await desk.a_tenant()
    customer_id = await desk.a_funded_customer(client, "1.00000000", "BTC")
    trade = await client.accept((await client.quote(customer_id, "0.01", side=SELL)).id)

    used, outbid = (await evidence_for(client, trade.id)).answers

    assert Decimal(used.price.value) > Decimal(outbid.price.value)
    assert Decimal(used.better_bps) > 0 > Decimal(outbid.better_bps)


async def test_a_backup_asked_at_execution_is_shown_with_its_price_beside_the_quoted_one(
    desk: Platform,
) -> None:
    _, client, trade = await a_trade(desk, REJECTED_BY_ALPHA)

    rejected, filled = (await evidence_for(client, trade.id)).attempts

    assert (rejected.lp, rejected.asked_again) == ("alpha", False)
    assert rejected.reason != ""
    assert (filled.lp, filled.asked_again) == ("beta", True)
    assert filled.offered_amount == trade.attempts[1].lp_amount
    assert Decimal(filled.better_bps) < 0


async def test_a_price_beyond_the_tolerance_is_shown_although_nothing_was_sent(
    desk: Platform,
) -> None:
    tenant_id, client = await desk.a_tenant()
    quote = await client.quote(await desk.a_funded_customer(client))
    await desk.alpha.behave("reject", 1)
    await _move_price(desk, "150200000.00")
    try:
        trade = await client.accept(quote.id)
    finally:
        await desk.alpha.behave_well()
        await _move_price(desk, REFERENCE_PRICE)

    evidence = await evidence_for(client, trade.id)

    assert evidence.state == trade_pb2.TRADE_STATE_REJECTED
    refused = evidence.attempts[1]
    assert (refused.reason, refused.asked_again) == ("PRICE_MOVED", True)
    assert Decimal(refused.better_bps) < -evidence.tolerance_bps
    named = await desk.operator.trade_admin.GetTenantTradeEvidence(
        pb.GetTenantTradeEvidenceRequest(tenant_id=tenant_id, trade_id=trade.id)
    )
    assert named.evidence.content == evidence.content
    words = [step.evidence for step in named.evidence.steps]
    assert refused.offered_amount.value in words[-2]
    told = [step.evidence_digest for step in evidence.steps]
    assert told == [sha256(text.encode()).digest() for text in words]
    assert not any(step.evidence for step in evidence.steps), "what LPs say is the operator's"


async def test_who_was_not_asked_is_named_with_the_reason(desk: Platform) -> None:
    admin = desk.operator.liquidity_admin
    await admin.SetLpTradingState(_state("HALTED"))
    try:
        await _board_is_read_anew(desk)
        _, client, trade = await a_trade(desk)
    finally:
        await admin.SetLpTradingState(_state("ACTIVE"))
        await _board_is_read_anew(desk)

    evidence = await evidence_for(client, trade.id)

    used, halted = evidence.answers
    assert (used.lp, used.better_bps, evidence.median.prices) == ("beta", "0.00", 1)
    assert (halted.lp, halted.reason) == ("alpha", "LP_HALTED")
    assert halted.verdict == "not_asked"
    assert not halted.HasField("price")


async def test_the_scores_are_shown_where_they_chose(desk: Platform) -> None:
    tenant_id, client = await desk.a_tenant()
    routing = tenant_pb2.InstrumentRouting(instrument="BTC-NGN", rule="ROUTING_RULE_SCORE")
    await desk.operator.tenant_admin.UpdateTenantTerms(
        tenant_pb.UpdateTenantTermsRequest(tenant_id=tenant_id, routings=[routing])
    )
    quote = await client.quote(await desk.a_funded_customer(client))
    trade = await client.accept(quote.id)

    evidence = await evidence_for(client, trade.id)

    assert evidence.routing == routing_pb2.ROUTING_RULE_SCORE
    best, other = evidence.answers
    assert best.score > other.score > 0


def _state(state: str) -> liquidity_pb.SetLpTradingStateRequest:
    return liquidity_pb.SetLpTradingStateRequest(
        lp="alpha", trading_state=f"TRADING_STATE_{state}", reason="under review"
    )


async def _move_price(platform: Platform, price: str) -> None:
    body = {"instrument": "BTC-NGN", "price": price}
    url = platform.beta.admin_url + "/v1/rates"
    async with platform.beta.session.put(url, json=body) as response:
        assert response.status == 200


async def _board_is_read_anew(platform: Platform) -> None:
    board: Any = platform.container.lp_board()
    board._latest._known = None
