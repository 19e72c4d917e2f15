"""Webhooks: believed if one of their signatures fits, and in time."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from standardwebhooks import Webhook

from reli_client import CloudEvent, InvalidWebhook, verify_webhook

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER: Final = "whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY: Final = json.dumps(
    {
        "id": "event_1",
        "source": "https://reli.dev/tenants/tenant_1",
        "type": "trade.settled",
        "subject": "trade_1",
        "time": "2026-03-02T09:30:00.000005Z",
        "sequence": "0000000000000000012",
        "data": {"id": "trade_1"},
    }
).encode()


def headers(*secrets: str, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    signatures = [Webhook(secret).sign("event_1", at, BODY.decode()) for secret in secrets]
    return {
        "Webhook-Id": "event_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": " ".join(signatures),
    }


@pytest.mark.parametrize("secrets", [(SECRET,), (OTHER, SECRET), (SECRET, OTHER)])
def test_an_event_is_read_if_any_of_its_signatures_fits(secrets: tuple[str, ...]) -> None:
    assert verify_webhook(BODY, headers(*secrets), SECRET) == CloudEvent(
        id="event_1",
        type="trade.settled",
        sequence=12,
        subject="trade_1",
        time=datetime(2026, 3, 2, 9, 30, 0, 5, UTC),
        tenant_id="tenant_1",
        data={"id": "trade_1"},
    )


@pytest.mark.parametrize("minutes", [-6, 6])
def test_what_was_signed_minutes_ago_or_ahead_is_refused(minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)

    with pytest.raises(InvalidWebhook):
        verify_webhook(BODY, headers(SECRET, at=at), SECRET)


@pytest.mark.parametrize(
    "changed",
    [
        {"Webhook-Id": "event_2"},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "v1"},
        {"Webhook-Signature": "v1,é"},
        {"Webhook-Timestamp": "nan"},
    ],
)
def test_other_headers_are_refused(changed: dict[str, str]) -> None:
    with pytest.raises(InvalidWebhook):
        verify_webhook(BODY, headers(SECRET) | changed, SECRET)


@pytest.mark.parametrize("body", [BODY + b" ", BODY.replace(b"1", b"2"), b"\xff", b""])
def test_another_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidWebhook):
        verify_webhook(body, headers(SECRET), SECRET)


def test_the_signature_of_another_secret_is_refused() -> None:
    with pytest.raises(InvalidWebhook):
        verify_webhook(BODY, headers(OTHER), SECRET)
