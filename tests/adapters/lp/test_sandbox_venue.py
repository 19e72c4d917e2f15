"""The sandbox venue: its prices, its behaviors, its book, and the process it is."""

import asyncio
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.lp.sandbox.behavior import Behavior, magic_behavior
from adapters.lp.sandbox.rates import REFERENCE_RATES, Rates, half_spread_bps
from app.certify.clock import BenchClock
from domain.amount import Amount
from domain.side import Side
from tests.support.sandbox_venue import RunningVenue, a_venue


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[RunningVenue]:
    async with a_venue(tmp_path) as running:
        yield running


@pytest.fixture
async def forgetful(tmp_path: Path) -> AsyncIterator[RunningVenue]:
    async with a_venue(tmp_path, deduplicates=False) as running:
        yield running


# Prices


async def test_a_price_is_the_reference_and_half_the_spread_rounded_against_the_asker(
    venue: RunningVenue,
) -> None:
    bought = await venue.quote("0.00000001")
    sold = await venue.quote("0.00000001", side="sell")

    # 1.5 naira at 20 basis points either way.
    assert bought["quote_amount"] == "1.51"
    assert sold["quote_amount"] == "1.49"
    assert bought["base_amount"] == sold["base_amount"] == "0.00000001"


async def test_a_price_lives_ten_seconds(venue: RunningVenue) -> None:
    quote = await venue.quote()

    assert quote["expire_time"] == "2026-03-02T09:30:10.000000Z"
    assert quote["client_quote_id"] == "ask-1"


async def test_the_first_venue_is_a_little_cheaper_than_the_second(tmp_path: Path) -> None:
    async with (
        a_venue(tmp_path) as alpha,
        a_venue(tmp_path, name="beta", position=2) as beta,
    ):
        for side, sign in (("buy", 1), ("sell", -1)):
            first = Fraction((await alpha.quote("1", side=side))["quote_amount"])
            second = Fraction((await beta.quote("1", side=side))["quote_amount"])
            worse_bps = sign * (second - first) / first * 10_000
            assert 3 < worse_bps < 5


UNITS: Final = st.integers(min_value=1, max_value=10**30)
CODES: Final = st.sampled_from(sorted(REFERENCE_RATES))


@settings(derandomize=True, deadline=None)
@given(code=CODES, units=UNITS, side=st.sampled_from(Side))
def test_no_round_trip_through_a_price_gains_a_unit(code: str, units: int, side: Side) -> None:
    base, _, quote = code.partition("-")
    rate = Rates(half_spread_bps(1)).find(base, quote)
    assert rate is not None
    asked = Amount(rate.instrument.quote, units)

    traded = rate.base_for(asked, side)
    again = rate.quote_for(traded, side)

    if side is Side.BUY:
        assert again <= asked
    else:
        assert asked <= again


async def test_a_moved_reference_moves_the_price(venue: RunningVenue) -> None:
    await venue.admin("PUT", "/v1/rates", {"instrument": "BTC-NGN", "price": "151000000.00"})

    assert (await venue.quote("1"))["quote_amount"] == "151302000.00"
    assert (await venue.admin("GET", "/v1/rates"))["prices"]["BTC-NGN"] == "151000000.00"


# Requests that make no sense

