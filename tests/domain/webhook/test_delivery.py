"""When a delivery is tried again, when it is given up, and how an endpoint does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.ids import EventId, TenantId, WebhookDeliveryId, WebhookEndpointId
from domain.webhook.delivery import (
    EXPIRES_AFTER,
    FAILING,
    MAX_RETRY_AFTER,
    RETRY_DELAYS,
    Attempt,
    Delivery,
    DeliveryState,
    Failure,
    Health,
    retry_delay,
)
from domain.webhook.endpoint import (
    DisabledReason,
    Endpoint,
    EndpointState,
    require_event_types,
)
from domain.webhook.errors import (
    EventTypeUnknown,
    WebhookDeliveryPending,
    WebhookEndpointDisabled,
)
from tests.support.builders import an_id

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
EVENLY = 499
"""A chance that changes a delay by next to nothing."""


def a_delivery() -> Delivery:
    return Delivery(
        id=an_id(WebhookDeliveryId),
        endpoint_id=an_id(WebhookEndpointId),
        event_id=an_id(EventId),
        sequence=7,
        event_type="trade.settled",
        subject="trade_1",
        recorded_at=NOW,
        expires_at=NOW + EXPIRES_AFTER,
        due_at=NOW,
    )


def failed(number: int = 1, status: int = 500, retry_after: timedelta | None = None) -> Attempt:
    return Attempt(
        number=number,
        started_at=NOW,
        latency_ms=5,
        status=status,
        failure=Failure.STATUS,
        retry_after=retry_after,
    )


def received() -> Attempt:
    return Attempt(number=1, started_at=NOW, latency_ms=5, status=204)


def test_what_was_received_is_delivered() -> None:
    delivered = a_delivery().conclude(received(), now=NOW, chance=0)

    assert (delivered.state, delivered.due_at) == (DeliveryState.DELIVERED, None)
    assert (delivered.attempts, delivered.failures, delivered.ended_at) == (1, 0, NOW)


def test_a_delivery_that_nobody_takes_is_tried_for_72_hours_and_ever_less_often() -> None:
    delivery, now, pauses = a_delivery(), NOW, []
    while delivery.state is DeliveryState.PENDING:
        assert delivery.due_at is not None
        pauses.append(delivery.due_at - now)
        now = delivery.due_at
        delivery = delivery.conclude(failed(delivery.attempts + 1), now=now, chance=EVENLY)

    assert delivery.state is DeliveryState.DEAD
    assert now == NOW + EXPIRES_AFTER, "the last attempt is made at the very end"
    assert delivery.attempts == delivery.failures == len(pauses)
    schedule = [timedelta(), *RETRY_DELAYS]
    for pause, planned in zip(pauses, schedule, strict=False):
        assert abs(pause - planned) <= planned / 100
    assert max(pauses) <= RETRY_DELAYS[-1] * 1.01


@pytest.mark.parametrize("failures", [1, 5, len(RETRY_DELAYS), 100])
def test_a_pause_is_the_planned_one_give_or_take_a_fifth(failures: int) -> None:
    planned = RETRY_DELAYS[min(failures, len(RETRY_DELAYS)) - 1]

    assert retry_delay(failures, 0) == planned * 8 / 10
    assert retry_delay(failures, 999) == planned * 12 / 10


def test_whoever_asks_to_be_left_alone_is_left_alone_but_not_for_ever() -> None:
    asked = failed(status=429, retry_after=timedelta(minutes=10))
    for_ever = failed(status=503, retry_after=timedelta(days=365))
    unheard = failed(status=500, retry_after=timedelta(minutes=10))

    def pause(attempt: Attempt) -> timedelta:
        due_at = a_delivery().conclude(attempt, now=NOW, chance=EVENLY).due_at
        assert due_at is not None
        return due_at - NOW

    assert pause(asked) == timedelta(minutes=10)
    assert pause(for_ever) == MAX_RETRY_AFTER
    assert pause(unheard) < timedelta(seconds=6)


def test_an_endpoint_is_failing_after_so_many_deliveries_in_a_row() -> None:
    health = Health()
    for _ in range(FAILING):
        assert not health.is_failing
        health = health.after(a_delivery(), failed(), now=NOW, chance=EVENLY)

    assert health.is_failing
    assert health.held_until is not None and health.held_until > NOW
    assert health.after(a_delivery(), received(), now=NOW, chance=0) == Health()


def test_one_event_that_an_endpoint_cannot_take_says_nothing_about_the_others() -> None:
    health, poison = Health(), a_delivery()
    for number in range(1, 20):
        attempt = failed(number)
        health = health.after(poison, attempt, now=NOW, chance=EVENLY)
        poison = poison.conclude(attempt, now=NOW, chance=EVENLY)

    assert health.failures == 1
    assert not health.is_failing


def test_what_is_under_way_is_not_replayed() -> None:
    with pytest.raises(WebhookDeliveryPending):
        a_delivery().require_replayable()
    replace(a_delivery(), state=DeliveryState.DEAD, due_at=None).require_replayable()


def test_an_endpoint_that_is_disabled_says_why_and_takes_nothing() -> None:
    endpoint = Endpoint(
        id=an_id(WebhookEndpointId),
        tenant_id=an_id(TenantId),
        url="https://example.com/",
        description="",
        event_types=(),
        created_at=NOW,
    )
    disabled = endpoint.disable(DisabledReason.GONE)

    with pytest.raises(WebhookEndpointDisabled):
        disabled.require_enabled()
    assert disabled.enable().state is EndpointState.ENABLED
    assert disabled.enable().disabled_reason is None


@pytest.mark.parametrize("named", ["trade.settled", "trade.*", "webhook_endpoint.tested"])
def test_a_type_that_events_have_can_be_named_once(named: str) -> None:
    assert require_event_types([named, named]) == (named,)


@pytest.mark.parametrize("named", ["", "*", "trade", "trade.", "trade.setled", "trades.*", "a.b.c"])
def test_a_type_that_no_event_has_is_refused(named: str) -> None:
    with pytest.raises(EventTypeUnknown):
        require_event_types(["trade.settled", named])
