"""Routing: the operator says by which rule a tenant's quotes choose their LP, and it is kept."""

from dataclasses import dataclass
from typing import Any, Final

import grpc
import pytest

from domain.liquidity.circuit import LpOutcome
from reli.quote.v1 import quote_pb2
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_pb2
from reli.type.v1 import routing_pb2
from tests.support.platform import BUY, Client, Platform, amount, refusal_of

USED: Final = quote_pb2.LP_VERDICT_USED
OUTBID: Final = quote_pb2.LP_VERDICT_OUTBID
OUTRANKED: Final = quote_pb2.LP_VERDICT_OUTRANKED
REFUSED: Final = quote_pb2.LP_VERDICT_REFUSED
TOO_LATE: Final = quote_pb2.LP_VERDICT_TOO_LATE

REFUSED_BY_BETA: Final = "0.00007718"
SLOW_ALPHA: Final = "0.00007741"
SLOW_BETA: Final = "0.00007714"
REJECTED_BY_BETA: Final = "0.00007712"


@pytest.fixture(scope="module")
def routed(own_platform: Platform) -> Platform:
    """A platform whose LPs have no past but what is made up here."""
    return own_platform


@dataclass(frozen=True)
class Tenant:
    """A tenant whose LPs are in an order, with a rule for BTC-NGN; alpha's price is the better."""

    client: Client
    customer_id: str

    async def quote(self, base_amount: str = "0.01", *, base: str = "BTC") -> Any:
        return await self.client.quotes.CreateQuote(
            quote_pb.CreateQuoteRequest(
                customer_id=self.customer_id,
                side=BUY,
                base_asset=base,
                quote_asset="NGN",
                base_amount=amount(base_amount, base),
            )
        )


async def a_tenant(platform: Platform, rule: str, *lp_order: str) -> Tenant:
    tenant_id, client = await platform.a_tenant()
    await platform.operator.tenant_admin.UpdateTenantTerms(
        tenant_pb.UpdateTenantTermsRequest(
            tenant_id=tenant_id,
            lp_order=lp_order,
            routings=[
                tenant_pb2.InstrumentRouting(instrument="BTC-NGN", rule=f"ROUTING_RULE_{rule}")
            ],
        )
    )
    return Tenant(client, await platform.a_funded_customer(client))


def verdicts(made: Any) -> list[tuple[str, int]]:
    return [(answer.lp, answer.verdict) for answer in made.lp_answers]


async def test_without_a_rule_the_best_price_wins(routed: Platform) -> None:
    _, client = await routed.a_tenant()
    tenant = Tenant(client, await routed.a_funded_customer(client))

    made = await tenant.quote()

    assert made.quote.routing == routing_pb2.ROUTING_RULE_BEST_PRICE
    assert verdicts(made) == [("alpha", USED), ("beta", OUTBID)]
    assert not any(answer.HasField("score") for answer in made.lp_answers)


async def test_the_primary_is_used_although_the_backup_is_better(routed: Platform) -> None:
    tenant = await a_tenant(routed, "PRIMARY_BACKUP", "beta", "alpha")

    made = await tenant.quote()
    trade = await tenant.client.accept(made.quote.id)

    assert made.quote.routing == routing_pb2.ROUTING_RULE_PRIMARY_BACKUP
    assert verdicts(made) == [("beta", USED), ("alpha", OUTRANKED)]
    assert [attempt.lp for attempt in trade.attempts] == ["beta"]
    assert trade.state == trade_pb2.TRADE_STATE_SETTLED


async def test_the_backup_is_used_when_the_primary_gives_no_price_or_comes_too_late(
    routed: Platform,
) -> None:
    beta_first = await a_tenant(routed, "PRIMARY_BACKUP", "beta", "alpha")
    alpha_first = await a_tenant(routed, "PRIMARY_BACKUP", "alpha", "beta")

    refused = await beta_first.quote(REFUSED_BY_BETA)
    late = await alpha_first.quote(SLOW_ALPHA)

    assert verdicts(refused) == [("alpha", USED), ("beta", REFUSED)]
    assert verdicts(late) == [("beta", USED), ("alpha", TOO_LATE)]


