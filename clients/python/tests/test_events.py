"""The log of events, over streams that are cut, fall silent and are ended."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from clients.python.tests.stand_in import StandIn, connected, serving, status
from reli.event.v1.event_pb2 import Event
from reli.event.v1.event_service_pb2 import (
    EventHeartbeat,
    StreamEventsRequest,
    StreamEventsResponse,
)
from reli_client import EventGap, EventStream, Refusal
from reli_client.retries import Retries

CUT = grpc.StatusCode.UNAVAILABLE
AT_ONCE = Retries(chance=lambda: 0.0)


def event(sequence: int, type_: str = "trade.settled") -> StreamEventsResponse:
    told = Event(id=f"event_{sequence}", type=type_, sequence=sequence)
    return StreamEventsResponse(event=told, position=sequence)


def heartbeat(position: int) -> StreamEventsResponse:
    return StreamEventsResponse(heartbeat=EventHeartbeat(), position=position)


def end(code: grpc.StatusCode, reason: str, retry: str) -> StreamEventsResponse:
    return StreamEventsResponse(end=status(code, reason, retry))


END_OF_RANGE = StreamEventsResponse(end=Status(code=0))
ENDED = end(grpc.StatusCode.UNAVAILABLE, "STREAM_ENDED", "same_request")
REVOKED = end(grpc.StatusCode.UNAUTHENTICATED, "API_KEY_REVOKED", "never")


def read(platform: StandIn, **wanted: Any) -> list[int]:
    with platform.connect() as channel:
        stream = EventStream(channel, retries=AT_ONCE, **wanted)
        return [one.sequence for one in stream]


def asked(platform: StandIn) -> list[StreamEventsRequest]:
    return [StreamEventsRequest.FromString(call.message) for call in platform.calls]


def test_a_range_is_told_in_order_and_ends_by_itself() -> None:
    with serving([heartbeat(0), event(1), event(2), heartbeat(2), END_OF_RANGE]) as platform:
        assert read(platform, after=0, until=2, types=["trade.*"]) == [1, 2]

    assert asked(platform) == [StreamEventsRequest(after=0, until=2, types=["trade.*"])]


@pytest.mark.parametrize("broken", [[CUT], [], [ENDED]], ids=["cut", "over", "ended"])
def test_a_stream_that_stops_is_opened_again_from_where_it_was(broken: list[Any]) -> None:
    first, second = [heartbeat(0), event(1), event(2), *broken], [heartbeat(2), event(3)]

    with serving(first, second) as platform:
        assert read(platform, after=0, until=3) == [1, 2, 3]

    assert [one.after for one in asked(platform)] == [0, 2]


def test_a_stream_that_says_nothing_is_cut_and_opened_again() -> None:
    is_over, spoke = threading.Event(), threading.Event()

    def silence() -> StreamEventsResponse:
        if not is_over.wait(10):
            spoke.set()
        return heartbeat(1)

    with serving([event(1), silence], [event(2)]) as platform:
        assert read(platform, after=0, until=2, silence_s=0.2) == [1, 2]
        assert not spoke.is_set()
        is_over.set()


def test_the_time_of_a_slow_consumer_is_no_silence() -> None:
    with connected([event(1), event(2), event(3)]) as (platform, channel):
        pause = threading.Event()
        for _ in EventStream(channel, after=0, until=3, silence_s=0.2, retries=AT_ONCE):
            pause.wait(0.3)

    assert len(platform.calls) == 1


def test_what_was_told_before_is_not_told_again() -> None:
    with serving([event(1), event(2), CUT], [event(2), event(3)]) as platform:
        assert read(platform, after=0, until=3) == [1, 2, 3]


@pytest.mark.parametrize("told", [[event(1), event(3)], [event(1), CUT], [heartbeat(2), event(3)]])
def test_a_gap_is_an_error(told: list[Any]) -> None:
    with serving(told, [heartbeat(3), event(4)]) as platform, pytest.raises(EventGap):
        read(platform, after=0)


def test_with_a_filter_the_position_moves_past_what_was_not_wanted() -> None:
    with serving([event(3), heartbeat(9), CUT], [event(12)]) as platform:
        assert read(platform, after=0, until=12, types=["trade.*"]) == [3, 12]

    assert [one.after for one in asked(platform)] == [0, 9]


def test_without_a_beginning_it_begins_where_the_first_message_says() -> None:
    with serving([heartbeat(41), CUT], [event(42)]) as platform:
        assert read(platform, until=42) == [42]

    assert [one.HasField("after") for one in asked(platform)] == [False, True]
    assert asked(platform)[1].after == 41


@pytest.mark.parametrize("as_told", [lambda end: [event(1), end], lambda end: [end.end]])
def test_what_opening_again_cannot_mend_is_raised(
    as_told: Callable[[StreamEventsResponse], list[Any]],
) -> None:
    with serving(as_told(REVOKED)) as platform, pytest.raises(Refusal) as raised:
        read(platform, after=0)

    assert raised.value.reason == "API_KEY_REVOKED"
    assert len(platform.calls) == 1


def test_another_thread_may_close_it() -> None:
    is_over = threading.Event()

    def silence() -> StreamEventsResponse:
        is_over.wait(10)
        return heartbeat(1)

    with connected([event(1), silence]) as (_, channel):
        stream = EventStream(channel, after=0)
        assert next(stream).sequence == 1
        closer = threading.Timer(0.1, stream.close)
        closer.start()
        assert list(stream) == []
        closer.join()
        is_over.set()

    assert stream.position == 1
