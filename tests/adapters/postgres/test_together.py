"""Who asks while a question is under way is asked for with the next one."""

import asyncio
from collections.abc import Mapping

import pytest

from adapters.postgres.together import Together


class Oracle:
    """Answers with the question doubled, when it is let; a negative one is too much for it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, set[int]]] = []
        self.may_answer = asyncio.Event()

    async def __call__(self, topic: str, questions: set[int]) -> Mapping[int, int]:
        self.asked.append((topic, questions))
        await self.may_answer.wait()
        if min(questions) < 0:
            raise ArithmeticError
        return {question: 2 * question for question in questions if question != 13}


async def test_the_first_is_asked_at_once_and_the_others_together() -> None:
    oracle = Oracle()
    together = Together(oracle)
    asking = [asyncio.create_task(together.get("a", number)) for number in (1,)]
    await asyncio.sleep(0.01)
    asking += [asyncio.create_task(together.get("a", number)) for number in (2, 3, 3)]
    await asyncio.sleep(0.01)

    oracle.may_answer.set()

    assert await asyncio.gather(*asking) == [2, 4, 6, 6]
    assert oracle.asked == [("a", {1}), ("a", {2, 3})]


async def test_topics_do_not_wait_for_each_other() -> None:
    oracle = Oracle()
    together = Together(oracle)
    asking = [asyncio.create_task(together.get(topic, 1)) for topic in ("a", "b")]
    await asyncio.sleep(0.01)

    assert [topic for topic, _ in oracle.asked] == ["a", "b"]

    oracle.may_answer.set()
    assert await asyncio.gather(*asking) == [2, 2]


async def test_where_there_is_no_answer_nothing_is_answered() -> None:
    oracle = Oracle()
    oracle.may_answer.set()

    assert await Together(oracle).get("a", 13) is None


async def test_a_failure_is_heard_by_who_asked_with_it_and_by_nobody_after() -> None:
    oracle = Oracle()
    together = Together(oracle)
    asking = [asyncio.create_task(together.get("a", -1))]
    await asyncio.sleep(0.01)
    asking += [asyncio.create_task(together.get("a", number)) for number in (2, 3)]
    oracle.may_answer.set()

    first, *others = await asyncio.gather(*asking, return_exceptions=True)

    assert isinstance(first, ArithmeticError)
    assert others == [4, 6]


async def test_who_is_canceled_takes_nobody_along() -> None:
    oracle = Oracle()
    together = Together(oracle)
    asking = [asyncio.create_task(together.get("a", number)) for number in (1, 2)]
    await asyncio.sleep(0.01)
    asking[0].cancel()
    oracle.may_answer.set()

    assert await asking[1] == 4
    with pytest.raises(asyncio.CancelledError):
        await asking[0]
    assert await together.get("a", 5) == 10