async def test_nobody_waits_for_a_backup_that_is_not_needed(routed: Platform) -> None:
    tenant = await a_tenant(routed, "PRIMARY_BACKUP", "alpha", "beta")
    routed.container.lp_desk().take_heard()

    made = await tenant.quote(SLOW_BETA)

    used, passed_over = made.lp_answers
    assert (used.lp, passed_over.verdict) == ("alpha", OUTRANKED)
    assert passed_over.latency_ms < routed.settings.lp_quote_budget_ms
    assert passed_over.reason == "not waited for, since an earlier one gave a price"
    # Who was not waited for has done nothing wrong.
    heard = routed.container.lp_desk().take_heard()
    assert {lp: [one for one, _ in ones] for lp, ones in heard.items()} == {
        "alpha": [LpOutcome.QUOTED]
    }


async def test_the_score_prefers_who_fills_and_is_kept_with_every_answer(routed: Platform) -> None:
    tenant = await a_tenant(routed, "SCORE", "alpha", "beta")
    before = await tenant.quote()
    try:
        for _ in range(100):
            routed.container.lp_desk().hear("alpha", LpOutcome.REJECTED)
        await routed.container.report_outcomes()()
        await _board_is_read_anew(routed)
        after = await tenant.quote()
    finally:
        await routed.owner.execute("DELETE FROM core.lp_tallies")
        await _board_is_read_anew(routed)

    known = await tenant.client.quotes.GetQuote(quote_pb.GetQuoteRequest(quote_id=after.quote.id))
    assert verdicts(before) == [("alpha", USED), ("beta", OUTRANKED)]
    assert verdicts(after) == [("beta", USED), ("alpha", OUTRANKED)]
    best, other = after.lp_answers
    assert best.score > other.score > 0
    assert list(known.lp_answers) == list(after.lp_answers)
    assert known.quote.routing == routing_pb2.ROUTING_RULE_SCORE


async def test_a_rule_is_for_one_instrument(routed: Platform) -> None:
    tenant = await a_tenant(routed, "PRIMARY_BACKUP", "beta", "alpha")

    ether = await tenant.quote("0.1", base="ETH")
    bitcoin = await tenant.quote()

    assert ether.quote.routing == routing_pb2.ROUTING_RULE_BEST_PRICE
    assert (ether.quote.lp, bitcoin.quote.lp) == ("alpha", "beta")


async def test_the_backups_of_a_trade_follow_the_tenants_order(routed: Platform) -> None:
    tenant = await a_tenant(routed, "PRIMARY_BACKUP", "beta", "alpha")

    trade = await tenant.client.accept((await tenant.quote(REJECTED_BY_BETA)).quote.id)

    assert [attempt.lp for attempt in trade.attempts] == ["beta", "alpha"]
    assert trade.state == trade_pb2.TRADE_STATE_SETTLED


async def test_the_tenant_reads_its_rules_and_cannot_set_them(routed: Platform) -> None:
    tenant = await a_tenant(routed, "SCORE", "alpha", "beta")

    current = await tenant.client.tenants.GetCurrentTenant(tenant_pb.GetCurrentTenantRequest())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tenant.client.tenant_admin.UpdateTenantTerms(
            tenant_pb.UpdateTenantTermsRequest(tenant_id=current.tenant.id)
        )

    assert [(one.instrument, one.rule) for one in current.tenant.settings.routings] == [
        ("BTC-NGN", routing_pb2.ROUTING_RULE_SCORE)
    ]
    assert refusal_of(caught.value).reason == "OPERATOR_ONLY"
    assert "routings" not in tenant_pb.UpdateCurrentTenantRequest.DESCRIPTOR.fields_by_name


async def _board_is_read_anew(platform: Platform) -> None:
    board: Any = platform.container.lp_board()
    board._latest._known = None
