"""Limits as a REST client meets them, through the real Envoy and two servers behind it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import pytest

from app.stack.stack import ReadyStack
from tests.support.platform import new_request_id

PER_SECOND: Final = 25
BURST: Final = 25


@dataclass(frozen=True)
class Partner:
    session: aiohttp.ClientSession
    key: str

    async def send(
        self, method: str, path: str, body: Any = None
    ) -> tuple[int, Mapping[str, str], Any]:
        headers = {"authorization": f"Bearer {self.key}"}
        async with self.session.request(method, path, json=body, headers=headers) as response:
            return response.status, response.headers, await response.json()

    async def read(self) -> tuple[int, Mapping[str, str], Any]:
        return await self.send("GET", "/v1/tenants/current")


@pytest.fixture
async def operator(running_stack: ReadyStack) -> AsyncIterator[Partner]:
    async with aiohttp.ClientSession(running_stack.rest_url) as session:
        yield Partner(session, running_stack.operator_key)


async def a_partner(operator: Partner, per_second: int, burst: int) -> Partner:
    limit = {
        "cost_class": "COST_CLASS_READ",
        "per_second": per_second,
        "burst": burst,
        "key_percent": 100,
    }
    body = {
        "slug": f"t-{new_request_id()}",
        "display_name": "Savanna Pay",
        "settings": {"rate_limits": [limit]},
    }
    status, _, made = await operator.send("POST", "/v1/tenants", body)
    assert status == 200, made
    path = f"/v1/tenants/{made['tenant']['id']}/apiKeys"
    _, _, key = await operator.send("POST", path, {"name": "first"})
    return Partner(operator.session, key["secret"])


async def test_an_answer_tells_what_is_left_and_a_refusal_when_to_come_again(
    operator: Partner,
) -> None:
    partner = await a_partner(operator, per_second=1, burst=5)

    answers = [await partner.read() for _ in range(12)]

    status, headers, _ = answers[0]
    assert status == 200
    assert headers["ratelimit-policy"] == '"read-tenant";q=5;w=5, "read-key";q=5;w=5'
    assert headers["ratelimit"].startswith('"read-tenant";r=4;t=')
    assert (headers["ratelimit-limit"], headers["ratelimit-remaining"]) == ("5", "4")
    assert "retry-after" not in headers
    status, headers, body = answers[-1]
    assert status == 429
    assert headers["ratelimit-remaining"] == "0"
    assert headers["retry-after"] == "1"
    assert body["code"] == 8
    info, retry = body["details"]
    assert (info["reason"], info["metadata"]["retry"]) == ("RATE_LIMITED", "later")
    assert 0 < float(retry["retry_delay"].removesuffix("s")) <= 1


async def test_two_servers_together_overshoot_by_a_tenth_at_most(operator: Partner) -> None:
    partner = await a_partner(operator, PER_SECOND, BURST)
    counted: Counter[int] = Counter()

    async def go_on(until: float) -> None:
        while time.monotonic() < until:
            status, _, _ = await partner.read()
            counted[status] += 1

    began = time.monotonic()
    await asyncio.gather(*(go_on(began + 3) for _ in range(16)))
    seconds = time.monotonic() - began

    assert set(counted) == {200, 429}
    allowed = BURST + PER_SECOND * seconds
    assert counted[200] <= 1.1 * allowed
    assert counted[200] >= 0.5 * allowed
