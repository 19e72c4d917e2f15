"""What the adapter makes of every way in which a venue can fail to answer well.

The venue here is a socket that says exactly what the test wrote, byte by byte.
"""

import asyncio
import gzip
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, Final

import pytest

from adapters.lp.http import (
    FRESH_S,
    MAX_ANSWER_BYTES,
    Answer,
    Call,
    Connection,
    LpSessions,
    NoAnswer,
    NotConnected,
    after_sending,
    open_lp_sessions,
)
from adapters.lp.outcome import outcome_from, price_from
from adapters.lp.reading import BadAnswer
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.provider import SandboxLp
from domain.ids import AttemptId, LpQuoteRequestId
from domain.side import Side
from domain.trade.outcome import ORDER_WORKING, Absent, Filled, NotSent, Rejected, Unknown
from ports.liquidity import (
    ExecutionOutcome,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpStatus,
    LpUnavailable,
    Working,
)
from tests.support.builders import BTC_NGN, an_id, btc, ngn

ATTEMPT: Final = an_id(AttemptId)
ASK: Final = an_id(LpQuoteRequestId)
EXPIRES_AT: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
"""Of the LP's quote, less the margin of one second."""

FILL: Final = {
    "order_id": "alpha-7",
    "client_order_id": str(ATTEMPT),
    "status": "filled",
    "base_asset": "BTC",
    "quote_asset": "NGN",
    "side": "buy",
    "base_amount": "0.01000000",
    "quote_amount": "1503000.00",
    "time": "2026-03-02T09:30:00Z",
}

PRICE: Final = {
    "quote_id": "alpha-q-7",
    "client_quote_id": str(ASK),
    "base_asset": "BTC",
    "quote_asset": "NGN",
    "side": "buy",
    "base_amount": "0.01000000",
    "quote_amount": "1503000.00",
    "expire_time": "2026-03-02T09:30:10Z",
    "time": "2026-03-02T09:30:00Z",
}

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]
Ask = Callable[[LpSessions, SandboxLpConfig], Awaitable[ExecutionOutcome | LpStatus]]


def http(status: int, body: str | bytes, content_type: str = "application/json") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {status} Words\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def answer(fields: dict[str, Any], http_status: int = 200, /, **changed: Any) -> bytes:
    return http(http_status, json.dumps(fields | changed))


def refusal(status: int, code: str, **fields: Any) -> bytes:
    return answer({"error": {"code": code, "message": "no"}, **fields}, status)


def without(fields: dict[str, Any], field: str) -> bytes:
    return answer({name: value for name, value in fields.items() if name != field})


@asynccontextmanager
async def a_venue_that_says(said: bytes | Say) -> AsyncIterator[str]:
    """Serve one answer to every request, then close the connection."""
    open_handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_handlers.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            sizes = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
            if sizes:
                await reader.readexactly(int(sizes[0].partition(b":")[2]))
            if isinstance(said, bytes):
                writer.write(said)
                await writer.drain()
            else:
                await said(writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            open_handlers.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in list(open_handlers):
            task.cancel()


@pytest.fixture(scope="module")
async def sessions() -> AsyncIterator[LpSessions]:
    async with open_lp_sessions() as opened:
        yield opened


def a_config(url: str, **changed: Any) -> SandboxLpConfig:
    return SandboxLpConfig(**({"name": "alpha", "url": url} | changed))


async def execute(sessions: LpSessions, config: SandboxLpConfig) -> ExecutionOutcome:
    return await SandboxLp(config, sessions).execute(
        client_order_id=ATTEMPT,
        reference="alpha-q-7",
        instrument=BTC_NGN,
        side=Side.BUY,
        base=btc("0.01"),
        quote=ngn("1503000"),
    )


async def get_status(sessions: LpSessions, config: SandboxLpConfig) -> LpStatus:
    return await SandboxLp(config, sessions).get_status(
        client_order_id=ATTEMPT,
        reference="alpha-q-7",
        instrument=BTC_NGN,
        side=Side.BUY,
        lp_quote_expires_at=EXPIRES_AT,
    )


async def request_quote(sessions: LpSessions, config: SandboxLpConfig) -> Any:
    return await SandboxLp(config, sessions).request_quote(
        LpQuoteRequest(id=ASK, instrument=BTC_NGN, side=Side.BUY, fixed=btc("0.01"))
    )


# Executions


async def test_a_fill_that_names_our_order_is_a_fill(sessions: LpSessions) -> None:
    async with a_venue_that_says(answer(FILL)) as url:
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Filled)
    assert outcome.base == btc("0.01")
    assert outcome.quote == ngn("1503000")
    assert outcome.venue_order_id == "alpha-7"


