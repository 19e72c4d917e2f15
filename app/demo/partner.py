"""A partner's HTTP client: one key, idempotency keys, and patience where the API asks for it."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from app.demo.expectation import Unmet

Json = dict[str, Any]

_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: Json

    @property
    def retry(self) -> str:
        """What the caller may do after a refusal; nothing after a success."""
        details = self.body.get("details", []) if self.status >= 400 else []
        return next((str(one["metadata"]["retry"]) for one in details if "metadata" in one), "")


@dataclass(frozen=True, slots=True)
class Partner:
    """Speaks REST with one API key."""

    session: aiohttp.ClientSession
    rest_url: str
    key: str

    async def get(self, path: str, **query: str) -> Json:
        return self._expected(path, await self._send("GET", path, params=query))

    async def post(self, path: str, body: Json, *, once: str | None = None) -> Json:
        """Send a request that has to succeed; `once` is its idempotency key."""
        return self._expected(path, await self.try_post(path, body, once=once))

    async def try_post(self, path: str, body: Json, *, once: str | None = None) -> Answer:
        headers = {"idempotency-key": once} if once else {}
        return await self._send("POST", path, json=body, headers=headers)

    async def _send(self, method: str, path: str, **request: Any) -> Answer:
        """Send it again while the answer says that the same request may yet succeed."""
        headers = request.pop("headers", {}) | {"authorization": f"Bearer {self.key}"}
        for left in reversed(range(_TRIES)):
            async with self.session.request(
                method, self.rest_url + path, headers=headers, **request
            ) as response:
                answer = Answer(response.status, await response.json())
            if answer.retry not in ("same_request", "later") or not left:
                return answer
            await asyncio.sleep(0.5)
        raise AssertionError("the last try returns")

    def _expected(self, path: str, answer: Answer) -> Json:
        if answer.status != 200:
            raise Unmet(f"{path}: expected HTTP 200, was {answer.status}: {answer.body}")
        return answer.body
