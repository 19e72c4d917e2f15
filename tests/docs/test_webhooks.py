"""The guide to webhooks does not lie: its code verifies, its tables are those of the code."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from domain.webhook import destination, endpoint
from domain.webhook.delivery import (
    EXPIRES_AFTER,
    FAILING,
    KEPT_FOR,
    MAX_RESPONSE_BYTES,
    RETRY_DELAYS,
    TIMEOUT,
)
from tests.support.golden import ROOT

GUIDE: Final = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_UNITS: Final = {"s": "seconds", "min": "minutes", "h": "hours"}


def _headers(body: bytes, at: datetime) -> dict[str, str]:
    return {
        "webhook-id": "event_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("event_1", at, body.decode()),
    }


def test_the_code_of_the_guide_takes_a_delivery_once_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    own: dict[str, Any] = {}
    exec(code, own)  # noqa: S102
    body = b'{"id": "event_1", "type": "trade.settled", "subject": "trade_1"}'
    now = datetime.now(UTC)

    assert [own["receive"](_headers(body, now), body, SECRET) for _ in range(2)] == [200, 200]
    assert capsys.readouterr().out == "trade.settled trade_1\n"
    for at, received in ((now, body + b" "), (now - timedelta(minutes=6), body)):
        with pytest.raises(WebhookVerificationError):
            own["receive"](_headers(body, at), received, SECRET)


def test_the_table_of_retries_is_the_schedule() -> None:
    rows = re.findall(r"^\| \d[^|]* \| (\d+) (s|min|h) \|$", GUIDE, re.MULTILINE)

    assert [timedelta(**{_UNITS[unit]: int(n)}) for n, unit in rows] == list(RETRY_DELAYS)


def test_the_figures_of_the_guide_are_those_of_the_code() -> None:
    for said in (
        f"tried for {EXPIRES_AFTER // timedelta(hours=1)} hours",
        f"within {TIMEOUT.seconds} seconds",
        f"kept for {KEPT_FOR.days} days",
        f"first {MAX_RESPONSE_BYTES // 1_024} KiB",
        f"up to {endpoint.MAX_ENDPOINTS} endpoints",
        f"{endpoint.DEFAULT_OVERLAP // timedelta(hours=1)} hours unless",
        "port 443 or 8443",
    ):
        assert said in GUIDE, said
    assert {443, 8443} == destination.PORTS
    assert "When five deliveries" in GUIDE and FAILING == 5
