"""Indicative quotes: what a firm one would cost, shared among all who ask, and kept nowhere."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest

from app.usecase.quote.get_indicative_quote import PriceQuestion
from domain.amount import Amount
from domain.asset import Instrument
from domain.ids import TenantId
from domain.side import Side
from ports.price_source import Indication, IndicativeSource
from reli.quote.v1 import indicative_quote_pb2
from reli.quote.v1 import quote_service_pb2 as pb
from tests.support.audit import rows_of
from tests.support.builders import btc
from tests.support.platform import BUY, SELL, Client, Platform, amount, refusal_of
from tests.support.stage import until

NOBODY_TRADES = "0.00007788"
"""At this amount neither venue gives a price."""


async def indicative(
    client: Client, base_amount: str = "0.01", **fields: Any
) -> indicative_quote_pb2.IndicativeQuote:
    request: dict[str, Any] = {
        "side": BUY,
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "base_amount": amount(base_amount, "BTC"),
    } | fields
    answer = await client.quotes.GetIndicativeQuote(pb.GetIndicativeQuoteRequest(**request))
    quote: indicative_quote_pb2.IndicativeQuote = answer.quote
    return quote


@pytest.mark.parametrize("side", [BUY, SELL], ids=["buy", "sell"])
@pytest.mark.parametrize(
    "fixed",
    [
        {"base_amount": amount("0.01", "BTC")},
        {"quote_amount": amount("1500000.00", "NGN")},
        {"quote_amount": amount("77777.77", "NGN")},
    ],
    ids=["base", "quote", "odd quote"],
)
async def test_it_costs_what_a_firm_quote_costs(
    platform: Platform, side: int, fixed: dict[str, Any]
) -> None:
    _, client = await platform.a_tenant(fee_bps=23, markup_bps=57)
    customer_id = await platform.a_funded_customer(client)
    wanted: dict[str, Any] = {"side": side, "base_asset": "BTC", "quote_asset": "NGN"} | fixed

    told = await client.quotes.GetIndicativeQuote(pb.GetIndicativeQuoteRequest(**wanted))
    firm = await client.quotes.CreateQuote(pb.CreateQuoteRequest(customer_id=customer_id, **wanted))

    same = ("side", "instrument", "base_amount", "quote_amount", "price", "waterfall", "lp")
    assert [getattr(told.quote, name) for name in same] == [
        getattr(firm.quote, name) for name in same
    ]
    assert told.quote.is_indicative


async def test_nothing_is_stored_and_nothing_is_promised(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    before = await rows_of(platform.owner, tenant_id)

    quote = await indicative(client)

    assert await rows_of(platform.owner, tenant_id) == before
    names = {field.name for field in quote.DESCRIPTOR.fields}
    assert not {name for name in names if "id" in name.split("_") or "reference" in name}
    assert "expire_time" not in names


async def test_tenants_share_the_lps_answer_and_nothing_of_their_terms(platform: Platform) -> None:
    _, dear = await platform.a_tenant(fee_bps=100, markup_bps=200)
    _, cheap = await platform.a_tenant(fee_bps=1, markup_bps=2)

    ones, others = await asyncio.gather(
        asyncio.gather(*(indicative(dear, "0.01234567") for _ in range(50))),
        asyncio.gather(*(indicative(cheap, "0.01234567") for _ in range(50))),
    )

    assert len({quote.price_time.ToNanoseconds() for quote in (*ones, *others)}) == 1
    for quotes in (ones, others):
        assert all(quote == quotes[0] for quote in quotes)
    assert ones[0].waterfall.lp == others[0].waterfall.lp
    assert ones[0].waterfall.fee != others[0].waterfall.fee
    assert ones[0].quote_amount != others[0].quote_amount


async def test_the_lps_are_asked_again_after_half_a_second(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    first = await indicative(client, "0.07")

    async def another() -> indicative_quote_pb2.IndicativeQuote | None:
        found = await indicative(client, "0.07")
        return found if found.price_time != first.price_time else None

    later = await until(another, "a later price")

    passed = later.price_time.ToNanoseconds() - first.price_time.ToNanoseconds()
    assert passed >= 500_000_000


async def test_where_nobody_gives_a_price_there_is_none(platform: Platform) -> None:
    _, client = await platform.a_tenant()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await indicative(client, NOBODY_TRADES)

    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.retry) == ("NO_LIQUIDITY", "same_request")


@dataclass(frozen=True)
class Elsewhere(IndicativeSource):
    """An exchange where a whole bitcoin costs one naira."""

    @property
    def name(self) -> str:
        return "elsewhere"

    async def look(self, instrument: Instrument, side: Side, fixed: Amount) -> Indication:
        return Indication(base=fixed, quote=Amount(instrument.quote, fixed.units // 10**6))


async def test_a_price_elsewhere_is_told_only_where_no_lp_gives_one(platform: Platform) -> None:
    tenant_id, _ = await platform.a_tenant(fee_bps=0, markup_bps=0)
    asked = platform.container.get_indicative_quote()
    asked = replace(asked, look_around=replace(asked.look_around, sources=[Elsewhere()]))

    async def told(base_amount: str) -> tuple[str, str]:
        question = PriceQuestion(
            side=Side.BUY, base_asset="BTC", quote_asset="NGN", fixed=btc(base_amount)
        )
        quote = await asked(TenantId.parse(tenant_id), question)
        return quote.lp, quote.quote_amount.value

    assert (await told("0.01"))[0] == "alpha"
    assert await told("1.00007788") == ("elsewhere", "1.00")
