"""When a call is sent again: by the retry class of its refusal, and only if that is safe."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from reli_client.refusal import Refusal, Retry

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
OUTCOMES: Final = frozenset({grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS})
"""Codes of refusals that are kept under a request id like an answer: a call that had taken effect
would have been answered with that effect, however often it was sent."""
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a call is sent, and how long is waited between.

    Attributes:
        attempts: how often a call is sent at most, from 1.
        clock: seconds that never go back.
        sleep: waits for that many seconds.
        chance: a number from 0 up to 1.
    """

    attempts: int = 4
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("a call is sent at least once")

    def pause_s(self, attempt: int, refusal: Refusal) -> float:
        """Return how long to wait after an attempt, the first being 1.

        The wait that was told, and a part of a growing pause: who failed together does not come
        back together.
        """
        growing = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt, 16))
        return refusal.wait_s + growing * self.chance()

    def call(
        self, send: Callable[[float], Answer], *, timeout_s: float, is_repeatable: bool
    ) -> Answer:
        """Return the answer of `send`, which is told how many seconds it has.

        Raises the `Refusal` of the last attempt: when sending again cannot help or is not safe,
        when there were as many attempts as there may be, or when the wait would not end in time.
        """
        deadline = self.clock() + timeout_s
        attempts = self.attempts if is_repeatable else 1
        is_lost = False
        for attempt in range(1, attempts + 1):
            try:
                return send(deadline - self.clock())
            except Refusal as refusal:
                is_lost = is_lost or refusal.retry is Retry.SAME_REQUEST
                refusal.is_in_doubt = is_lost and refusal.code not in OUTCOMES
                if refusal.retry is Retry.NEVER or attempt == attempts:
                    raise
                pause_s = self.pause_s(attempt, refusal)
                if self.clock() + pause_s >= deadline:
                    raise
            self.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


def is_repeatable(request: Message, idempotency_key: str) -> bool:
    """Whether a call may be sent twice: it reads, has its key, or is idempotent by nature."""
    has_field = "request_id" in request.DESCRIPTOR.fields_by_name
    return not has_field or bool(idempotency_key or getattr(request, "request_id", ""))
