"""Questions that come at the same time, asked together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeVar

Topic = TypeVar("Topic")
Question = TypeVar("Question")
Answer = TypeVar("Answer")

AT_ONCE: Final = 256
"""Questions asked together at most."""


class Together(Generic[Topic, Question, Answer]):
    """Asks at once when nothing of the topic is under way, and else with the next round trip.

    `ask` returns the answers that there are; who finds none gets nothing. What it raises, all hear
    who asked with it.
    """

    def __init__(
        self, ask: Callable[[Topic, set[Question]], Awaitable[Mapping[Question, Answer]]]
    ) -> None:
        self._ask = ask
        self._waiting: dict[Topic, deque[tuple[Question, asyncio.Future[Answer | None]]]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def get(self, topic: Topic, question: Question) -> Answer | None:
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(topic)
        if waiting is None:
            self._waiting[topic] = deque([(question, answer)])
            task = asyncio.create_task(self._ask_all(topic))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        else:
            waiting.append((question, answer))
        return await answer

    async def _ask_all(self, topic: Topic) -> None:
        waiting = self._waiting[topic]
        try:
            while waiting:
                asked = [waiting.popleft() for _ in range(min(len(waiting), AT_ONCE))]
                try:
                    found = await self._ask(topic, {question for question, _ in asked})
                except Exception as error:
                    for _, answer in asked:
                        if not answer.done():
                            answer.set_exception(error)
                else:
                    for question, answer in asked:
                        if not answer.done():  # it is when its caller was canceled
                            answer.set_result(found.get(question))
        finally:
            del self._waiting[topic]
