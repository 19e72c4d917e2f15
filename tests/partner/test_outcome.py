"""How commands end: what may have happened is never hidden, and how to find out is said."""

import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from reli.quote.v1.quote_pb2 import Quote
from reli.quote.v1.quote_service_pb2 import (
    AcceptQuoteRequest,
    AcceptQuoteResponse,
    CreateQuoteRequest,
    CreateQuoteResponse,
)
from reli.trade.v1.trade_pb2 import Trade
from reli.trade.v1.trade_service_pb2 import (
    GetTradeReceiptRequest,
    GetTradeRequest,
    GetTradeResponse,
)
from reli.type.v1.amount_pb2 import Amount
from reli.type.v1.side_pb2 import SIDE_BUY
from reli.webhook.v1.webhook_service_pb2 import CreateWebhookEndpointRequest
from tests.support.command import Command

KEY = "reli_canary-of-a-command-0123456789"
QUOTE = "quote_01h455vb4pex5vsknk084sn02q"
TRADE = "trade_01h455vb4pex5vsknk084sn02q"

_BTC, _NGN = Amount(value="0.01000000", asset="BTC"), Amount(value="1503000.00", asset="NGN")


@dataclass(frozen=True)
class Refused:
    """What a stand-in says instead of an answer; without a reason it is as if it was lost."""

    code: grpc.StatusCode
    reason: str = ""
    retry: str = "never"

    def status(self) -> bytes:
        detail = AnyMessage()
        detail.Pack(
            ErrorInfo(reason=self.reason, domain="reli.dev", metadata={"retry": self.retry})
        )
        status = Status(code=self.code.value[0], message="said a stand-in", details=[detail])
        return status.SerializeToString()