async def test_a_fill_at_other_amounts_is_reported_with_the_venues_amounts(
    sessions: LpSessions,
) -> None:
    async with a_venue_that_says(answer(FILL, quote_amount="1503751.50")) as url:
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Filled)
    assert outcome.quote == ngn("1503751.50")


UNCLEAR: Final = {
    "nothing": (b"", "LP_DISCONNECTED"),
    "half a status line": (b"HTTP/1.1 20", "LP_DISCONNECTED"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "LP_DISCONNECTED"),
    "half a body": (answer(FILL)[:-30], "LP_DISCONNECTED"),
    "another protocol": (
        b"HTTP/1.1 101 Words\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "LP_DISCONNECTED",
    ),
    "a web page": (http(200, "<html>", "text/html"), "LP_ANSWER_UNREADABLE"),
    "no body": (http(200, ""), "LP_ANSWER_UNREADABLE"),
    "no UTF-8": (http(200, b"\xff\xfe\x00"), "LP_ANSWER_UNREADABLE"),
    "a list": (http(200, "[]"), "LP_ANSWER_UNREADABLE"),
    "brackets without end": (http(200, "[" * 50_000), "LP_ANSWER_UNREADABLE"),
    "a number without end": (http(200, '{"a":' + "9" * 50_000 + "}"), "LP_ANSWER_UNREADABLE"),
    "a redirect": (http(302, ""), "LP_HTTP_302"),
    "a server error": (http(500, "{}"), "LP_HTTP_500"),
    "a server error with a verdict": (refusal(503, "REJECTED"), "LP_HTTP_503"),
    "an overload": (http(429, "slow down"), "LP_ANSWER_UNREADABLE"),
    "an overload in our form": (refusal(429, "RATE_LIMITED"), "LP_NO_VERDICT"),
    "a refusal of another kind": (refusal(400, "MALFORMED_REQUEST"), "LP_NO_VERDICT"),
    "a refusal without a code": (answer({"error": {}}, 400), "LP_ANSWER_UNREADABLE"),
    "a refusal in plain words": (answer({"error": "REJECTED"}, 400), "LP_ANSWER_UNREADABLE"),
    "a verdict on another order": (
        refusal(422, "REJECTED", client_order_id=str(an_id(AttemptId))),
        "LP_WRONG_ECHO",
    ),
    "a verdict with a success": (refusal(200, "REJECTED"), "LP_WRONG_ECHO"),
    "a refusal of our order by no verdict": (
        refusal(400, "RATE_LIMITED", client_order_id=str(ATTEMPT)),
        "LP_NO_VERDICT",
    ),
    "a server error with our order": (answer(FILL, 500), "LP_HTTP_500"),
    "another order": (answer(FILL, client_order_id=str(an_id(AttemptId))), "LP_WRONG_ECHO"),
    "another order that makes no sense": (
        answer(FILL, client_order_id=str(an_id(AttemptId)), base_amount="1e-2"),
        "LP_WRONG_ECHO",
    ),
    "no id of ours": (without(FILL, "client_order_id"), "LP_WRONG_ECHO"),
    "NaN": (answer(FILL, fee=float("nan")), "LP_ANSWER_UNREADABLE"),
}
"""Said without naming our order."""