ASK: Final = {
    "client_quote_id": "ask-1",
    "base_asset": "BTC",
    "quote_asset": "NGN",
    "side": "buy",
    "base_amount": "0.01",
}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"base_asset": "XYZ"}, "UNKNOWN_INSTRUMENT"),
        ({"base_asset": "NGN", "quote_asset": "BTC"}, "UNKNOWN_INSTRUMENT"),
        ({"base_amount": "0.000000001"}, "TOO_MANY_DIGITS"),
        ({"base_amount": "1e3"}, "MALFORMED_AMOUNT"),
        ({"base_amount": "NaN"}, "MALFORMED_AMOUNT"),
        ({"base_amount": "-1"}, "AMOUNT_NOT_POSITIVE"),
        ({"base_amount": "0"}, "AMOUNT_NOT_POSITIVE"),
        ({"base_amount": "1" + "0" * 40}, "AMOUNT_TOO_LARGE"),
        ({"base_amount": "1" + "0" * 21}, "AMOUNT_TOO_LARGE"),
        ({"base_amount": 1}, "MALFORMED_REQUEST"),
        ({"base_amount": None}, "MALFORMED_REQUEST"),
        ({"quote_amount": "1.00"}, "MALFORMED_REQUEST"),
        ({"side": "hold"}, "MALFORMED_REQUEST"),
        ({"client_quote_id": ""}, "MALFORMED_REQUEST"),
        ({"client_quote_id": "a" * 65}, "MALFORMED_REQUEST"),
        ({"client_quote_id": "a\n"}, "MALFORMED_REQUEST"),
    ],
)
async def test_a_bad_question_is_refused_with_its_reason(
    venue: RunningVenue, changed: dict[str, Any], code: str
) -> None:
    status, answer = await venue.call("POST", "/v1/quotes", ASK | changed)

    assert (status, answer["error"]["code"]) == (400, code)


async def test_an_amount_worth_nothing_is_refused(venue: RunningVenue) -> None:
    tiny = {"base_asset": "ETH", "base_amount": "0.000000000000000001", "side": "sell"}

    status, answer = await venue.call("POST", "/v1/quotes", ASK | tiny)

    assert (status, answer["error"]["code"]) == (400, "AMOUNT_TOO_SMALL")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 9_000, b'{"side": NaN}'])
async def test_a_body_that_is_no_question_is_refused(venue: RunningVenue, body: bytes) -> None:
    for path in ("/v1/quotes", "/v1/orders"):
        status, answer = await venue.call("POST", path, body)
        assert (status, answer["error"]["code"]) == (400, "MALFORMED_REQUEST")


async def test_a_body_beyond_the_limit_an_unknown_path_and_a_wrong_method_are_refused(
    venue: RunningVenue,
) -> None:
    assert (await venue.call("POST", "/v1/quotes", b" " * 20_000))[0] == 413
    assert (await venue.call("GET", "/v1/book"))[0] == 404
    assert (await venue.call("DELETE", "/v1/quotes"))[0] == 405


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/behavior", {"behavior": "explode"}),
        ("/v1/behavior", {"behavior": "reject", "count": 0}),
        ("/v1/behavior", {"behavior": "reject", "count": True}),
        ("/v1/behavior", {"behavior": "reject", "count": "3"}),
        ("/v1/behavior", {"behavior": "late_fill", "late_ms": 0}),
        ("/v1/behavior", {"behavior": "late_fill", "late_ms": 1.5}),
        ("/v1/behavior", {"behavior": "late_fill", "late_ms": 86_400_001}),
        ("/v1/deduplication", {"enabled": 1}),
        ("/v1/rates", {"instrument": "BTC-XYZ", "price": "1.00"}),
        ("/v1/rates", {"instrument": "BTC-NGN", "price": "0.00"}),
        ("/v1/rates", {"instrument": "BTC-NGN", "price": "-1"}),
        ("/v1/rates", {"instrument": "BTC-NGN", "price": 1}),
    ],
)
async def test_a_bad_admin_request_is_refused(
    venue: RunningVenue, path: str, body: dict[str, Any]
) -> None:
    assert await venue.refused_admin("PUT", path, body) == "MALFORMED_REQUEST"


# Magic amounts


