"""A listing is a statement only if it is certain that it is whole."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from adapters.lp.binance.config import BinanceLpConfig
from adapters.lp.binance.parse import parse_flow
from adapters.lp.bybit.config import BybitLpConfig
from adapters.lp.bybit.parse import parse_page as parse_bybit
from adapters.lp.config import LpConfig
from adapters.lp.http import Answer
from adapters.lp.listing import (
    MAX_PAGES,
    WORKING,
    Execution,
    Page,
    Pages,
    VenueListing,
    all_pages,
    by_name,
)
from adapters.lp.reading import BadAnswer
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.parse import parse_page as parse_valr
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from adapters.lp.zero_hash.parse import parse_page as parse_zero_hash
from domain.amount import Amount
from domain.ids import AttemptId
from domain.reconciliation.errors import StatementAssetMismatch
from domain.reconciliation.period import Period
from domain.side import Side
from ports.liquidity import LpUnavailable
from ports.market import Catalogue
from tests.support.builders import BTC, BTC_NGN, NGN, an_id

CATALOGUE: Final = Catalogue({"BTC": BTC, "NGN": NGN}, {}, {"BTC-NGN": BTC_NGN})
MORNING: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DAY: Final = Period(MORNING - timedelta(hours=9.5), MORNING + timedelta(hours=14.5))
ONE: Final = Execution(
    order_id="one",
    client_order_id="ours",
    side=Side.BUY,
    base=Amount.parse("0.02", BTC),
    quote=Amount.parse("3000.00", NGN),
    executed_at=MORNING,
)
TWO: Final = replace(ONE, order_id="two", executed_at=MORNING + timedelta(seconds=1))
KEY: Final[dict[str, Any]] = {"name": "venue", "url": "", "api_key": "", "secret": ""}


class Told(VenueListing[LpConfig]):
    """A listing of pages that are told one after the other."""

    def __init__(self, *told: Sequence[Execution], forever: bool = False) -> None:
        super().__init__(LpConfig(name="venue", url=""))
        self._pages = told
        self._forever = forever
        self.asked = 0

    async def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        while True:
            for page in self._pages:
                self.asked += 1
                yield page
            if not self._forever:
                return


async def trades(listing: VenueListing[Any]) -> list[str]:
    document = json.loads(await listing.fetch(DAY, CATALOGUE))
    return [trade["order_id"] for trade in document["trades"]]


async def cause(listing: VenueListing[Any]) -> str:
    with pytest.raises(LpUnavailable) as caught:
        await listing.fetch(DAY, CATALOGUE)
    return caught.value.metadata["cause"]


async def test_what_overlapping_pages_tell_is_told_once_in_the_order_of_its_times() -> None:
    assert await trades(Told([TWO, ONE], [ONE])) == ["one", "two"]


async def test_pages_that_tell_one_execution_in_two_ways_are_no_statement() -> None:
    other = replace(ONE, quote=Amount.parse("3000.01", NGN))

    assert await cause(Told([ONE], [other])) == "LP_LISTING_CONTRADICTS"


async def test_a_listing_without_end_is_given_up() -> None:
    listing = Told([ONE], forever=True)

    assert await cause(listing) == "LP_LISTING_TOO_LONG"
    assert listing.asked == MAX_PAGES


async def test_pages_that_come_again_instead_of_the_next_are_no_listing() -> None:
    class Repeating(Told):
        def pages(self, period: Period, catalogue: Catalogue) -> Pages:
            async def ask(skip: int) -> Page:
                return Page([ONE], [MORNING])

            return all_pages(ask)

    assert await cause(Repeating()) == "LP_LISTING_STUCK"


def test_a_name_that_two_things_share_means_neither() -> None:
    assert by_name([BTC, NGN], lambda asset: asset.code) == {"BTC": BTC, "NGN": NGN}
    assert by_name([BTC, NGN], lambda _: "USDT") == {}


def answer(body: object) -> Answer:
    return Answer(200, json.dumps(body).encode(), MORNING)


def flow(state: str, **fields: object) -> Answer:
    listed = {
        "quoteId": "quote",
        "orderId": 940708407462087195,
        "orderStatus": state,
        "fromAsset": "NGN",
        "fromAmount": "3000",
        "toAsset": "BTC",
        "toAmount": "0.02",
        "ratio": "0.00000667",
        "createTime": 1772443800000,
        **fields,
    }
    return answer({"list": [listed], "moreData": False})


BINANCE: Final = BinanceLpConfig(**KEY)


def test_a_conversion_gives_what_it_is_from_and_brings_what_it_is_to() -> None:
    (one,), has_more = parse_flow(flow("SUCCESS"), BINANCE, CATALOGUE)

    assert (one.order_id, one.client_order_id) == ("940708407462087195", "quote")
    assert (one.side, one.base.value, one.quote.value) == (Side.SELL, "3000.00", "0.02000000")
    assert not has_more


@pytest.mark.parametrize("state", ["PROCESS", "ACCEPT_SUCCESS", "NEW"])
def test_while_a_conversion_is_not_decided_nothing_is_told(state: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        parse_flow(flow(state), BINANCE, CATALOGUE)
    assert caught.value.reason == WORKING


def test_a_conversion_of_an_asset_that_is_not_ours_is_refused_by_its_name() -> None:
    with pytest.raises(StatementAssetMismatch) as caught:
        parse_flow(flow("SUCCESS", fromAsset="DOGE"), BINANCE, CATALOGUE)
    assert caught.value.metadata["asset"] == "DOGE"


def test_a_venues_code_of_an_asset_is_read_as_ours() -> None:
    config = BinanceLpConfig(**KEY, asset_codes={"NGN": "NGNT"})

    (one,), _ = parse_flow(flow("SUCCESS", fromAsset="NGNT"), config, CATALOGUE)

    assert one.base.asset == NGN


BYBIT: Final = BybitLpConfig(**KEY)


def converted(at: datetime, state: str = "failure") -> dict[str, str]:
    return {"exchangeStatus": state, "createdAt": str(int(at.timestamp()) * 1_000)}


def page_of(*listed: dict[str, str]) -> Answer:
    return answer({"retCode": 0, "result": {"list": listed}})


def test_a_history_that_does_not_begin_with_the_newest_is_no_listing() -> None:
    early, late = converted(MORNING), converted(MORNING + timedelta(seconds=1))

    assert len(parse_bybit(page_of(late, late, early), DAY, BYBIT, CATALOGUE).times) == 3
    with pytest.raises(BadAnswer) as caught:
        parse_bybit(page_of(early, late), DAY, BYBIT, CATALOGUE)
    assert caught.value.reason == "LP_LISTING_UNORDERED"


def test_what_is_not_decided_holds_up_its_own_day_alone() -> None:
    before, after = DAY.starts_at - timedelta(seconds=1), DAY.ends_at

    page = page_of(converted(after, "processing"), converted(before, "init"))
    assert parse_bybit(page, DAY, BYBIT, CATALOGUE).executions == []
    with pytest.raises(BadAnswer) as caught:
        parse_bybit(page_of(converted(MORNING, "processing")), DAY, BYBIT, CATALOGUE)
    assert caught.value.reason == WORKING


ORDER: Final = an_id(AttemptId)


def history(**fields: object) -> Answer:
    listed = {
        "orderId": "theirs",
        "customerOrderId": str(ORDER.uuid),
        "orderStatusType": "Filled",
        "currencyPair": "BTCNGN",
        "averagePrice": "150000",
        "totalExecutedQuantity": "0.02",
        "total": "3000",
        "totalFee": "0.00002",
        "feeCurrency": "BTC",
        "orderSide": "buy",
        "orderUpdatedAt": "2026-03-02T09:30:00.000Z",
    }
    return answer([{**listed, **fields}])


VALR: Final = ValrLpConfig(**KEY, tick_sizes={}, price_risk_bps=0, taker_fee_bps=10)


def test_a_fee_is_part_of_what_an_order_brought_and_our_id_of_how_it_is_known() -> None:
    (one,) = parse_valr(history(), VALR, CATALOGUE).executions

    assert (one.base.value, one.quote.value) == ("0.01998000", "3000.00")
    assert (one.order_id, one.client_order_id) == ("theirs", str(ORDER))


def test_an_order_of_somebody_else_on_the_account_is_known_by_its_own_id() -> None:
    (one,) = parse_valr(history(customerOrderId=None), VALR, CATALOGUE).executions

    assert one.client_order_id == "theirs"


def test_an_order_that_is_filled_in_part_leaves_its_day_untold() -> None:
    for state in ("Partially Filled", "Cancelled"):
        with pytest.raises(BadAnswer):
            parse_valr(history(orderStatusType=state), VALR, CATALOGUE)


def test_a_trade_of_others_on_a_platform_is_not_taken_for_ours() -> None:
    trade = {
        "trade_id": "theirs",
        "trade_state": "terminated",
        "underlying": "BTC",
        "quoted_currency": "NGN",
        "parties": [
            {"participant_code": "CUST02", "side": "buy"},
            {"participant_code": "00SCXM", "side": "sell"},
        ],
    }
    config = ZeroHashLpConfig(**KEY, passphrase="", participant_code="CUST01")

    with pytest.raises(BadAnswer):
        parse_zero_hash(
            answer({"message": [trade], "page": 1, "total_pages": 1}), 1, config, CATALOGUE
        )