OURS: Final = {
    "another base": (answer(FILL, base_asset="ETH"), "base_asset"),
    "another quote asset": (answer(FILL, quote_asset="KES"), "quote_asset"),
    "another side": (answer(FILL, side="sell"), "side"),
    "a partial fill": (answer(FILL, status="partially_filled"), "unknown status"),
    "a rejection without a code": (answer(FILL, status="rejected"), "code"),
    "a rejection by no verdict": (
        answer(FILL, status="rejected", code="HALTED"),
        "the code is no verdict",
    ),
    "too many digits": (answer(FILL, base_amount="0.010000001"), "base_amount"),
    "an exponent": (answer(FILL, base_amount="1e-2"), "base_amount"),
    "zero": (answer(FILL, base_amount="0.00000000"), "base_amount"),
    "a negative amount": (answer(FILL, quote_amount="-1.00"), "quote_amount"),
    "too much": (answer(FILL, quote_amount="1" + "0" * 30), "quote_amount"),
    "a number for an amount": (answer(FILL, quote_amount=1503000), "quote_amount"),
    "a fraction for an amount": (answer(FILL, quote_amount=1503000.5), "quote_amount"),
    "NaN for an amount": (answer(FILL, quote_amount="NaN"), "quote_amount"),
    "an id that cannot be stored": (answer(FILL, order_id="a\x00b"), "order_id"),
    **{
        f"no {field}": (without(FILL, field), field)
        for field in FILL
        if field not in ("time", "client_order_id")
    },
}
"""Said of our order, and what is wrong with it."""


@pytest.mark.parametrize(("said", "reason"), UNCLEAR.values(), ids=UNCLEAR)
async def test_an_execution_answered_with_anything_unclear_is_unknown(
    sessions: LpSessions, said: bytes, reason: str
) -> None:
    async with a_venue_that_says(said) as url:
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == reason
    assert 0 < len(outcome.evidence) <= 500
    assert outcome.evidence.isprintable()


@pytest.mark.parametrize("ask", [execute, get_status])
@pytest.mark.parametrize(("said", "wrong"), OURS.values(), ids=OURS)
async def test_whatever_is_wrong_with_an_answer_that_names_our_order_the_venue_has_it(
    sessions: LpSessions, ask: Ask, said: bytes, wrong: str
) -> None:
    async with a_venue_that_says(said) as url:
        told = await ask(sessions, a_config(url))

    assert isinstance(told, Unknown)
    assert told.reason == ORDER_WORKING
    assert wrong in told.evidence.partition("HTTP 200")[0]


async def test_an_order_that_is_worked_on_is_unknown_and_the_venue_has_it(
    sessions: LpSessions,
) -> None:
    async with a_venue_that_says(answer(FILL, status="working")) as url:
        outcome = await execute(sessions, a_config(url))
        status = await get_status(sessions, a_config(url))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == ORDER_WORKING
    assert isinstance(status, Working)


@pytest.mark.parametrize("code", ["REJECTED", "QUOTE_NOT_FOUND", "QUOTE_USED", "QUOTE_EXPIRED"])
@pytest.mark.parametrize("echo", [{}, {"client_order_id": str(ATTEMPT)}])
async def test_a_verdict_on_the_list_is_a_rejection(
    sessions: LpSessions, code: str, echo: dict[str, str]
) -> None:
    async with a_venue_that_says(refusal(422, code, **echo)) as url:
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Rejected)
    assert outcome.reason == f"LP_{code}"
    assert outcome.lp_quote_expired is (code == "QUOTE_EXPIRED")
    assert code in outcome.evidence


async def test_a_refused_connection_means_not_sent(sessions: LpSessions) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, NotSent)
    assert outcome.evidence


async def test_a_name_that_does_not_resolve_means_not_sent(sessions: LpSessions) -> None:
    outcome = await execute(sessions, a_config("http://venue.invalid:80"))

    assert isinstance(outcome, NotSent)


async def test_a_venue_is_found_by_its_name_while_every_thread_waits_for_something_else() -> None:
    released = Event()
    loop = asyncio.get_running_loop()
    waiting = [loop.run_in_executor(None, released.wait) for _ in range(64)]

    try:
        async with open_lp_sessions() as sessions, a_venue_that_says(answer(FILL)) as url:
            config = a_config(
                url.replace("127.0.0.1", "localhost"), connect_timeout=timedelta(seconds=2)
            )
            outcome = await execute(sessions, config)
    finally:
        released.set()
        await asyncio.gather(*waiting)

    assert isinstance(outcome, Filled)