@pytest.mark.parametrize(
    ("units", "first", "second"),
    [
        (7721, Behavior.REJECT, Behavior.FILL),
        (772100, Behavior.REJECT, Behavior.FILL),
        (1237753, Behavior.CUT_AFTER_FILL, Behavior.EXPIRE),
        (7799, Behavior.OTHER_PRICE_FAR, Behavior.OTHER_PRICE_FAR),
        (7701, Behavior.FILL, Behavior.FILL),
        (7730, Behavior.FILL, Behavior.FILL),
        (77, Behavior.FILL, Behavior.FILL),
        (77211, Behavior.FILL, Behavior.FILL),
        (1, Behavior.FILL, Behavior.FILL),
    ],
)
def test_the_last_digits_of_an_amount_choose_for_each_venue(
    units: int, first: Behavior, second: Behavior
) -> None:
    assert magic_behavior(units, 1) is first
    assert magic_behavior(units, 2) is second
    assert magic_behavior(units, 3) is Behavior.FILL


async def test_a_magic_amount_is_recognized_in_either_asset(venue: RunningVenue) -> None:
    by_base = await venue.quote("0.00007721")
    fields = {name: value for name, value in ASK.items() if name != "base_amount"}
    _, by_quote = await venue.call("POST", "/v1/quotes", fields | {"quote_amount": "772100.00"})

    for number, quote in enumerate((by_base, by_quote)):
        status, answer = await venue.order(quote["quote_id"], f"order-{number}")
        assert (status, answer["error"]["code"]) == (422, "REJECTED")


async def test_a_magic_amount_can_be_refused_a_price(venue: RunningVenue) -> None:
    status, answer = await venue.call("POST", "/v1/quotes", ASK | {"base_amount": "0.7781"})

    assert (status, answer["error"]["code"]) == (422, "NO_PRICE")


# Behaviors


async def test_an_order_is_filled_at_the_quoted_amounts(venue: RunningVenue) -> None:
    quote = await venue.quote()

    status, order = await venue.order(quote["quote_id"])

    assert status == 200
    assert order["status"] == "filled"
    for field in ("base_amount", "quote_amount", "base_asset", "quote_asset", "side"):
        assert order[field] == quote[field]
    assert await venue.call("GET", "/v1/orders/order-1") == (200, order)
    assert [order | {"time": None}] == [
        execution | {"time": None} for execution in await venue.executions()
    ]


@pytest.mark.parametrize(
    ("behavior", "status", "code"),
    [("reject", 422, "REJECTED"), ("expire", 410, "QUOTE_EXPIRED")],
)
async def test_a_refused_order_is_not_executed_and_the_status_says_why(
    venue: RunningVenue, behavior: str, status: int, code: str
) -> None:
    quote = await venue.quote()
    await venue.behave(behavior)

    refused = await venue.order(quote["quote_id"])

    assert (refused[0], refused[1]["error"]["code"]) == (status, code)
    assert refused[1]["client_order_id"] == "order-1"
    known, order = await venue.call("GET", "/v1/orders/order-1")
    assert (known, order["status"], order["code"]) == (200, "rejected", code)
    assert await venue.executions() == []


async def test_a_quote_cannot_be_executed_from_its_expiry_on(venue: RunningVenue) -> None:
    in_time, late = await venue.quote(), await venue.quote()
    venue.clock.move(9.999)
    assert (await venue.order(in_time["quote_id"], "order-1"))[0] == 200
    venue.clock.move(0.001)

    status, answer = await venue.order(late["quote_id"], "order-2")

    assert (status, answer["error"]["code"]) == (410, "QUOTE_EXPIRED")


async def test_a_quote_that_was_never_given_or_is_long_over_is_not_found(
    venue: RunningVenue,
) -> None:
    old = await venue.quote()
    venue.clock.move(31)
    await venue.quote()

    for quote_id in ("alpha-q-1", old["quote_id"]):
        status, answer = await venue.order(quote_id)
        assert (status, answer["error"]["code"]) == (404, "QUOTE_NOT_FOUND")
    assert (await venue.call("GET", "/v1/orders/order-1"))[0] == 404