LOST = Refused(grpc.StatusCode.UNAVAILABLE)
POOR = Refused(grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS")
REVOKED = Refused(grpc.StatusCode.UNAUTHENTICATED, "API_KEY_REVOKED")
BUSY = Refused(grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS", "same_request")

Answer = Message | Refused


@dataclass
class Platform:
    """Stands in for the platform: of each method what it answers, the last answer for ever."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    heard: list[Message] = field(default_factory=list)
    port: int = 0

    def heard_of(self, kind: type[Message]) -> Sequence[Any]:
        return [request for request in self.heard if isinstance(request, kind)]

    def handler(self, method: str, request: type[Message]) -> Any:
        def answer(message: Message, context: grpc.ServicerContext) -> Message:
            self.heard.append(message)
            left = self.answers[method]
            said = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(said, Refused):
                if said.reason:
                    context.set_trailing_metadata((("grpc-status-details-bin", said.status()),))
                context.abort(said.code, "said a stand-in")
            return said

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    server = grpc.server(ThreadPoolExecutor(4))
    for service, methods in (
        (
            "reli.quote.v1.QuoteService",
            {"CreateQuote": CreateQuoteRequest, "AcceptQuote": AcceptQuoteRequest},
        ),
        (
            "reli.trade.v1.TradeService",
            {"GetTrade": GetTradeRequest, "GetTradeReceipt": GetTradeReceiptRequest},
        ),
        (
            "reli.webhook.v1.WebhookService",
            {"CreateWebhookEndpoint": CreateWebhookEndpointRequest},
        ),
    ):
        handlers = {name: platform.handler(name, request) for name, request in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    platform.port = server.add_insecure_port("127.0.0.1:0")
    platform.answers = {
        "CreateQuote": [CreateQuoteResponse(quote=a_quote())],
        "GetTradeReceipt": [Refused(grpc.StatusCode.NOT_FOUND, "TRADE_NOT_FOUND")],
    }
    server.start()
    yield platform
    server.stop(None).wait()


@pytest.fixture
def reli(tmp_path: Path, platform: Platform) -> Command:
    return at(platform.port, tmp_path)


def at(port: int, home: Path) -> Command:
    url = f"http://127.0.0.1:{port}"
    return Command(home=home, secrets={KEY}, variables={"RELI_URL": url, "RELI_KEY": KEY})


def a_quote() -> Quote:
    quote = Quote(id=QUOTE, side=SIDE_BUY, base_amount=_BTC, quote_amount=_NGN)
    quote.create_time.FromDatetime(datetime(2026, 3, 2, tzinfo=UTC))
    quote.expire_time.FromDatetime(datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=10))
    return quote


def accepted(state: str) -> AcceptQuoteResponse:
    return AcceptQuoteResponse(trade=a_trade(state))


def a_trade(state: str) -> Trade:
    return Trade(
        id=TRADE,
        quote_id=QUOTE,
        side=SIDE_BUY,
        base_amount=_BTC,
        quote_amount=_NGN,
        state=f"TRADE_STATE_{state}",
        rejection_reason="EXECUTION_WINDOW_PASSED" if state == "REJECTED" else "",
    )


def test_a_settled_trade_ends_with_0(reli: Command, platform: Platform) -> None:
    platform.answers["AcceptQuote"] = [accepted("SETTLED")]

    ended = reli.run("accept", QUOTE)

    assert ended.code == 0
    assert "settled" in ended.out
    assert TRADE in ended.out


def test_a_rejected_trade_ends_with_1_and_says_why(reli: Command, platform: Platform) -> None:
    platform.answers["AcceptQuote"] = [accepted("REJECTED")]

    ended = reli.run("accept", QUOTE)

    assert ended.code == 1
    assert "EXECUTION_WINDOW_PASSED" in ended.out


def test_a_refusal_ends_with_1_its_reason_and_its_remedy(reli: Command, platform: Platform) -> None:
    platform.answers["AcceptQuote"] = [POOR]

    ended = reli.run("accept", QUOTE)

    assert (ended.code, ended.out) == (1, "")
    assert "INSUFFICIENT_FUNDS" in ended.err
    assert "Fund the account" in ended.err
    assert len(platform.heard) == 1


def test_an_answer_lost_for_good_ends_with_3_and_the_command_that_finds_out(
    reli: Command, platform: Platform
) -> None:
    platform.answers["AcceptQuote"] = [LOST]
    lost = reli.run("accept", QUOTE)
    platform.answers["AcceptQuote"] = [accepted("SETTLED")]

    found = reli.run(*shlex.split(lost.err.splitlines()[-1].removeprefix("reli:"))[1:])

    assert lost.code == 3
    assert "It may have happened or not" in lost.err
    assert found.code == 0
    sent = platform.heard_of(AcceptQuoteRequest)
    assert len(sent) == 5  # the library's four, and the one that found out
    assert len({(one.quote_id, one.request_id) for one in sent}) == 1


def test_the_request_id_is_told_before_the_first_attempt(reli: Command, platform: Platform) -> None:
    platform.answers["AcceptQuote"] = [LOST]

    first = reli.run("accept", QUOTE).err.splitlines()[0]

    assert platform.heard_of(AcceptQuoteRequest)[0].request_id in first


def test_what_was_lost_once_and_then_answered_is_done(reli: Command, platform: Platform) -> None:
    platform.answers["AcceptQuote"] = [LOST, BUSY, accepted("SETTLED")]

    assert reli.run("accept", QUOTE).code == 0


def test_what_was_lost_once_and_is_then_not_let_in_is_unknown(
    reli: Command, platform: Platform
) -> None:
    platform.answers["AcceptQuote"] = [LOST, REVOKED]

    ended = reli.run("accept", QUOTE, "--json")

    assert ended.code == 3
    ours, theirs = ended.problem["details"]
    assert ours["reason"] == "OUTCOME_UNKNOWN"
    assert shlex.split(ours["metadata"]["command"])[:3] == ["reli", "accept", QUOTE]
    assert theirs["reason"] == "API_KEY_REVOKED"


def test_what_was_lost_once_and_then_has_another_outcome_is_refused(
    reli: Command, platform: Platform
) -> None:
    # Had the lost one been taken, this one would have heard of its trade.
    platform.answers["AcceptQuote"] = [LOST, POOR]

    assert reli.run("accept", QUOTE).code == 1


def test_who_is_not_let_in_at_once_is_refused(reli: Command, platform: Platform) -> None:
    platform.answers["AcceptQuote"] = [REVOKED]

    assert reli.run("accept", QUOTE).code == 1


@pytest.mark.parametrize("state", ["PENDING", "OUTCOME_UNKNOWN"])
def test_a_trade_whose_end_cannot_be_seen_is_unknown(
    reli: Command, platform: Platform, state: str
) -> None:
    platform.answers["AcceptQuote"] = [accepted(state)]
    platform.answers["GetTrade"] = [REVOKED]

    ended = reli.run("accept", QUOTE)

    assert ended.code == 3
    assert f"reli trades show {TRADE}" in ended.err


def test_a_trade_that_ends_while_it_is_waited_for_is_done(
    reli: Command, platform: Platform
) -> None:
    platform.answers["AcceptQuote"] = [accepted("PENDING")]
    pending, settled = (GetTradeResponse(trade=a_trade(one)) for one in ("PENDING", "SETTLED"))
    platform.answers["GetTrade"] = [pending, settled]

    assert reli.run("accept", QUOTE).code == 0


def test_a_whole_trade_repeated_is_the_same_quote_and_the_same_accept(
    reli: Command, platform: Platform
) -> None:
    platform.answers["AcceptQuote"] = [accepted("SETTLED")]
    words = ("trade", "BTC-NGN", "buy", "0.01", "--yes", "--request-id", "mine-1")

    assert reli.run(*words).code == reli.run(*words).code == 0

    for kind in (CreateQuoteRequest, AcceptQuoteRequest):
        assert [one.request_id for one in platform.heard_of(kind)] == ["mine-1"] * 2


def test_without_anybody_to_ask_nothing_is_even_quoted(reli: Command, platform: Platform) -> None:
    for words in ((), ("--json",)):
        assert reli.run("trade", "BTC-NGN", "buy", "0.01", *words, stdin="y\n").code == 2

    assert platform.heard == []


@pytest.mark.parametrize(
    "words",
    [
        ("quote", "BTCNGN", "buy", "1"),
        ("quote", "BTC-NGN", "hold", "1"),
        ("quote", "BTC-NGN", "buy"),
        ("quote", "BTC-NGN", "buy", "1", "--pay", "1"),
        ("quote", "BTC-NGN", "buy", "--receive", "1"),
        ("quote", "BTC-NGN", "sell", "--pay", "1"),
        ("quote", "BTC-NGN", "sell", "1", "--indicative", "--customer", "amina"),
        ("quote", "BTC-NGN", "buy", "1", "--tenor", "1"),
        ("accept",),
        ("balances", "amina", "zawadi"),
        ("logout", "--all", "--profile", "a"),
        ("login", "--ready-file", "/dev/null", "--url", "http://127.0.0.1:1"),
        ("login", "--url", "http://127.0.0.1:1", "--signing-key-id", "a"),
        ("login", "--url", "http://127.0.0.1:1"),
        ("use", "nobody"),
        ("events", "tail", "--after", "-1"),
        ("webhook", "listen", "--forward", "file:///etc/passwd"),
    ],
)
def test_what_cannot_be_meant_ends_with_2_and_asks_nobody(
    reli: Command, platform: Platform, words: tuple[str, ...]
) -> None:
    ended = reli.run(*words)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("reli: ")
    assert platform.heard == []


def test_in_json_every_refusal_is_a_status(reli: Command, platform: Platform) -> None:
    platform.answers["AcceptQuote"] = [POOR]

    refused = reli.run("accept", QUOTE, "--json")
    mistaken = reli.run("quote", "BTCNGN", "buy", "1", "--json")

    assert refused.problem == {
        "code": 9,
        "message": "said a stand-in",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "INSUFFICIENT_FUNDS",
                "domain": "reli.dev",
                "metadata": {"retry": "never"},
            }
        ],
    }
    assert mistaken.problem["code"] == 3
    assert refused.out == mistaken.out == ""


def test_where_nothing_is_sent_to_this_machine_it_is_said_how_to_listen(
    reli: Command, platform: Platform
) -> None:
    forbidden = Refused(grpc.StatusCode.INVALID_ARGUMENT, "WEBHOOK_URL_FORBIDDEN")
    platform.answers["CreateWebhookEndpoint"] = [forbidden]

    ended = reli.run("webhook", "listen")

    assert ended.code == 1
    assert "--secret-stdin" in ended.err


def test_who_answers_by_hanging_up_may_have_done_it(tmp_path: Path) -> None:
    with hanging_up() as port:
        moved = at(port, tmp_path).run("accept", QUOTE)
        read = at(port, tmp_path).run("balances")

    assert moved.code == 3
    assert read.code == 1


def test_interrupted_while_it_waits_for_an_answer_it_is_unknown(tmp_path: Path) -> None:
    reached, ended = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        ended.wait(30)

    with hanging_up(before=wait) as port:
        process = at(port, tmp_path).start("accept", QUOTE)
        assert reached.wait(30)
        process.send_signal(2)
        out, err = process.communicate(timeout=30)
        ended.set()

    assert (process.returncode, out) == (3, "")
    assert f"reli accept {QUOTE} --request-id" in err


@contextmanager
def hanging_up(before: Callable[[], object] = lambda: None) -> Iterator[int]:
    """Yield a port at which every connection is taken, and closed without a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connection.recv(65_536)
                before()
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
