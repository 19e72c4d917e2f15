"""Calls through the channel: the key, signatures, retries and refusals, on a real connection."""

import base64
import hashlib

import grpc
import pytest

from clients.python.tests.stand_in import Clock, connected, serving, status
from reli.quote.v1.quote_pb2 import Quote
from reli.quote.v1.quote_service_pb2 import (
    AcceptQuoteRequest,
    AcceptQuoteResponse,
    GetQuoteRequest,
    GetQuoteResponse,
    StreamQuotesRequest,
)
from reli.quote.v1.quote_service_pb2_grpc import QuoteServiceStub
from reli.trade.v1.trade_pb2 import Trade
from reli_client import Ed25519Signer, Refusal, Retry, connect

ANSWER = GetQuoteResponse(quote=Quote(id="quote_1"))
ACCEPTED = AcceptQuoteResponse(trade=Trade(id="trade_1"))
ACCEPT = AcceptQuoteRequest(quote_id="quote_1", request_id="accept-1")
BUSY = status(grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS", "same_request")
POOR = status(grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", "never")


def test_a_call_sends_the_key_and_what_else_it_was_given() -> None:
    with connected(ANSWER) as (platform, channel):
        answer = QuoteServiceStub(channel).GetQuote(
            GetQuoteRequest(quote_id="quote_1"), metadata=[("x-request-id", "r-1")]
        )

    assert answer == ANSWER
    (call,) = platform.calls
    assert call.method == "/reli.quote.v1.QuoteService/GetQuote"
    assert call.message == GetQuoteRequest(quote_id="quote_1").SerializeToString()
    assert call.metadata["authorization"] == "Bearer reli_key"
    assert call.metadata["x-request-id"] == "r-1"
    assert 4.0 < call.time_remaining_s < 5.5  # gRPC rounds it up


def test_a_call_takes_as_long_as_it_says_itself() -> None:
    with connected(ANSWER) as (platform, channel):
        QuoteServiceStub(channel).GetQuote(GetQuoteRequest(), timeout=2)

    assert 1.0 < platform.calls[0].time_remaining_s < 2.5  # gRPC rounds it up


def test_each_attempt_is_signed_anew_over_the_bytes_that_went_out() -> None:
    signer = Ed25519Signer("requestsigningkey_1", bytes(32))

    with connected(BUSY, ACCEPTED, signer=signer, retries=Clock().retries()) as (platform, channel):
        QuoteServiceStub(channel).AcceptQuote(ACCEPT)

    first, second = platform.calls
    assert first.metadata["signature"] != second.metadata["signature"]
    for call in (first, second):
        digest = base64.b64encode(hashlib.sha256(call.message).digest()).decode()
        assert call.metadata["content-digest"] == f"sha-256=:{digest}:"
        assert '("@method" "@path" "content-digest")' in call.metadata["signature-input"]


def test_an_idempotency_key_in_the_metadata_is_signed_and_makes_the_call_repeatable() -> None:
    signer = Ed25519Signer("requestsigningkey_1", bytes(32))

    with connected(BUSY, ACCEPTED, signer=signer, retries=Clock().retries()) as (platform, channel):
        QuoteServiceStub(channel).AcceptQuote(
            AcceptQuoteRequest(quote_id="quote_1"), metadata=[("idempotency-key", "accept-1")]
        )

    assert len(platform.calls) == 2
    assert '"@path" "idempotency-key" ' in platform.calls[1].metadata["signature-input"]


def test_the_request_of_a_stream_is_signed_and_its_refusal_told() -> None:
    signer = Ed25519Signer("requestsigningkey_1", bytes(32))

    with connected([POOR], signer=signer) as (platform, channel):
        stream = QuoteServiceStub(channel).StreamQuotes(StreamQuotesRequest(base_asset="BTC"))
        with pytest.raises(Refusal) as raised:
            next(stream)

    assert raised.value.reason == "INSUFFICIENT_FUNDS"
    assert "content-digest" in platform.calls[0].metadata["signature-input"]


def test_what_can_be_sent_again_is_sent_again_until_there_is_an_answer() -> None:
    clock = Clock()

    with connected(BUSY, BUSY, ACCEPTED, retries=clock.retries()) as (platform, channel):
        assert QuoteServiceStub(channel).AcceptQuote(ACCEPT) == ACCEPTED

    assert {call.message for call in platform.calls} == {ACCEPT.SerializeToString()}
    assert clock.slept == [0.2, 0.4]


def test_what_sending_again_cannot_help_is_told_at_once() -> None:
    with (
        connected(POOR) as (_, channel),
        pytest.raises(Refusal, match="told of INSUFFICIENT_FUNDS") as raised,
    ):
        QuoteServiceStub(channel).AcceptQuote(ACCEPT)

    refusal = raised.value
    assert (refusal.reason, refusal.retry) == ("INSUFFICIENT_FUNDS", Retry.NEVER)
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.metadata == {"retry": "never"}


def test_without_a_request_id_a_call_is_sent_once() -> None:
    with connected(BUSY) as (platform, channel), pytest.raises(Refusal) as raised:
        QuoteServiceStub(channel).AcceptQuote(AcceptQuoteRequest(quote_id="quote_1"))

    assert raised.value.reason == "REQUEST_IN_PROGRESS"
    assert len(platform.calls) == 1


def test_a_read_is_repeated_also_where_only_grpc_knows_what_went_wrong() -> None:
    with connected(grpc.StatusCode.UNAVAILABLE, ANSWER, retries=Clock().retries()) as (_, channel):
        assert QuoteServiceStub(channel).GetQuote(GetQuoteRequest()) == ANSWER


def test_with_nobody_there_the_refusal_has_no_reason() -> None:
    with serving() as platform:
        pass

    with (
        platform.connect(retries=Clock().retries(attempts=2)) as channel,
        pytest.raises(Refusal) as raised,
    ):
        QuoteServiceStub(channel).GetQuote(GetQuoteRequest())

    assert (raised.value.reason, raised.value.retry) == ("", Retry.SAME_REQUEST)
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_reason_of_somebody_else_is_none_of_ours() -> None:
    theirs = status(grpc.StatusCode.UNAVAILABLE, "PROXY_ASLEEP", "never", domain="example.com")

    with connected(theirs, ANSWER, retries=Clock().retries()) as (_, channel):
        assert QuoteServiceStub(channel).GetQuote(GetQuoteRequest()) == ANSWER


@pytest.mark.parametrize(
    "url",
    [
        *("api.example.com:443", "ftp://api.example.com", "https://", "https://a.com/v1"),
        *("https://key@a.com", "https://a.com?key=1"),
    ],
)
def test_a_url_is_a_scheme_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ValueError, match="https://host:port"):
        connect(url, "reli_key")


def test_the_key_is_never_printed() -> None:
    with connect("https://127.0.0.1:1", "reli_secret") as channel:
        assert "secret" not in repr(channel) + str(vars(channel))
    with pytest.raises(ValueError, match="API key"):
        connect("https://127.0.0.1:1", "")