async def test_a_quote_is_executed_under_one_client_order_id_only(venue: RunningVenue) -> None:
    quote = await venue.quote()
    await venue.order(quote["quote_id"], "order-1")

    status, answer = await venue.order(quote["quote_id"], "order-2")

    assert (status, answer["error"]["code"]) == (409, "QUOTE_USED")
    assert len(await venue.executions()) == 1


async def test_a_slow_venue_takes_a_second_to_quote_and_three_to_fill(venue: RunningVenue) -> None:
    quote = await venue.quote("0.7741")

    status, _ = await venue.order(quote["quote_id"])

    assert status == 200
    assert venue.clock.slept == [1.0, 3.0]


async def test_an_order_being_worked_on_is_said_to_be_and_is_executed_once(
    venue: RunningVenue,
) -> None:
    quote = await venue.quote()
    await venue.behave("slow")
    venue.clock.hold()
    ordering = asyncio.create_task(venue.order(quote["quote_id"]))
    await venue.clock.somebody_sleeps()

    _, status = await venue.call("GET", "/v1/orders/order-1")
    _, again = await venue.order(quote["quote_id"])

    assert status["status"] == again["status"] == "working"
    assert await venue.executions() == []
    venue.clock.release()
    assert (await ordering)[1]["status"] == "filled"
    assert len(await venue.executions()) == 1


async def test_a_slow_fill_happens_even_when_nobody_waits_for_it(venue: RunningVenue) -> None:
    quote = await venue.quote()
    await venue.behave("slow")
    venue.clock.hold()
    ordering = asyncio.create_task(venue.order(quote["quote_id"]))
    await venue.clock.somebody_sleeps()
    ordering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ordering
    venue.clock.release()

    async with asyncio.timeout(5):
        while not await venue.executions():
            pass


@pytest.mark.parametrize(("behavior", "executed"), [("cut_after_fill", 1), ("cut_before_fill", 0)])
async def test_a_cut_connection_says_nothing_of_what_was_executed(
    venue: RunningVenue, behavior: str, executed: int
) -> None:
    quote = await venue.quote()
    await venue.behave(behavior)

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await venue.order(quote["quote_id"])

    assert len(await venue.executions()) == executed
    status, _ = await venue.call("GET", "/v1/orders/order-1")
    assert status == (200 if executed else 404)


@pytest.mark.parametrize(
    ("behavior", "side", "quote_amount"),
    [
        ("other_price", "buy", "150375150.00"),
        ("other_price", "sell", "149625150.00"),
        ("other_price_far", "buy", "151051500.00"),
        ("other_price_far", "sell", "148951500.00"),
    ],
)
async def test_another_price_is_worse_for_the_asker(
    venue: RunningVenue, behavior: str, side: str, quote_amount: str
) -> None:
    quote = await venue.quote("1", side=side)
    await venue.behave(behavior)

    _, order = await venue.order(quote["quote_id"])

    assert order["base_amount"] == quote["base_amount"]
    assert order["quote_amount"] == quote_amount


async def test_a_late_fill_is_executed_at_once_and_seen_three_seconds_later(
    venue: RunningVenue,
) -> None:
    quote = await venue.quote()
    await venue.behave("late_fill")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await venue.order(quote["quote_id"])

    assert len(await venue.executions()) == 1
    venue.clock.move(2.999)
    assert (await venue.call("GET", "/v1/orders/order-1"))[0] == 404
    venue.clock.move(0.001)
    assert (await venue.call("GET", "/v1/orders/order-1"))[1]["status"] == "filled"


async def test_a_late_fill_is_hidden_for_as_long_as_it_is_told(venue: RunningVenue) -> None:
    quote = await venue.quote()
    await venue.admin("PUT", "/v1/behavior", {"behavior": "late_fill", "late_ms": 60_000})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await venue.order(quote["quote_id"])

    venue.clock.move(59.999)
    assert (await venue.call("GET", "/v1/orders/order-1"))[0] == 404
    venue.clock.move(0.001)
    assert (await venue.call("GET", "/v1/orders/order-1"))[1]["status"] == "filled"