async def test_a_connection_that_is_not_made_in_time_means_not_sent(sessions: LpSessions) -> None:
    # With its queue full, a listening socket lets no further connection be made.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for queued in (first, second):
            queued.setblocking(False)
            queued.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"

        outcome = await execute(sessions, a_config(url, connect_timeout=timedelta(milliseconds=50)))

    assert isinstance(outcome, NotSent)


async def test_what_was_sent_is_not_undone_by_a_venue_that_then_cannot_be_reached() -> None:
    async def looking() -> Answer:
        raise NotConnected("nobody listens")

    with pytest.raises(NoAnswer):
        await after_sending(looking())


@pytest.mark.parametrize(
    "looking", [Answer(404, b"{}"), NoAnswer("LP_TIMEOUT", "late"), NotConnected("away")]
)
async def test_an_order_that_the_venue_took_stays_taken_whatever_it_says_next(
    looking: Answer | Exception,
) -> None:
    async def look() -> Answer:
        if isinstance(looking, Exception):
            raise looking
        return looking

    def read(answer: Answer) -> Filled:
        raise BadAnswer("LP_HTTP_404", "no such order")

    outcome = await outcome_from(after_sending(look()), read)

    assert isinstance(outcome, Unknown)
    assert outcome.reason == ORDER_WORKING


async def test_no_answer_in_time_is_unknown(sessions: LpSessions) -> None:
    async def wait(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with a_venue_that_says(wait) as url:
        outcome = await execute(sessions, a_config(url, execute_timeout=timedelta(milliseconds=50)))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == "LP_TIMEOUT"


async def test_an_answer_that_drips_is_cut_off_at_the_time_limit(sessions: LpSessions) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)

    async with a_venue_that_says(drip) as url:
        outcome = await execute(sessions, a_config(url, execute_timeout=timedelta(milliseconds=50)))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == "LP_TIMEOUT"


async def test_a_huge_answer_is_not_read_to_its_end(sessions: LpSessions) -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        size = 1 << 30
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        while sent < size:
            writer.write(b" " * MAX_ANSWER_BYTES)
            sent += MAX_ANSWER_BYTES
            await writer.drain()

    async with a_venue_that_says(flood) as url:
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == "LP_ANSWER_TOO_LARGE"
    assert sent < 1 << 28


async def test_a_packed_answer_is_not_unpacked(sessions: LpSessions) -> None:
    body = gzip.compress(json.dumps(FILL).encode())
    packed = http(200, body, "application/json\r\nContent-Encoding: gzip")

    async with a_venue_that_says(packed) as url:
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == "LP_ANSWER_UNREADABLE"


async def test_a_redirect_to_a_closed_port_is_not_taken_for_not_sent(sessions: LpSessions) -> None:
    redirect = (
        b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    )

    async with a_venue_that_says(redirect) as url:
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(("pause_s", "connections"), [(0.0, 1), (FRESH_S + 0.2, 2)])
async def test_an_execution_takes_only_a_connection_that_was_used_just_now(
    sessions: LpSessions, pause_s: float, connections: int
) -> None:
    peers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername"))
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
                await reader.readexactly(length)
                writer.write(answer(FILL))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert isinstance(await execute(sessions, a_config(url)), Filled)
        await asyncio.sleep(pause_s)
        assert isinstance(await execute(sessions, a_config(url)), Filled)

    assert len(set(peers)) == connections


