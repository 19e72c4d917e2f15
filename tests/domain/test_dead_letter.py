"""A dead letter: buried, asked for, and replayed once or buried again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.dead_letter import (
    MAX_REASON,
    DeadLetter,
    DeadLetterAlreadyReplayed,
    DeadLetterState,
)
from domain.errors import IllegalTransition
from domain.ids import ApiKeyId, DeadLetterId, EventId, TenantId

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KEY, OTHER_KEY = ApiKeyId(UUID(int=7)), ApiKeyId(UUID(int=8))


def a_letter() -> DeadLetter:
    return DeadLetter(
        id=DeadLetterId(UUID(int=1)),
        consumer="house_book",
        event_id=EventId(UUID(int=2)),
        source_tenant_id=TenantId(UUID(int=3)),
        event_type="trade.settled",
        subject="trade_01h455vb4pex5vsknk084sn02q",
        reason="a bug",
        buried_at=NOW,
    )


def a_requested_letter() -> DeadLetter:
    return a_letter().request_replay(by=KEY, now=NOW)


def test_a_buried_letter_waits_for_a_worker_once_somebody_asks() -> None:
    letter = a_requested_letter()

    assert letter.state is DeadLetterState.REPLAY_REQUESTED
    assert (letter.replay_requested_by, letter.replay_requested_at) == (KEY, NOW)


def test_whoever_asks_second_changes_nothing() -> None:
    letter = a_requested_letter()

    assert letter.request_replay(by=OTHER_KEY, now=NOW + timedelta(seconds=1)) == letter


def test_a_replay_ends_it() -> None:
    letter = a_requested_letter().replay(now=NOW)

    assert letter.state is DeadLetterState.REPLAYED
    assert letter.replayed_at == NOW
    with pytest.raises(DeadLetterAlreadyReplayed):
        letter.request_replay(by=KEY, now=NOW)


def test_a_replay_that_fails_is_counted_and_leaves_the_rest_as_it_was() -> None:
    letter = a_requested_letter()

    failed = letter.fail("the same bug")

    assert failed == replace(
        letter,
        state=DeadLetterState.BURIED,
        replay_failures=1,
        replay_failure="the same bug",
    )
    again = failed.request_replay(by=OTHER_KEY, now=NOW).fail("another one")
    assert (again.replay_failures, again.replay_failure) == (2, "another one")
    assert again.reason == "a bug"


def test_nothing_is_replayed_that_nobody_asked_for() -> None:
    with pytest.raises(IllegalTransition):
        a_letter().replay(now=NOW)
    with pytest.raises(IllegalTransition):
        a_letter().fail("a bug")


def test_of_a_long_reason_the_beginning_is_kept() -> None:
    assert a_requested_letter().fail("x" * 10_000).replay_failure == "x" * MAX_REASON
