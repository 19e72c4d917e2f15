"""When a call is sent again, without waiting for any of it."""

from collections.abc import Callable

import grpc
import pytest

from clients.python.tests.stand_in import Clock
from reli_client.refusal import Refusal, Retry
from reli_client.retries import Retries


def a_refusal(retry: Retry = Retry.SAME_REQUEST, wait_s: float = 0.0) -> Refusal:
    return Refusal(grpc.StatusCode.UNAVAILABLE, "no", retry=retry, wait_s=wait_s)


def sending(clock: Clock, *refusals: Refusal) -> tuple[list[float], Callable[[float], str]]:
    """What each attempt was told to have left, and a call that fails so before it succeeds."""
    told, left = [], list(refusals)

    def send(left_s: float) -> str:
        told.append(left_s)
        if left:
            raise left.pop(0)
        return "answer"

    return told, send


def test_pauses_grow_up_to_two_seconds_and_are_a_part_of_that() -> None:
    whole, half = Retries(chance=lambda: 1.0), Retries(chance=lambda: 0.5)

    assert [whole.pause_s(attempt, a_refusal()) for attempt in range(1, 7)] == [
        *(0.2, 0.4, 0.8, 1.6),
        *(2.0, 2.0),
    ]
    assert half.pause_s(2, a_refusal()) == 0.2
    assert whole.pause_s(10_000, a_refusal()) == 2.0


def test_later_waits_for_as_long_as_was_told_and_a_little_more() -> None:
    clock = Clock()
    _, send = sending(clock, a_refusal(Retry.LATER, wait_s=1.5))

    answer = clock.retries(chance=lambda: 0.25).call(send, timeout_s=5, is_repeatable=True)

    assert answer == "answer"
    assert clock.slept == [1.55]


def test_no_more_attempts_are_made_than_there_may_be() -> None:
    clock = Clock()
    told, send = sending(clock, *[a_refusal() for _ in range(9)])

    with pytest.raises(Refusal):
        clock.retries(attempts=3).call(send, timeout_s=60, is_repeatable=True)

    assert len(told) == 3
    assert clock.slept == [0.2, 0.4]


def test_all_attempts_share_one_deadline() -> None:
    clock = Clock()
    told, send = sending(clock, a_refusal(), a_refusal())

    clock.retries().call(send, timeout_s=1, is_repeatable=True)

    assert told == pytest.approx([1.0, 0.8, 0.4])


@pytest.mark.parametrize("wait_s", [0.9, 1.0, 3_600.0])
def test_a_wait_that_does_not_fit_is_not_waited_for(wait_s: float) -> None:
    clock = Clock()
    _, send = sending(clock, a_refusal(Retry.LATER, wait_s=wait_s))

    with pytest.raises(Refusal) as raised:
        clock.retries().call(send, timeout_s=1, is_repeatable=True)

    assert raised.value.wait_s == wait_s
    assert clock.slept == []


def test_never_is_told_at_once() -> None:
    clock = Clock()
    told, send = sending(clock, a_refusal(Retry.NEVER))

    with pytest.raises(Refusal):
        clock.retries().call(send, timeout_s=5, is_repeatable=True)

    assert len(told) == 1


LOST = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("codes", "is_in_doubt"),
    [
        ([LOST, LOST], True),
        ([LOST, grpc.StatusCode.UNAUTHENTICATED], True),
        ([LOST, grpc.StatusCode.FAILED_PRECONDITION], False),
        ([LOST, grpc.StatusCode.ALREADY_EXISTS], False),
        ([grpc.StatusCode.UNAUTHENTICATED], False),
        ([grpc.StatusCode.FAILED_PRECONDITION], False),
    ],
)
def test_a_refusal_tells_whether_an_attempt_may_have_had_its_effect(
    codes: list[grpc.StatusCode], is_in_doubt: bool
) -> None:
    clock = Clock()
    refusals = [
        Refusal(code, "no", retry=Retry.SAME_REQUEST if code is LOST else Retry.NEVER)
        for code in codes
    ]
    _, send = sending(clock, *refusals)

    with pytest.raises(Refusal) as raised:
        clock.retries(attempts=2).call(send, timeout_s=60, is_repeatable=True)

    assert raised.value.is_in_doubt == is_in_doubt


def test_a_call_is_sent_at_least_once() -> None:
    with pytest.raises(ValueError, match="at least once"):
        Retries(attempts=0)