async def test_garbage_hides_a_fill(venue: RunningVenue) -> None:
    quote = await venue.quote()
    await venue.behave("garbage")

    with pytest.raises(aiohttp.ContentTypeError):
        await venue.order(quote["quote_id"])

    assert len(await venue.executions()) == 1


# The admin port


async def test_a_set_behavior_outranks_magic_amounts_until_it_is_cleared(
    venue: RunningVenue,
) -> None:
    quotes = [await venue.quote("0.00007721") for _ in range(2)]
    await venue.behave("fill")
    assert (await venue.order(quotes[0]["quote_id"], "order-1"))[0] == 200
    assert (await venue.quote("0.7781"))["base_amount"] == "0.77810000"

    await venue.admin("DELETE", "/v1/behavior")

    assert (await venue.order(quotes[1]["quote_id"], "order-2"))[0] == 422


async def test_a_counted_behavior_acts_so_often_and_no_more(venue: RunningVenue) -> None:
    await venue.behave("reject", count=2)
    statuses = []
    for number in range(3):
        quote = await venue.quote()
        statuses.append((await venue.order(quote["quote_id"], f"order-{number}"))[0])

    assert statuses == [422, 422, 200]
    behavior = await venue.admin("GET", "/v1/behavior")
    assert (behavior["behavior"], behavior["count"]) == (None, None)


async def test_a_refusal_to_quote_does_not_touch_orders(venue: RunningVenue) -> None:
    quote = await venue.quote()
    await venue.behave("refuse_quote", count=1)

    assert (await venue.order(quote["quote_id"]))[0] == 200
    assert (await venue.call("POST", "/v1/quotes", ASK))[0] == 422
    assert (await venue.call("POST", "/v1/quotes", ASK))[0] == 200


# The book


async def test_with_deduplication_the_same_id_is_the_same_order_whatever_happened(
    venue: RunningVenue,
) -> None:
    filled, refused = await venue.quote(), await venue.quote("0.00007721")
    first = [
        await venue.order(filled["quote_id"], "order-1"),
        await venue.order(refused["quote_id"], "order-2"),
    ]
    venue.clock.move(60)
    again = [
        await venue.order(filled["quote_id"], "order-1"),
        await venue.order(refused["quote_id"], "order-2"),
    ]

    for before, after in zip(first, again, strict=True):
        assert before[0] == after[0]
        assert before[1] | {"time": None} == after[1] | {"time": None}
    assert len(await venue.executions()) == 1


async def test_without_deduplication_every_order_executes_again(forgetful: RunningVenue) -> None:
    quote = await forgetful.quote()

    for _ in range(3):
        await forgetful.order(quote["quote_id"])

    ids = [execution["order_id"] for execution in await forgetful.executions("order-1")]
    assert len(set(ids)) == 3


async def test_deduplication_can_be_switched(venue: RunningVenue) -> None:
    quote = await venue.quote()
    for is_on in (False, True):
        switched = await venue.admin("PUT", "/v1/deduplication", {"enabled": is_on})
        assert switched["enabled"] is is_on
        for _ in range(2):
            await venue.order(quote["quote_id"])

    assert len(await venue.executions()) == 2


async def test_a_fill_outranks_a_refusal_under_the_same_id(forgetful: RunningVenue) -> None:
    refused, filled = await forgetful.quote("0.00007721"), await forgetful.quote()
    await forgetful.order(refused["quote_id"])
    await forgetful.order(filled["quote_id"])

    _, order = await forgetful.call("GET", "/v1/orders/order-1")

    assert order["status"] == "filled"


