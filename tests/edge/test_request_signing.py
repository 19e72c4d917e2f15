"""Signed REST requests, through the real Envoy and two servers behind it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from app.stack.stack import ReadyStack
from tests.support.platform import new_request_id
from tests.support.signing import Key, key_bytes, sign

CUSTOMERS: Final = "/v1/customers"


@dataclass(frozen=True)
class Partner:
    """A tenant's client, with what it signs with."""

    session: aiohttp.ClientSession
    rest_url: str
    key: str
    signing_key_id: str
    signing_key: Key

    def sign(
        self, method: str, path: str, body: bytes = b"", *, query: str = "", idempotency: str = ""
    ) -> dict[str, str]:
        components = {
            "@method": method,
            "@authority": urlsplit(self.rest_url).netloc,
            "@path": path,
            "@query": f"?{query}",
        }
        more = {"idempotency-key": idempotency} if idempotency else {}
        headers, _ = sign(self.signing_key, self.signing_key_id, {**components, **more}, body)
        return headers | more

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {self.key}", **(headers or {})}
        if body:
            sent["content-type"] = "application/json"
        async with self.session.request(
            method, URL(self.rest_url + path, encoded=True), data=body or None, headers=sent
        ) as response:
            return response.status, await response.json()

    async def reason(self, *args: Any, **kwargs: Any) -> tuple[int, str]:
        status, body = await self.send(*args, **kwargs)
        return status, body["details"][0]["reason"]


@pytest.fixture(scope="module", params=["ED25519", "HMAC_SHA256"])
async def partner(
    running_stack: ReadyStack, request: pytest.FixtureRequest
) -> AsyncIterator[Partner]:
    """A tenant that requires signatures, by a key of its own or by a secret that it shares."""
    url, signing_key = running_stack.rest_url, Ed25519PrivateKey.generate()
    public_key = base64.b64encode(signing_key.public_key().public_bytes_raw()).decode()
    async with aiohttp.ClientSession() as session:
        operator = Partner(session, url, running_stack.operator_key, "", b"")

        async def make(who: Partner, method: str, path: str, **fields: Any) -> Any:
            status, made = await who.send(method, path, json.dumps(fields).encode())
            assert status == 200, made
            return made

        slug = f"t-{new_request_id()}"
        tenant = (await make(operator, "POST", "/v1/tenants", slug=slug, display_name="S"))[
            "tenant"
        ]
        keys = f"/v1/tenants/{tenant['id']}/apiKeys"
        secret = (await make(operator, "POST", keys, name="first"))["secret"]
        unsigned = Partner(session, url, secret, "", b"")
        made = await make(
            unsigned,
            "POST",
            "/v1/requestSigningKeys",
            name="backend",
            algorithm=f"SIGNATURE_ALGORITHM_{request.param}",
            **({"public_key": public_key} if request.param == "ED25519" else {}),
        )
        await make(unsigned, "PATCH", "/v1/tenants/current", signing_required=True)
        await asyncio.sleep(1.1)
        key = key_bytes(made["secret"]) if made["secret"] else signing_key
        yield Partner(session, url, secret, made["request_signing_key"]["id"], key)


async def test_what_is_signed_is_taken(partner: Partner) -> None:
    body = json.dumps({"external_id": new_request_id()}, indent=3).encode()

    status, made = await partner.send(
        "POST", CUSTOMERS, body, partner.sign("POST", CUSTOMERS, body, idempotency="one")
    )
    assert status == 200, made

    query = "page_size=1&page_token="
    listed = await partner.send(
        "GET", f"{CUSTOMERS}?{query}", headers=partner.sign("GET", CUSTOMERS, query=query)
    )
    assert listed == (200, {"customers": [made["customer"]], "next_page_token": ""})


async def test_an_unsigned_request_is_refused(partner: Partner) -> None:
    assert await partner.reason("GET", CUSTOMERS) == (401, "SIGNATURE_MISSING")
    body = b'{"external_id": "x"}'
    assert await partner.reason("POST", CUSTOMERS, body) == (401, "SIGNATURE_MISSING")


async def test_what_was_changed_on_its_way_is_refused(partner: Partner) -> None:
    body, other = b'{"external_id": "x"}', b'{"external_id":  "x"}'
    invalid = (401, "SIGNATURE_INVALID")

    async def send(method: str, path: str, sent: bytes, headers: dict[str, str]) -> Any:
        return await partner.reason(method, path, sent, headers)

    good = partner.sign("POST", CUSTOMERS, body, idempotency="two")
    digest = partner.sign("POST", CUSTOMERS, other)["content-digest"]
    assert await send("POST", CUSTOMERS, other, good) == invalid
    assert await send("POST", CUSTOMERS, other, good | {"content-digest": digest}) == invalid
    listing = partner.sign("GET", CUSTOMERS, query="page_size=1")
    assert await send("GET", f"{CUSTOMERS}?page_size=2", b"", listing) == invalid
    assert await send("POST", CUSTOMERS, body, good | {"idempotency-key": "three"}) == invalid
    assert await send("POST", "/v1/sandbox/deposits", body, good) == invalid
    assert await send("POST", CUSTOMERS, body, good | {"host": "example.com"}) == invalid
    assert await send("GET", CUSTOMERS, b"", partner.sign("POST", CUSTOMERS)) == invalid
    # What was refused used up no nonce.
    status, made = await partner.send("POST", CUSTOMERS, body, good)
    assert status == 200, made


async def test_a_request_is_taken_once_whichever_server_it_reaches(partner: Partner) -> None:
    headers = partner.sign("GET", CUSTOMERS)

    answers = await asyncio.gather(
        *(partner.send("GET", CUSTOMERS, headers=headers) for _ in range(16))
    )

    refused = [body["details"][0]["reason"] for status, body in answers if status == 401]
    assert refused == ["SIGNATURE_REPLAYED"] * 15


async def test_headers_of_our_own_cannot_be_claimed(partner: Partner) -> None:
    """Who says himself what was sent would be believed that he signed something else."""
    body, signed = b'{"external_id": "claimed"}', b'{"external_id": "signed"}'
    headers = partner.sign("POST", CUSTOMERS, signed)
    claimed = {
        "x-reli-body-bin": base64.b64encode(signed).decode(),
        "x-envoy-original-path": CUSTOMERS,
        "x-envoy-original-method": "POST",
    }

    assert await partner.reason("POST", CUSTOMERS, body, headers | claimed) == (
        401,
        "SIGNATURE_INVALID",
    )