@asynccontextmanager
async def a_venue_that_hangs_up_on_the_second(
    said: bytes,
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Each connection answers one request, takes another one and ends; yield what was asked."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            for answer in (said, b""):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
                asked.append(await reader.readexactly(length))
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_an_execution_that_a_kept_connection_swallowed_is_unknown_and_not_sent_again() -> (
    None
):
    async with (
        open_lp_sessions() as sessions,
        a_venue_that_hangs_up_on_the_second(answer(FILL)) as (url, asked),
    ):
        assert isinstance(await execute(sessions, a_config(url)), Filled)
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == "LP_DISCONNECTED"
    assert len(asked) == 2


async def test_a_price_that_a_kept_connection_swallowed_is_asked_for_again() -> None:
    async with (
        open_lp_sessions() as sessions,
        a_venue_that_hangs_up_on_the_second(answer(PRICE)) as (url, asked),
    ):
        for _ in range(2):
            assert await request_quote(sessions, a_config(url))

    assert len(asked) == 3


async def test_an_answer_that_ends_with_its_connection_is_whole(sessions: LpSessions) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + json.dumps(FILL).encode()

    async with a_venue_that_says(said) as url:
        assert isinstance(await execute(sessions, a_config(url)), Filled)


@pytest.mark.parametrize(
    "call",
    [
        Call("POST", "/v1/orders", b"{}", {"X-Key": "a\r\nX-Other: b"}),
        Call("POST", "/v1/orders", b"{}", {"X-Key": "a\n"}),
        Call("POST", "/v1/orders", b"{}", {"X-Key": "clé"}),
        Call("GET", "/v1/orders HTTP/1.1\r\nX-Other: b"),
        Call("GET", "/v1/a b"),
    ],
)
async def test_no_header_and_no_target_becomes_more_than_one(
    sessions: LpSessions, call: Call
) -> None:
    async with a_venue_that_hangs_up_on_the_second(answer(FILL)) as (url, asked):
        with pytest.raises(NoAnswer) as failed:
            await Connection(a_config(url), sessions).execute(call)

    assert failed.value.reason == "LP_CALL_FAILED"
    assert not asked


async def test_a_closed_session_does_not_raise_from_an_execution() -> None:
    async with open_lp_sessions() as closed:
        pass

    outcome = await execute(closed, a_config("http://127.0.0.1:1"))

    assert isinstance(outcome, Unknown)
    assert outcome.reason == "LP_CALL_FAILED"


async def test_long_and_binary_evidence_is_made_short_and_printable(sessions: LpSessions) -> None:
    async with a_venue_that_says(http(500, b"\x00\n\xff" * 9_000)) as url:
        outcome = await execute(sessions, a_config(url))

    assert isinstance(outcome, Unknown)
    assert len(outcome.evidence) <= 500
    assert outcome.evidence.isprintable()


# Status


@pytest.mark.parametrize(("said", "reason"), UNCLEAR.values(), ids=UNCLEAR)
async def test_a_status_answered_with_anything_unclear_is_unknown(
    sessions: LpSessions, said: bytes, reason: str
) -> None:
    async with a_venue_that_says(said) as url:
        status = await get_status(sessions, a_config(url))

    assert isinstance(status, Unknown)
    assert status.reason != ORDER_WORKING


async def test_the_status_of_a_rejected_order_is_its_verdict(sessions: LpSessions) -> None:
    said = answer(FILL, status="rejected", code="QUOTE_EXPIRED")
    async with a_venue_that_says(said) as url:
        status = await get_status(sessions, a_config(url))

    assert isinstance(status, Rejected)
    assert status.lp_quote_expired


@pytest.mark.parametrize(
    ("venue_time", "is_authoritative", "expected"),
    [
        # The margin of 1 s and the window of 2 s after the expiry that we hold.
        ("2026-03-02T09:30:03Z", True, Unknown),
        ("2026-03-02T09:30:03.000001Z", True, Absent),
        ("2026-03-02T12:30:02+03:00", True, Unknown),
        ("2026-03-02T12:30:04+03:00", True, Absent),
        ("2030-01-01T00:00:00Z", False, Unknown),
        ("2030-01-01T00:00:00", True, Unknown),
        ("soon", True, Unknown),
        (None, True, Unknown),
    ],
)
async def test_not_found_means_absent_only_once_the_venues_own_clock_allows_it(
    sessions: LpSessions, venue_time: str | None, is_authoritative: bool, expected: type
) -> None:
    async with a_venue_that_says(refusal(404, "ORDER_NOT_FOUND", time=venue_time)) as url:
        status = await get_status(sessions, a_config(url, status_is_authoritative=is_authoritative))

    assert isinstance(status, expected)


@pytest.mark.parametrize(
    "said",
    [
        http(404, "<html>", "text/html"),
        refusal(404, "HTTP_404", time="2030-01-01T00:00:00Z"),
        refusal(410, "ORDER_NOT_FOUND", time="2030-01-01T00:00:00Z"),
        refusal(200, "ORDER_NOT_FOUND", time="2030-01-01T00:00:00Z"),
    ],
)
async def test_not_found_in_any_other_form_is_unknown(sessions: LpSessions, said: bytes) -> None:
    async with a_venue_that_says(said) as url:
        assert isinstance(await get_status(sessions, a_config(url)), Unknown)


async def test_a_status_that_cannot_be_asked_for_is_unknown(sessions: LpSessions) -> None:
    status = await get_status(sessions, a_config("http://127.0.0.1:1"))

    assert isinstance(status, Unknown)


# Quotes


async def test_a_price_is_over_a_margin_before_the_venue_says(sessions: LpSessions) -> None:
    async with a_venue_that_says(answer(PRICE)) as url:
        quote = await request_quote(
            sessions, a_config(url, quote_safety_margin=timedelta(seconds=4))
        )

    assert quote.expires_at == datetime(2026, 3, 2, 9, 30, 6, tzinfo=UTC)
    assert quote.reference == "alpha-q-7"
    assert (quote.base, quote.quote) == (btc("0.01"), ngn("1503000"))


UNUSABLE: Final = {
    "nothing": b"",
    "half a body": answer(PRICE)[:-30],
    "a web page": http(200, "<html>", "text/html"),
    "a server error": http(500, "{}"),
    "a refusal with a server error": refusal(503, "NO_PRICE"),
    "an overload": refusal(429, "RATE_LIMITED"),
    "another question": answer(PRICE, client_quote_id=str(an_id(LpQuoteRequestId))),
    "another base": answer(PRICE, base_asset="ETH"),
    "another side": answer(PRICE, side="sell"),
    "too many digits": answer(PRICE, quote_amount="1503000.001"),
    "zero": answer(PRICE, quote_amount="0.00"),
    "a number for an amount": answer(PRICE, quote_amount=1503000.5),
    "no expiry": without(PRICE, "expire_time"),
    "an expiry without a zone": answer(PRICE, expire_time="2026-03-02T09:30:10"),
    "an expiry before all time": answer(PRICE, expire_time="0001-01-01T00:00:00Z"),
    "an expiry inside the margin": answer(PRICE, expire_time="2026-03-02T09:30:01Z"),
    "a reference that cannot be stored": answer(PRICE, quote_id="a\ud800"),
    "an endless reference": answer(PRICE, quote_id="a" * 129),
}


@pytest.mark.parametrize("said", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_price_that_cannot_be_used_makes_the_venue_unavailable(
    sessions: LpSessions, said: bytes
) -> None:
    async with a_venue_that_says(said) as url:
        with pytest.raises(LpUnavailable) as refused:
            await request_quote(sessions, a_config(url))

    assert refused.value.metadata["lp"] == "alpha"
    assert refused.value.metadata["cause"]


async def test_an_adapter_that_stumbles_over_a_price_makes_the_venue_unavailable() -> None:
    async def asking() -> Answer:
        return Answer(200, b"{}")

    def read(answer: Answer) -> LpQuote:
        raise OverflowError("date value out of range")

    request = LpQuoteRequest(id=ASK, instrument=BTC_NGN, side=Side.BUY, fixed=btc("0.01"))
    with pytest.raises(LpUnavailable) as refused:
        await price_from(asking(), read, lp="alpha", request=request)

    assert refused.value.metadata == {"lp": "alpha", "cause": "LP_ANSWER_UNREADABLE"}


async def test_a_venue_that_says_no_price_has_refused(sessions: LpSessions) -> None:
    async with a_venue_that_says(refusal(422, "NO_PRICE")) as url:
        with pytest.raises(LpRefused) as refused:
            await request_quote(sessions, a_config(url))

    assert refused.value.metadata == {"lp": "alpha", "code": "NO_PRICE"}


async def test_a_price_that_comes_too_late_makes_the_venue_unavailable(
    sessions: LpSessions,
) -> None:
    async def wait(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with a_venue_that_says(wait) as url:
        with pytest.raises(LpUnavailable):
            await request_quote(sessions, a_config(url, quote_timeout=timedelta(milliseconds=50)))