async def test_the_book_is_there_again_after_a_restart(tmp_path: Path) -> None:
    clock = BenchClock()
    async with a_venue(tmp_path, clock=clock) as venue:
        quote, refused = await venue.quote(), await venue.quote("0.00007721")
        first = (await venue.order(quote["quote_id"], "order-1"))[1]["order_id"]
        await venue.order(refused["quote_id"], "order-2")
        before = await venue.admin("GET", "/v1/book")

    async with a_venue(tmp_path, clock=clock) as venue:
        assert await venue.admin("GET", "/v1/book") == before
        assert [len(before[part]) for part in ("executions", "rejections")] == [1, 1]
        assert (await venue.order(quote["quote_id"], "order-1"))[1]["order_id"] == first
        fresh = await venue.quote()
        assert fresh["quote_id"] != quote["quote_id"]
        assert (await venue.order(fresh["quote_id"], "order-3"))[1]["order_id"] != first


async def test_no_order_id_comes_twice_though_a_book_was_lost(tmp_path: Path) -> None:
    ids = set()
    for data_dir in (tmp_path / "lost", tmp_path / "new"):
        async with a_venue(data_dir) as venue:
            quote = await venue.quote()
            ids.add((await venue.order(quote["quote_id"], "order-1"))[1]["order_id"])

    assert len(ids) == 2


async def test_two_venues_do_not_share_a_book(tmp_path: Path) -> None:
    async with a_venue(tmp_path):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            async with a_venue(tmp_path):
                pass
        async with a_venue(tmp_path, name="beta", position=2) as beta:
            assert await beta.executions() == []


async def test_the_book_refuses_to_be_changed(tmp_path: Path) -> None:
    async with a_venue(tmp_path) as venue:
        quote = await venue.quote()
        await venue.order(quote["quote_id"])

    book = sqlite3.connect(tmp_path / "alpha.sqlite3")
    try:
        for change in ("UPDATE orders SET status = 'rejected', code = 'X'", "DELETE FROM orders"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                book.execute(change)
    finally:
        book.close()


@pytest.mark.parametrize(("name", "position"), [("Alpha", 1), ("../alpha", 1), ("alpha", 0)])
async def test_a_venue_needs_a_plain_name_and_a_position(
    tmp_path: Path, name: str, position: int
) -> None:
    with pytest.raises(ValueError, match="lower-case name"):
        async with a_venue(tmp_path, name=name, position=position):
            pass


# The process

PROGRAM: Final = """
import sys
from pathlib import Path

import uvloop

from adapters.lp.sandbox.venue import run_venue

heavy = {"sqlalchemy", "grpc", "google", "pydantic", "asyncpg", "nats"} & set(sys.modules)
assert not heavy, heavy
_, port, admin_port, data_dir = sys.argv
uvloop.run(
    run_venue(
        name="alpha",
        port=int(port),
        admin_port=int(admin_port),
        data_dir=Path(data_dir),
        position=1,
    )
)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def a_venue_process(data_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port), str(free_port()), str(data_dir)
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            while process.returncode is None:
                try:
                    async with session.get(f"{url}/v1/time") as response:
                        assert response.status == 200
                        break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.02)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_venue_still_knows_its_orders_and_a_stopped_one_ends_well(
    tmp_path: Path,
) -> None:
    async with aiohttp.ClientSession() as session:
        async with a_venue_process(tmp_path) as (process, url):
            async with session.post(f"{url}/v1/quotes", json=ASK) as response:
                quote = await response.json()
            order = {"client_order_id": "order-1", "quote_id": quote["quote_id"]}
            async with session.post(f"{url}/v1/orders", json=order) as response:
                order_id = (await response.json())["order_id"]
            process.kill()
            await process.wait()

        async with a_venue_process(tmp_path) as (process, url):
            async with session.get(f"{url}/v1/orders/order-1") as response:
                assert (await response.json())["order_id"] == order_id
            process.terminate()
            async with asyncio.timeout(10):
                assert await process.wait() == 0
