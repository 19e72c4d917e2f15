"""At each venue: an answer that names our order proves that it was taken, however odd the rest.

What is said here is said with the answers of each venue's wire, as docs/venues.md has them.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, cast

import pytest

from adapters.lp.http import Answer, LpSessions, open_lp_sessions
from adapters.lp.outcome import outcome_from, status_from
from adapters.lp.provider import Order, VenueLp
from adapters.system.clock import SystemClock
from app.certify.subject import SUBJECTS
from domain.ids import AttemptId
from domain.side import Side
from domain.trade.outcome import ORDER_WORKING, Filled, Rejected, Unknown
from ports.liquidity import ExecutionOutcome, LpStatus
from tests.support.builders import BTC_NGN, an_id

ATTEMPT: Final = an_id(AttemptId)
ORDER: Final = Order(
    client_order_id=ATTEMPT, reference="quote-7", instrument=BTC_NGN, side=Side.BUY
)
UUID: Final = str(ATTEMPT.uuid)
THEIRS: Final = an_id(AttemptId)

Told = dict[str, Any]
Say = Callable[..., Told]


def sandbox(**changed: Any) -> Told:
    return {
        "order_id": "alpha-7",
        "client_order_id": str(ATTEMPT),
        "status": "filled",
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "side": "buy",
        "base_amount": "0.01",
        "quote_amount": "1500000.00",
        **changed,
    }


def okx_trade(**changed: Any) -> Told:
    return {
        "tradeId": "trader7",
        "clTReqId": ATTEMPT.uuid.hex,
        "state": "fullyFilled",
        "baseCcy": "BTC",
        "quoteCcy": "NGN",
        "side": "buy",
        "fillPx": "150000000",
        "fillBaseSz": "0.01",
        "fillQuoteSz": "1500000",
        **changed,
    }


def okx(*more: Told, **changed: Any) -> Told:
    return {"code": "0", "msg": "", "data": [okx_trade(**changed), *more]}


def zero_hash_execution(**changed: Any) -> Told:
    quoted = {
        "quote_id": "quote-7",
        "side": "buy",
        "underlying": "BTC",
        "quoted_currency": "NGN",
        "quantity": "0.01",
        "price": "150000000",
        "total_notional": "1500000",
    }
    of_quote = {name: changed.pop(name) for name in list(changed) if name in quoted}
    message = {"trade_id": "trade-7", "status": "Completed", "quote": {**quoted, **of_quote}}
    return {"message": {**message, **changed}}


def zero_hash_trade(**changed: Any) -> Told:
    return {
        "trade_id": "trade-7",
        "client_trade_id": "quote-7",
        "trade_state": "terminated",
        "underlying": "BTC",
        "quoted_currency": "NGN",
        "quantity": "0.01",
        "trade_price": "150000000",
        "total_notional": "1500000",
        "parties": [
            {"participant_code": "SANDBX", "side": "buy", "asset": "BTC"},
            {"participant_code": "OTHER", "side": "sell", "asset": "NGN"},
        ],
        **changed,
    }


def zero_hash_trades(*more: Told, **changed: Any) -> Told:
    return {"message": [zero_hash_trade(**changed), *more], "page": 1, "total_pages": 1}


def valr(**changed: Any) -> Told:
    return {
        "orderId": "order-7",
        "customerOrderId": UUID,
        "currencyPair": "BTCNGN",
        "orderSide": "buy",
        "orderStatusType": "Filled",
        "totalExecutedQuantity": "0.01",
        "total": "1500000",
        "averagePrice": "150000000",
        "totalFee": "0",
        "feeCurrency": "BTC",
        **changed,
    }


def binance(**changed: Any) -> Told:
    return {
        "orderId": 933256278426274426,
        "orderStatus": "SUCCESS",
        "fromAsset": "NGN",
        "toAsset": "BTC",
        "fromAmount": "1500000",
        "toAmount": "0.01",
        "ratio": "0.000000006666666666666",
        **changed,
    }


def bybit(**changed: Any) -> Told:
    result = {
        "exchangeTxId": "quote-7",
        "exchangeStatus": "success",
        "fromCoin": "NGN",
        "toCoin": "BTC",
        "fromAmount": "1500000",
        "toAmount": "0.01",
        "convertRate": "0.000000006666666666666",
        **changed,
    }
    return {"retCode": 0, "retMsg": "ok", "result": {"result": result}}


def b2c2(**changed: Any) -> Told:
    return {
        "order_id": "order-7",
        "client_order_id": UUID,
        "instrument": "BTCNGN.SPOT",
        "side": "buy",
        "quantity": "0.01",
        "executed_price": "150000000",
        "trades": None,
        **changed,
    }


EXECUTIONS: Final[Mapping[str, Say]] = {
    "sandbox": sandbox,
    "okx": okx,
    "zero-hash": zero_hash_execution,
    "valr": valr,
    "binance": binance,
    "bybit": bybit,
    "b2c2": b2c2,
}
STATES: Final[Mapping[str, Say]] = {**EXECUTIONS, "zero-hash": zero_hash_trades}
VENUES: Final = tuple(EXECUTIONS)

ODD_BOTH: Final[Mapping[str, tuple[Told, ...]]] = {
    "sandbox": (
        sandbox(base_amount="0.010000001"),
        sandbox(status="partially_filled"),
        sandbox(order_id=None),
        sandbox(side="sell"),
        sandbox(status="rejected", code="HALTED"),
    ),
    "okx": (
        okx(fillBaseSz="1e-2"),
        okx(fillPx="160000000"),
        okx(state="partiallyFilled"),
        okx(state=None),
        okx(quoteCcy="KES"),
        okx(okx_trade()),
        okx(okx_trade(), clTReqId=THEIRS.uuid.hex),
    ),
    "valr": (
        valr(totalExecutedQuantity=0.01),
        valr(orderStatusType="Partially Filled"),
        valr(orderStatusType="Cancelled", totalExecutedQuantity="0.005"),
        valr(averagePrice="160000000"),
        valr(feeCurrency="ETH"),
        valr(currencyPair="ETHNGN"),
        valr(orderSide=None),
    ),
    "binance": (
        binance(fromAmount="NaN"),
        binance(ratio="0.0000000077"),
        binance(orderStatus="EXPIRED"),
        binance(orderStatus=None),
        binance(orderId=None),
    ),
    "bybit": (
        bybit(fromAmount=None),
        bybit(convertRate="0.0000000077"),
        bybit(exchangeStatus="refunded"),
        bybit(exchangeStatus=None),
        bybit(toCoin="ETH"),
    ),
    "b2c2": (
        b2c2(quantity="-0.01"),
        b2c2(executed_price=None),
        b2c2(executed_price=None, trades=[{}]),
        b2c2(trades=[{"instrument": "BTCNGN.SPOT", "side": "sell"}]),
        b2c2(order_id=None),
        b2c2(instrument="ETHNGN.SPOT"),
        b2c2(side=None),
    ),
}
ODD_EXECUTIONS: Final[Mapping[str, tuple[Told, ...]]] = {
    **ODD_BOTH,
    "zero-hash": (
        zero_hash_execution(quantity="0.01x"),
        zero_hash_execution(price="160000000"),
        zero_hash_execution(status="Pending"),
        zero_hash_execution(status=None),
        zero_hash_execution(trade_id=None),
        zero_hash_execution(side="sell"),
        zero_hash_execution(underlying="ETH"),
    ),
}
ODD_STATES: Final[Mapping[str, tuple[Told, ...]]] = {
    **ODD_BOTH,
    "zero-hash": (
        zero_hash_trades(quantity=None),
        zero_hash_trades(trade_price="160000000"),
        zero_hash_trades(trade_state="disputed"),
        zero_hash_trades(parties=[]),
        zero_hash_trades(quoted_currency="KES"),
        zero_hash_trades(zero_hash_trade()),
        zero_hash_trades(zero_hash_trade(), client_trade_id="quote-8"),
    ),
}

REFUSAL_OF_OURS: Final = {"code": "1", "data": [{"clTReqId": ATTEMPT.uuid.hex, "sCode": "51000"}]}

THEIRS_BOTH: Final[Mapping[str, tuple[Told, ...]]] = {
    "sandbox": (
        sandbox(client_order_id=str(THEIRS)),
        sandbox(client_order_id=None),
        sandbox(client_order_id=str(THEIRS), status="working"),
    ),
    "okx": (
        okx(clTReqId=THEIRS.uuid.hex),
        okx(clTReqId=None, state="partiallyFilled"),
        okx(okx_trade(clTReqId=THEIRS.uuid.hex), clTReqId=THEIRS.uuid.hex),
        REFUSAL_OF_OURS,
    ),
    "valr": (
        valr(customerOrderId=str(THEIRS.uuid)),
        valr(customerOrderId=None, orderStatusType="Failed"),
    ),
    "binance": (
        binance(fromAsset="KES"),
        binance(toAsset=None, orderStatus="PROCESS"),
        {"orderStatus": "SUCCESS", "orderId": 7},
    ),
    "bybit": (
        bybit(exchangeTxId="quote-8"),
        bybit(exchangeTxId=None, exchangeStatus="processing"),
        {**bybit(), "retCode": 790000},
    ),
    "b2c2": (
        b2c2(client_order_id=str(THEIRS.uuid)),
        b2c2(client_order_id=None, executed_price=None, trades=[]),
    ),
}
THEIR_EXECUTIONS: Final[Mapping[str, tuple[Told, ...]]] = {
    **THEIRS_BOTH,
    "zero-hash": (
        zero_hash_execution(quote_id="quote-8"),
        zero_hash_execution(quote=None),
        zero_hash_trades(),
    ),
}
THEIR_STATES: Final[Mapping[str, tuple[Told, ...]]] = {
    **THEIRS_BOTH,
    "zero-hash": (
        zero_hash_trades(client_trade_id="quote-8"),
        zero_hash_trades(client_trade_id=None),
        zero_hash_trades(zero_hash_trade(client_trade_id="q"), client_trade_id="q"),
    ),
}


def each(told: Mapping[str, tuple[Told, ...]]) -> pytest.MarkDecorator:
    assert set(told) == set(VENUES)
    return pytest.mark.parametrize(
        ("venue", "values"),
        [
            pytest.param(venue, one, id=f"{venue}-{number}")
            for venue, listed in told.items()
            for number, one in enumerate(listed)
        ],
    )


@pytest.fixture(scope="module")
async def lps() -> AsyncIterator[Mapping[str, VenueLp[Any]]]:
    async with open_lp_sessions() as sessions:
        yield {name: an_lp(name, sessions) for name in VENUES}


def an_lp(name: str, sessions: LpSessions) -> VenueLp[Any]:
    lp = SUBJECTS[name].connect("http://127.0.0.1:1", sessions, SystemClock())
    return cast(VenueLp[Any], lp)


def http(values: Told, status: int = 200, *, is_of_taken_order: bool = False) -> Answer:
    body = json.dumps(values).encode()
    return Answer(status, body, is_of_taken_order=is_of_taken_order)


async def executed(lp: VenueLp[Any], answer: Answer) -> ExecutionOutcome:
    async def sending() -> Answer:
        return answer

    return await outcome_from(sending(), lambda heard: lp.read_execution(heard, ORDER))


async def state(lp: VenueLp[Any], answer: Answer) -> LpStatus:
    async def asking() -> Answer:
        return answer

    def read(heard: Answer) -> LpStatus:
        return lp.read_state(heard, ORDER) or Unknown(reason="NOT_FOUND", evidence="nothing")

    return await status_from(asking(), read)


@pytest.mark.parametrize("venue", VENUES)
async def test_what_nothing_is_wrong_with_is_a_fill(
    lps: Mapping[str, VenueLp[Any]], venue: str
) -> None:
    assert isinstance(await executed(lps[venue], http(EXECUTIONS[venue]())), Filled)
    assert isinstance(await state(lps[venue], http(STATES[venue]())), Filled)


@each(ODD_EXECUTIONS)
async def test_an_execution_is_known_to_be_taken_by_an_answer_that_names_it(
    lps: Mapping[str, VenueLp[Any]], venue: str, values: Told
) -> None:
    outcome = await executed(lps[venue], http(values))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == ORDER_WORKING
    assert not outcome.evidence.startswith("HTTP")


@each(ODD_STATES)
async def test_an_order_is_known_to_be_taken_by_a_state_that_names_it(
    lps: Mapping[str, VenueLp[Any]], venue: str, values: Told
) -> None:
    status = await state(lps[venue], http(values))

    assert isinstance(status, Unknown)
    assert status.reason == ORDER_WORKING
    assert not status.evidence.startswith("HTTP")


@each(THEIR_EXECUTIONS)
async def test_an_execution_is_not_known_to_be_taken_by_an_answer_that_names_another_or_none(
    lps: Mapping[str, VenueLp[Any]], venue: str, values: Told
) -> None:
    outcome = await executed(lps[venue], http(values))

    assert isinstance(outcome, Unknown)
    assert outcome.reason != ORDER_WORKING


@each(THEIR_STATES)
async def test_an_order_is_not_known_to_be_taken_by_a_state_that_names_another_or_none(
    lps: Mapping[str, VenueLp[Any]], venue: str, values: Told
) -> None:
    status = await state(lps[venue], http(values))

    assert isinstance(status, Unknown)
    assert status.reason != ORDER_WORKING


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("status", [202, 404, 500])
async def test_what_comes_with_another_status_of_http_is_no_answer_about_an_order(
    lps: Mapping[str, VenueLp[Any]], venue: str, status: int
) -> None:
    for told in (
        await executed(lps[venue], http(EXECUTIONS[venue](), status)),
        await state(lps[venue], http(STATES[venue](), status)),
    ):
        assert isinstance(told, Unknown)
        assert told.reason != ORDER_WORKING


@pytest.mark.parametrize("venue", VENUES)
async def test_once_an_order_was_acknowledged_no_answer_takes_that_back(
    lps: Mapping[str, VenueLp[Any]], venue: str
) -> None:
    for values in THEIR_EXECUTIONS[venue]:
        outcome = await executed(lps[venue], http(values, is_of_taken_order=True))

        assert isinstance(outcome, Unknown)
        assert outcome.reason == ORDER_WORKING


REJECTED: Final = {
    "sandbox": sandbox(status="rejected", code="REJECTED"),
    "okx": okx(state="rejected", fillBaseSz="", fillQuoteSz="", fillPx=""),
    "valr": valr(orderStatusType="Cancelled", totalExecutedQuantity="0", total=""),
    "binance": binance(orderStatus="FAIL", ratio=None),
    "bybit": bybit(exchangeStatus="failure", convertRate=""),
    "b2c2": b2c2(executed_price=None, trades=[]),
}


@pytest.mark.parametrize("venue", REJECTED)
async def test_a_verdict_on_our_order_is_a_verdict(
    lps: Mapping[str, VenueLp[Any]], venue: str
) -> None:
    assert isinstance(await executed(lps[venue], http(REJECTED[venue])), Rejected)
    assert isinstance(await state(lps[venue], http(REJECTED[venue])), Rejected)
