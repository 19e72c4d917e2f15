"""The REST face as a partner meets it: through the real Envoy, on the whole stack."""

import asyncio
import base64
import json
import re
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import aiohttp
import asyncpg
import grpc
import nats
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from nats.js.api import ConsumerConfig, DeliverPolicy

from adapters.envoy.descriptor import descriptor_set_path
from adapters.envoy.public_api import PublicApi, RestPath
from adapters.lp.sandbox.rates import REFERENCE_RATES
from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from app.ledger import verify_books
from app.stack.stack import ReadyStack
from domain.ids import AccountId, CustomerId, EntryId, QuoteId, TenantId, TransferId
from domain.ledger.close import TrialBalance, close_day
from reli.event.v1 import event_pb2
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.dead_letters import a_dead_letter
from tests.support.platform import amount, new_request_id, refusal_of
from tests.support.rate_limit import GENEROUS
from tests.support.rpc import RPCS
from tests.support.statements import csv_statement
from tests.support.webhooks import a_receiver, until

PATHS: Final[Sequence[RestPath]] = PublicApi.read(descriptor_set_path().read_bytes()).paths
ROUTES: Final = {(method, path.template) for path in PATHS for method in path.methods}
OPERATOR_PATHS: Final = [
    ("POST", "/v1/tenants"),
    ("GET", "/v1/tenants"),
    ("GET", "/v1/tenants/{tenant_id}"),
    ("PATCH", "/v1/tenants/{tenant_id}/terms"),
    ("POST", "/v1/tenants/{tenant_id}:suspend"),
    ("POST", "/v1/tenants/{tenant_id}:activate"),
    ("POST", "/v1/tenants/{tenant_id}:close"),
    ("POST", "/v1/tenants/{tenant_id}:setTradingState"),
    ("GET", "/v1/tenants/{tenant_id}/tradingStateChanges"),
    ("POST", "/v1/instruments/{instrument}:setTradingState"),
    ("GET", "/v1/lps"),
    ("POST", "/v1/lps/{lp}:setTradingState"),
    ("POST", "/v1/lps/{lp}/statements:fetch"),
    ("POST", "/v1/tenants/{tenant_id}/apiKeys"),
    ("POST", "/v1/tenants/{tenant_id}/apiKeys/{api_key_id}:revoke"),
    ("POST", "/v1/tenants/{tenant_id}/apiKeys/{api_key_id}:rotate"),
    ("POST", "/v1/ledger/entries"),
    ("GET", "/v1/ledger/entries/{entry_id}"),
    ("POST", "/v1/ledger/entries/{entry_id}:reverse"),
    ("POST", "/v1/ledger/accounts"),
    ("POST", "/v1/ledger/accounts/{account_id}:setOverdraftLimit"),
    ("GET", "/v1/deadLetters"),
    ("POST", "/v1/deadLetters/{dead_letter_id}:replay"),
    ("GET", "/v1/stuckTrades"),
    ("GET", "/v1/tenants/{tenant_id}/trades/{trade_id}/evidence"),
    ("GET", "/v1/tenants/{tenant_id}/trades/{trade_id}/receipt"),
    ("POST", "/v1/trades/{trade_id}:proposeResolution"),
    ("POST", "/v1/trades/{trade_id}:approveResolution"),
    ("GET", "/v1/tenants/{tenant_id}/breaks"),
    ("GET", "/v1/tenants/{tenant_id}/ledger/checkpoints"),
    ("GET", "/v1/tenants/{tenant_id}/ledger/entries/{entry_id}/inclusionProof"),
    ("POST", "/v1/tenants/{tenant_id}/statements:import"),
    ("POST", "/v1/tenants/{tenant_id}/breaks/{break_id}:assign"),
    ("POST", "/v1/tenants/{tenant_id}/breaks/{break_id}:resolve"),
    ("POST", "/v1/tenants/{tenant_id}/breaks/{break_id}/resolutions/{break_resolution_id}:approve"),
    ("GET", "/v1/tenants/{tenant_id}/ledger/accounts/{account_id}/statement"),
    ("GET", "/v1/tenants/{tenant_id}/ledger/dailyCloses"),
    ("GET", "/v1/tenants/{tenant_id}/ledger/dailyCloses/{day}"),
    ("GET", "/v1/tenants/{tenant_id}/customers/{customer_id}/liabilityProof"),
    ("GET", "/v1/lpPositions"),
    ("POST", "/v1/lpSettlements"),
    ("GET", "/v1/lpSettlements"),
    ("GET", "/v1/lpSettlements/{lp_settlement_id}"),
    ("POST", "/v1/lpSettlements/{lp_settlement_id}:approve"),
    ("POST", "/v1/lpSettlements/{lp_settlement_id}:settle"),
    ("POST", "/v1/lpSettlements/{lp_settlement_id}:cancel"),
]

A_PRICE: Final = (
    "side=SIDE_BUY&base_asset=BTC&quote_asset=NGN&base_amount.value=0.01&base_amount.asset=BTC"
)
"""The query that asks what `a_quote` costs."""

STUCK: Final = "0.00007761"
"""At this amount the primary venue cuts the line."""
REFUSED_EVERYWHERE: Final = "0.00007788"
"""At this amount neither venue gives a price."""

RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3,9})?Z")
SNAKE_CASE: Final = re.compile(r"[a-z][a-z0-9_]*")
INNER_WORDS: Final = re.compile(
    r"Traceback|\b\w+Error\b|Exception|<class|\.py\b|asyncpg|sqlalchemy|SELECT |INSERT |UPDATE "
)
ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"

IDS: Final = RandomIds(SystemClock())


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def reason(self) -> str:
        """The reason of a refusal, whose envelope must be ours and nothing else."""
        assert self.headers["content-type"] == "application/json"
        body = self.body
        assert body.keys() == {"code", "message", "details"}
        assert isinstance(body["code"], int)
        assert body["message"]
        assert not INNER_WORDS.search(self.text), self.text
        info, *rest = body["details"]
        assert info.keys() == {"@type", "reason", "domain", "metadata"}
        assert (info["@type"], info["domain"]) == (ERROR_INFO, "reli.dev")
        assert info["metadata"]["retry"] in ("never", "same_request", "later")
        assert [one["@type"] for one in rest] in ([], [RETRY_INFO])
        return str(info["reason"])

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.reason

    @property
    def metadata(self) -> Mapping[str, str]:
        assert self.reason
        metadata: Mapping[str, str] = self.body["details"][0]["metadata"]
        return metadata


@dataclass
class Partner:
    """Somebody with a key and an HTTP client."""

    session: aiohttp.ClientSession
    key: str
    used: set[tuple[str, str]] = field(default_factory=set)
    """Routes that answered with success."""

    async def send(
        self, method: str, path: str, body: Any = None, *, raw: Any = None, **headers: str
    ) -> Answer:
        sent = {"authorization": f"Bearer {self.key}"} if self.key else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            raw, sent = json.dumps(body), {"content-type": "application/json"} | sent
        async with self.session.request(
            method, path, data=raw, headers=sent, skip_auto_headers=["content-type"]
        ) as response:
            answer = Answer(response.status, await response.text(), response.headers)
        if answer.status == 200:
            self.used.add(route_of(method, path))
        return answer

    @asynccontextmanager
    async def listen(self, path: str) -> AsyncIterator["Events"]:
        headers = {"authorization": f"Bearer {self.key}", "accept": "text/event-stream"}
        async with self.session.get(path, headers=headers) as response:
            assert response.status == 200, await response.text()
            assert response.headers["content-type"] == "text/event-stream"
            assert response.headers["cache-control"] == "no-store"
            self.used.add(route_of("GET", path))
            yield Events(response)

    async def get(self, path: str) -> Any:
        answer = await self.send("GET", path)
        assert answer.status == 200, answer
        return answer.body

    async def post(self, path: str, body: Any = None, method: str = "POST") -> Any:
        answer = await self.send(method, path, {} if body is None else body)
        assert answer.status == 200, answer
        return answer.body


@dataclass
class Events:
    """Server-sent events as they come, each of one line of data and perhaps an id before it."""

    response: aiohttp.ClientResponse

    async def next(self) -> Any:
        """Return the data of the next one, or nothing where there are no more."""
        line = await self.response.content.readline()
        if not line:
            return None
        if line.startswith(b"id: "):
            line = await self.response.content.readline()
        assert line.startswith(b"data: "), line
        assert await self.response.content.readline() == b"\n"
        return json.loads(line.removeprefix(b"data: "))


def route_of(method: str, path: str) -> tuple[str, str]:
    """Return method and template of the path; a fixed template goes before one with variables."""
    bare = path.partition("?")[0]
    fitting = [one for one in PATHS if method in one.methods and re.fullmatch(one.regex, bare)]
    return method, min(fitting, key=lambda one: not one.is_fixed).template


def an_amount(value: str, asset: str) -> dict[str, str]:
    return {"value": value, "asset": asset}


def a_quote(customer_id: str, base: str = "0.01", **fields: Any) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "side": "SIDE_BUY",
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "base_amount": an_amount(base, "BTC"),
    } | fields


@pytest.fixture(scope="module")
async def session(running_stack: ReadyStack) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        running_stack.rest_url, timeout=aiohttp.ClientTimeout(20)
    ) as session:
        yield session


@pytest.fixture(scope="module")
def operator(session: aiohttp.ClientSession, running_stack: ReadyStack) -> Partner:
    return Partner(session, running_stack.operator_key)


async def a_partner(operator: Partner) -> tuple[str, Partner]:
    """Make a tenant and its first key; return its id and who holds the key."""
    made = await operator.post(
        "/v1/tenants",
        {
            "slug": f"t-{new_request_id()}",
            "display_name": "Savanna Pay",
            "branding": {"color": "#0a7", "nested": {"Camel": [1, True, None]}},
            "settings": {
                "platform_fee_bps": 20,
                "rate_limits": [MessageToDict(limit) for limit in GENEROUS],
            },
        },
    )
    tenant_id = made["tenant"]["id"]
    key = await operator.post(f"/v1/tenants/{tenant_id}/apiKeys", {"name": "first"})
    return tenant_id, Partner(operator.session, key["secret"])


@dataclass(frozen=True)
class Funded:
    """A tenant with a customer who can pay."""

    tenant_id: str
    partner: Partner
    customer_id: str


@pytest.fixture(scope="module")
async def funded(operator: Partner) -> Funded:
    tenant_id, partner = await a_partner(operator)
    made = await partner.post("/v1/customers", {"external_id": "ada"})
    customer_id = made["customer"]["id"]
    await partner.post(
        "/v1/sandbox/deposits",
        {
            "customer_id": customer_id,
            "amount": an_amount("100000000.00", "NGN"),
            "request_id": "fund",
        },
    )
    return Funded(tenant_id, partner, customer_id)


async def test_a_partner_walks_every_path(operator: Partner, running_stack: ReadyStack) -> None:
    tenant_id, partner = await a_partner(operator)
    await _walk_through_the_office(operator, partner, tenant_id)
    customer_id = await _walk_through_customers(partner)
    await _walk_through_a_trade(partner, customer_id)
    await _walk_through_a_receipt(operator, partner, tenant_id)
    await _walk_through_the_books(operator, partner, tenant_id, customer_id)
    await _walk_through_the_proofs(operator, partner, tenant_id, customer_id)
    await _walk_through_a_resolution(operator, partner, tenant_id, customer_id)
    await _walk_through_events(partner, tenant_id)
    await _walk_through_a_statement(operator)
    await _walk_through_a_replay(operator, tenant_id, running_stack)
    await _walk_through_halts(operator, tenant_id)
    await _walk_through_webhooks(partner)
    await _walk_through_the_closes(operator, partner, tenant_id, running_stack)

    assert operator.used | partner.used == ROUTES


async def _walk_through_the_office(operator: Partner, partner: Partner, tenant_id: str) -> None:
    tenant = (await partner.get("/v1/tenants/current"))["tenant"]
    assert tenant["id"] == tenant_id
    assert tenant["state"] == "TENANT_STATE_ACTIVE"
    assert tenant["branding"] == {"color": "#0a7", "nested": {"Camel": [1, True, None]}}
    assert tenant["settings"]["quote_ttl"] == "30s"
    changed = await partner.post(
        "/v1/tenants/current",
        {"markups": [{"instrument": "BTC-NGN", "bps": 50}], "quote_ttl": "20s"},
        "PATCH",
    )
    assert changed["tenant"]["settings"]["markups"] == [{"instrument": "BTC-NGN", "bps": 50}]
    key = await partner.post("/v1/apiKeys", {"name": "reader", "scopes": ["SCOPE_READ"]})
    assert key["secret"].startswith(key["api_key"]["hint"])
    listed = (await partner.get("/v1/apiKeys"))["api_keys"]
    assert [one["name"] for one in listed] == ["reader", "first"]
    assert "secret" not in json.dumps(listed)
    rotation = {"overlap": "3600s", "expire_time": "2100-01-01T00:00:00Z"}
    rotated = await partner.post(f"/v1/apiKeys/{key['api_key']['id']}:rotate", rotation)
    assert rotated["api_key"]["expire_time"] == "2100-01-01T00:00:00Z"
    assert RFC_3339.fullmatch(rotated["rotated_api_key"]["expire_time"])
    revoked = await partner.post(f"/v1/apiKeys/{key['api_key']['id']}:revoke")
    assert RFC_3339.fullmatch(revoked["api_key"]["revoke_time"])

    public_key = base64.b64encode(bytes(range(32))).decode()
    made = await partner.post(
        "/v1/requestSigningKeys",
        {"name": "a", "algorithm": "SIGNATURE_ALGORITHM_ED25519", "public_key": public_key},
    )
    signing_key = made["request_signing_key"]
    assert signing_key["public_key"] == public_key
    assert (await partner.get("/v1/requestSigningKeys"))["request_signing_keys"] == [signing_key]
    gone = await partner.post(f"/v1/requestSigningKeys/{signing_key['id']}:revoke")
    assert RFC_3339.fullmatch(gone["request_signing_key"]["revoke_time"])

    path = f"/v1/tenants/{tenant_id}"
    terms = await operator.post(f"{path}/terms", {"lp_order": ["alpha", "beta"]}, "PATCH")
    assert terms["tenant"]["settings"]["platform_fee_bps"] == 20, "what is absent stays"
    assert (await operator.get(path))["tenant"] == terms["tenant"]
    assert tenant_id in [one["id"] for one in (await operator.get("/v1/tenants"))["tenants"]]
    other = await operator.post("/v1/tenants", {"slug": new_request_id(), "display_name": "B"})
    path = f"/v1/tenants/{other['tenant']['id']}"
    spare = await operator.post(f"{path}/apiKeys", {"name": "spare"})
    await operator.post(f"{path}/apiKeys/{spare['api_key']['id']}:rotate", {"overlap": "0s"})
    await operator.post(f"{path}/apiKeys/{spare['api_key']['id']}:revoke")
    logged = (await partner.get("/v1/auditRecords?page_size=200"))["audit_records"]
    assert re.fullmatch("[0-9a-f]{64}", logged[0]["after_sha256"])
    assert {one["is_operator"] for one in logged} == {True, False}
    for step, state in (("suspend", "SUSPENDED"), ("activate", "ACTIVE"), ("close", "CLOSED")):
        stepped = await operator.post(f"{path}:{step}")
        assert stepped["tenant"]["state"] == f"TENANT_STATE_{state}"


async def _walk_through_halts(operator: Partner, tenant_id: str) -> None:
    for path, kind, name in (
        ("/v1/instruments/ETH-ZAR", "INSTRUMENT", "ETH-ZAR"),
        ("/v1/lps/beta", "LP", "beta"),
        (f"/v1/tenants/{tenant_id}", "TENANT", tenant_id),
    ):
        for state in ("REDUCING", "ACTIVE"):
            body = {"trading_state": f"TRADING_STATE_{state}", "reason": "a drill"}
            made = await operator.post(f"{path}:setTradingState", body)
            change = made["change"]
            assert (change["kind"], change["name"]) == (f"TRADED_KIND_{kind}", name)
            assert change["to_state"] == f"TRADING_STATE_{state}"
    path = f"/v1/tenants/{tenant_id}/tradingStateChanges"
    listed = (await operator.get(path))["changes"]
    assert [one["reason"] for one in listed] == ["a drill", "a drill"]
    lps = {one["name"]: one for one in (await operator.get("/v1/lps"))["lps"]}
    assert lps["beta"]["trading_state"] == "TRADING_STATE_ACTIVE"
    assert lps["beta"]["circuit"]["state"] == "CIRCUIT_STATE_CLOSED"
    assert int(lps["beta"]["record"]["quoted"]) > 0
    await asyncio.sleep(1)  # until nobody remembers that it was reducing


async def _walk_through_customers(partner: Partner) -> str:
    customer = (await partner.post("/v1/customers", {"external_id": "ada"}))["customer"]
    path = f"/v1/customers/{customer['id']}"
    assert (await partner.get(path))["customer"] == customer
    assert (await partner.get("/v1/customers"))["customers"] == [customer]
    for step, state in (("suspend", "SUSPENDED"), ("activate", "ACTIVE")):
        stepped = await partner.post(f"{path}:{step}")
        assert stepped["customer"]["state"] == f"CUSTOMER_STATE_{state}"
    gone = (await partner.post("/v1/customers", {"external_id": "bo"}))["customer"]
    closed = await partner.post(f"/v1/customers/{gone['id']}:close")
    assert closed["customer"]["state"] == "CUSTOMER_STATE_CLOSED"
    return str(customer["id"])


async def _walk_through_a_trade(partner: Partner, customer_id: str) -> None:
    assets = {one["code"]: one for one in (await partner.get("/v1/assets"))["assets"]}
    assert assets["ETH"] == {"code": "ETH", "scale": 18, "display_name": "Ether"}
    instruments = (await partner.get("/v1/instruments"))["instruments"]
    assert {"code": "BTC-NGN", "base_asset": "BTC", "quote_asset": "NGN", "tolerance_bps": 10,
            "open": True, "trading_state": "TRADING_STATE_ACTIVE"} in instruments  # fmt: skip
    deposit = await partner.post(
        "/v1/sandbox/deposits",
        {
            "customer_id": customer_id,
            "amount": an_amount("5000000", "NGN"),
            "request_id": "deposit",
        },
    )
    assert deposit["deposit"]["amount"] == an_amount("5000000.00", "NGN")

    async with asyncio.timeout(10):  # the markup was set just now, and is heard within a second
        while True:
            told = (await partner.get(f"/v1/indicativeQuotes?{A_PRICE}"))["quote"]
            if told["waterfall"]["markup"]["value"] != "0.00":
                break
            await asyncio.sleep(0.2)
    await asyncio.sleep(1)  # in every server
    quoted = await partner.post("/v1/quotes", a_quote(customer_id))
    quote = quoted["quote"]
    assert told["is_indicative"] is True
    assert RFC_3339.fullmatch(told["price_time"])
    told_alone = {"is_indicative", "price_time"}
    async with partner.listen(f"/v1/indicativeQuotes:stream?{A_PRICE}") as events:
        first = (await events.next())["quote"]
    assert first | {"price_time": ""} == told | {"price_time": ""}
    assert {name: quote[name] for name in told.keys() - told_alone} == {
        name: told[name] for name in told.keys() - told_alone
    }
    assert quote["base_amount"] == an_amount("0.01000000", "BTC")
    assert quote["quote_amount"] == an_amount("1513521.00", "NGN")
    assert quote["waterfall"] == {
        "lp": an_amount("1503000.00", "NGN"),
        "fee": an_amount("3006.00", "NGN"),
        "markup": an_amount("7515.00", "NGN"),
        "total": quote["quote_amount"],
    }
    assert (quote["side"], quote["state"]) == ("SIDE_BUY", "QUOTE_STATE_OPEN")
    assert [one["verdict"] for one in quoted["lp_answers"]] == [
        "LP_VERDICT_USED",
        "LP_VERDICT_OUTBID",
    ]
    assert (await partner.get(f"/v1/quotes/{quote['id']}"))["quote"] == quote
    accepted = await partner.post(f"/v1/quotes/{quote['id']}:accept", {"request_id": "accept"})
    trade = accepted["trade"]
    assert (trade["state"], trade["quote_amount"]) == ("TRADE_STATE_SETTLED", quote["quote_amount"])
    assert (await partner.get(f"/v1/trades/{trade['id']}"))["trade"] == trade
    assert (await partner.get("/v1/trades"))["trades"] == [trade]

    other = (await partner.post("/v1/quotes", a_quote(customer_id, side="SIDE_SELL")))["quote"]
    canceled = await partner.post(f"/v1/quotes/{other['id']}:cancel")
    assert canceled["quote"]["state"] == "QUOTE_STATE_CANCELED"
    listed = (await partner.get(f"/v1/quotes?customer_id={customer_id}"))["quotes"]
    assert [one["id"] for one in listed] == [other["id"], quote["id"]]


async def _walk_through_a_receipt(operator: Partner, partner: Partner, tenant_id: str) -> None:
    (trade,) = (await partner.get("/v1/trades"))["trades"]
    path = f"trades/{trade['id']}"
    async with asyncio.timeout(20):
        while (answer := await partner.send("GET", f"/v1/{path}/receipt")).status != 200:
            assert answer.refusal == (429, "RECEIPT_PENDING")
            assert answer.metadata["retry"] == "later"
            await asyncio.sleep(0.2)
    receipt = answer.body["receipt"]
    evidence = (await partner.get(f"/v1/{path}/evidence"))["evidence"]
    assert receipt["paid_amount"] == trade["quote_amount"]
    assert receipt["final_entry_id"] == trade["settlement_entry_id"]
    assert receipt["evidence_digest"] == evidence["digest"]
    assert [one["verdict"] for one in evidence["answers"]] == ["used", "outbid"]
    of_tenant = f"/v1/tenants/{tenant_id}/{path}"
    assert (await operator.get(f"{of_tenant}/receipt"))["receipt"] == receipt
    in_words = (await operator.get(f"{of_tenant}/evidence"))["evidence"]
    assert in_words["content"] == evidence["content"]
    assert any(step["evidence"] for step in in_words["steps"])


async def _walk_through_the_proofs(
    operator: Partner, partner: Partner, tenant_id: str, customer_id: str
) -> None:
    deposit = await partner.post(
        "/v1/sandbox/deposits",
        {
            "customer_id": customer_id,
            "amount": an_amount("1.00", "NGN"),
            "request_id": new_request_id(),
        },
    )
    entry_id = deposit["deposit"]["entry_id"]
    path = f"ledger/entries/{entry_id}/inclusionProof"
    async with asyncio.timeout(20):
        while (answer := await partner.send("GET", f"/v1/{path}")).status != 200:
            assert answer.refusal == (429, "ENTRY_NOT_IN_CHECKPOINT")
            assert answer.metadata["retry"] == "later"
            await asyncio.sleep(0.2)
    proof = answer.body["proof"]
    listed = (await partner.get("/v1/ledger/checkpoints?page_size=200"))["checkpoints"]
    assert proof["checkpoint"] in listed
    of_tenant = f"/v1/tenants/{tenant_id}/ledger"
    assert (await operator.get(f"{of_tenant}/checkpoints"))["checkpoints"][-1] == listed[-1]
    assert (await operator.get(f"/v1/tenants/{tenant_id}/{path}"))["proof"]["leaf"] == proof["leaf"]

    # Whoever has no key sees those that checkpoints are signed with.
    anybody = Partner(operator.session, "", operator.used)
    published = await anybody.get("/.well-known/jwks.json")
    assert [key.keys() for key in published["keys"]] == [
        {"kty", "crv", "x", "kid", "use", "alg"} for _ in published["keys"]
    ]
    keys = {key["kid"]: verify_books.decoded(key["x"] + "=") for key in published["keys"]}
    assert verify_books.uuid_of(entry_id) in verify_books.check_proof(proof, keys, "")

    path = f"customers/{customer_id}/liabilityProof?asset=NGN"
    async with asyncio.timeout(30):
        while (answer := await partner.send("GET", f"/v1/{path}")).status != 200:
            assert answer.refusal == (429, "LIABILITY_NOT_IN_SHEET")
            assert answer.metadata["retry"] == "later"
            await asyncio.sleep(0.2)
    proof = answer.body["proof"]
    assert f"{customer_id} was owed" in verify_books.check_liability(proof, keys, "")
    assert proof["sheet"]["total"]["asset"] == "NGN"
    theirs = (await operator.get(f"/v1/tenants/{tenant_id}/{path}"))["proof"]
    assert theirs["customer_id"] == customer_id


async def _walk_through_the_books(
    operator: Partner, partner: Partner, tenant_id: str, customer_id: str
) -> None:
    balances = (await partner.get(f"/v1/customers/{customer_id}/balances"))["accounts"]
    assert {one["asset"]: one["balance"]["available"]["value"] for one in balances} == {
        "BTC": "0.01000000",
        "NGN": "3486479.00",
    }
    naira = next(one for one in balances if one["asset"] == "NGN")
    assert naira["kind"] == "ACCOUNT_KIND_CUSTOMER"
    assert naira["version"] == "3", "64 bits are text in JSON"
    assert naira in (await partner.get("/v1/ledger/accounts"))["accounts"]
    assert (await partner.get(f"/v1/ledger/accounts/{naira['id']}"))["account"] == naira
    postings = (await partner.get(f"/v1/ledger/accounts/{naira['id']}/postings"))["postings"]
    assert [(one["kind"], one["change"]["value"], one["version"]) for one in postings] == [
        ("TRANSFER_KIND_POST", "-1513521.00", "3"),
        ("TRANSFER_KIND_PENDING", "0.00", "2"),
        ("TRANSFER_KIND_REGULAR", "5000000.00", "1"),
    ]

    oldest = await partner.get(
        f"/v1/ledger/accounts/{naira['id']}/postings?order=POSTING_ORDER_OLDEST_FIRST&page_size=1"
    )
    assert oldest["postings"] == postings[-1:]
    path = f"/v1/ledger/accounts/{naira['id']}/balance"
    assert (await partner.get(path))["posted"] == naira["balance"]["posted"]
    by_the_first = f"{path}?record_time={postings[-1]['record_time']}"
    first = await partner.get(by_the_first)
    assert first["posted"] == an_amount("5000000.00", "NGN")
    assert first["record_time"] == postings[-1]["record_time"]
    assert await partner.get(by_the_first) == first
    period = _a_week_around(postings[0]["record_time"])
    for own in (partner, operator):
        books = "/v1/ledger" if own is partner else f"/v1/tenants/{tenant_id}/ledger"
        path = f"{books}/accounts/{naira['id']}/statement?{period}"
        opening, lines, closing = (one["part"] for one in await own.get(path))
        assert opening["opening"]["balance"] == an_amount("0.00", "NGN")
        assert [one["change"]["value"] for one in lines["lines"]["lines"]] == [
            "5000000.00",
            "-1513521.00",
        ]
        assert closing["closing"]["balance"] == naira["balance"]["posted"]
        [chunk] = await own.get(f"{path}&format=STATEMENT_FORMAT_CSV")
        assert b64decode(chunk["part"]["chunk"]).count(b"\r\n") == 5

    opened = [
        (await operator.post("/v1/ledger/accounts", {"tenant_id": tenant_id, **account}))["account"]
        for account in (
            {"kind": "ACCOUNT_KIND_TREASURY", "asset": "NGN"},
            {"kind": "ACCOUNT_KIND_EXTERNAL", "owner": "bank", "asset": "NGN"},
        )
    ]
    treasury, external = (one["id"] for one in opened)
    assert "overdraft_limit" not in opened[1], "without bound"
    limited = await operator.post(
        f"/v1/ledger/accounts/{treasury}:setOverdraftLimit",
        {"tenant_id": tenant_id, "overdraft_limit": an_amount("25", "NGN")},
    )
    assert limited["account"]["overdraft_limit"] == an_amount("25.00", "NGN")
    entry_id = str(IDS.new(EntryId))
    transfer = {
        "id": str(IDS.new(TransferId)),
        "debit_account_id": treasury,
        "credit_account_id": external,
        "amount": an_amount("25.00", "NGN"),
    }
    entered = await operator.post(
        "/v1/ledger/entries",
        {
            "tenant_id": tenant_id,
            "entry_id": entry_id,
            "transfers": [transfer],
            "request_id": new_request_id(),
        },
    )
    assert entered["entry"]["source"] == "ENTRY_SOURCE_OPERATOR"
    assert entered["entry"]["transfers"][0]["kind"] == "TRANSFER_KIND_REGULAR"
    found = await operator.get(f"/v1/ledger/entries/{entry_id}?tenant_id={tenant_id}")
    assert found == entered
    taken_back = await operator.post(
        f"/v1/ledger/entries/{entry_id}:reverse",
        {"tenant_id": tenant_id, "description": "typed twice", "request_id": new_request_id()},
    )
    assert taken_back["entry"]["reverses_entry_id"] == entry_id
    found = await operator.get(f"/v1/ledger/entries/{entry_id}?tenant_id={tenant_id}")
    assert found["entry"]["reversed_by_entry_id"] == taken_back["entry"]["id"]


async def _walk_through_a_resolution(
    operator: Partner, partner: Partner, tenant_id: str, customer_id: str
) -> None:
    quote = (await partner.post("/v1/quotes", a_quote(customer_id, STUCK)))["quote"]
    accepted = await partner.post(f"/v1/quotes/{quote['id']}:accept", {"request_id": "stuck"})
    trade = accepted["trade"]
    assert trade["state"] == "TRADE_STATE_OUTCOME_UNKNOWN"
    stuck = (await operator.get(f"/v1/stuckTrades?tenant_id={tenant_id}"))["stuck_trades"]
    assert [one["trade"]["id"] for one in stuck] == [trade["id"]]
    proposed = await operator.post(
        f"/v1/trades/{trade['id']}:proposeResolution",
        {
            "tenant_id": tenant_id,
            "verdict": "RESOLUTION_VERDICT_FILLED",
            "venue_order_id": f"statement-{new_request_id()}",
            "filled_amount": trade["waterfall"]["lp"],
            "evidence": "line 7 of the statement",
            "request_id": new_request_id(),
        },
    )
    house_id = (await operator.get("/v1/tenants/current"))["tenant"]["id"]
    key = await operator.post(f"/v1/tenants/{house_id}/apiKeys", {"name": "second person"})
    second = Partner(operator.session, key["secret"], operator.used)
    approved = await second.post(
        f"/v1/trades/{trade['id']}:approveResolution",
        {
            "tenant_id": tenant_id,
            "resolution_id": proposed["resolution"]["id"],
            "request_id": new_request_id(),
        },
    )
    assert approved["trade"]["state"] == "TRADE_STATE_SETTLED"
    assert (await operator.get(f"/v1/tenants/{tenant_id}/breaks"))["breaks"] == []
    await _walk_through_a_break(operator, second, partner, tenant_id)
    await _walk_through_a_settlement(operator, second, house_id)


async def _walk_through_a_settlement(operator: Partner, second: Partner, house_id: str) -> None:
    """An LP that nobody trades with owes us; one payment is made, one is given up."""
    lp = f"lp-{new_request_id()}"
    accounts = [
        (await operator.post("/v1/ledger/accounts", {"tenant_id": house_id, **account}))["account"]
        for account in (
            {"kind": "ACCOUNT_KIND_LP", "owner": lp, "asset": "NGN"},
            {"kind": "ACCOUNT_KIND_EXTERNAL", "owner": "elsewhere", "asset": "NGN"},
        )
    ]
    settlements: list[Any] = []
    for owed in ("7.00", "9.00"):
        transfer = {
            "id": str(IDS.new(TransferId)),
            "debit_account_id": accounts[0]["id"],
            "credit_account_id": accounts[1]["id"],
            "amount": an_amount(owed, "NGN"),
        }
        await operator.post(
            "/v1/ledger/entries",
            {
                "tenant_id": house_id,
                "entry_id": str(IDS.new(EntryId)),
                "transfers": [transfer],
                "request_id": new_request_id(),
            },
        )
        [position] = (await operator.get(f"/v1/lpPositions?lp={lp}"))["positions"]
        assert position == {
            "lp": lp,
            "amount": an_amount(owed, "NGN"),
            "account_id": accounts[0]["id"],
        }
        proposed = await operator.post(
            "/v1/lpSettlements", {"lp": lp, "rail": "a-bank", "request_id": new_request_id()}
        )
        path = f"/v1/lpSettlements/{proposed['settlement']['id']}"
        once = {"request_id": new_request_id()}
        if not settlements:
            await second.post(f"{path}:approve", once)
            paid = once | {"reference": "PAY-1", "evidence": "line 7 of the statement"}
            ended = await operator.post(f"{path}:settle", paid)
        else:
            ended = await operator.post(f"{path}:cancel", once)
        assert await operator.get(path) == ended
        settlements.append(ended["settlement"])
    assert [one["state"] for one in settlements] == [
        "LP_SETTLEMENT_STATE_SETTLED",
        "LP_SETTLEMENT_STATE_CANCELED",
    ]
    listed = (await operator.get(f"/v1/lpSettlements?lp={lp}"))["settlements"]
    assert listed == settlements[::-1]


async def _walk_through_a_statement(operator: Partner) -> None:
    """A venue is asked what it executed yesterday, when nobody traded yet."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    told = await operator.post("/v1/lps/alpha/statements:fetch", {"day": yesterday})
    statement = told["statement"]
    assert statement["source"] == {"kind": "SOURCE_KIND_LP", "name": "alpha"}
    assert statement["start_time"] == f"{yesterday}T00:00:00Z"
    assert (statement["lines"], statement["breaks_raised"]) == (0, 0)


async def _walk_through_a_break(
    operator: Partner, second: Partner, partner: Partner, tenant_id: str
) -> None:
    """A bank tells of a payment that the book does not have, and two persons enter it."""
    now = datetime.now(UTC)
    content = csv_statement(
        now - timedelta(hours=1), now + timedelta(hours=1), [("FT-1", "", now, "NGN", "7.00")]
    )
    told = await operator.post(
        f"/v1/tenants/{tenant_id}/statements:import",
        {
            "source": {"kind": "SOURCE_KIND_RAIL", "name": "a-bank"},
            "format": "STATEMENT_FORMAT_CSV",
            "content": base64.b64encode(content).decode(),
        },
    )
    assert (told["statement"]["lines"], told["statement"]["breaks_raised"]) == (1, 1)
    (found,) = (await operator.get(f"/v1/tenants/{tenant_id}/breaks"))["breaks"]
    (own,) = (await partner.get("/v1/breaks"))["breaks"]
    assert own["id"] == found["id"]
    path = f"/v1/tenants/{tenant_id}/breaks/{found['id']}"
    assigned = await operator.post(f"{path}:assign", {"owner": "ada", "note": "asked the bank"})
    assert assigned["reconciliation_break"]["owner"] == "ada"
    account = await operator.post(
        "/v1/ledger/accounts",
        {"tenant_id": tenant_id, "kind": "ACCOUNT_KIND_TREASURY", "asset": "NGN"},
    )
    proposed = await operator.post(
        f"{path}:resolve",
        {
            "counter_account_id": account["account"]["id"],
            "note": "the bank confirmed it",
            "request_id": new_request_id(),
        },
    )
    resolution_id = proposed["reconciliation_break"]["resolution"]["id"]
    approved = await second.post(
        f"{path}/resolutions/{resolution_id}:approve", {"request_id": new_request_id()}
    )
    assert approved["reconciliation_break"]["state"] == "BREAK_STATE_RESOLVED"


async def _walk_through_a_replay(
    operator: Partner, tenant_id: str, running_stack: ReadyStack
) -> None:
    owner = await asyncpg.connect(running_stack.database_url)
    try:
        letter_id = await a_dead_letter(owner, tenant_id)
    finally:
        await owner.close()
    asked = await operator.post(
        f"/v1/deadLetters/{letter_id}:replay",
        {"tenant_id": tenant_id, "request_id": new_request_id()},
    )
    assert asked["dead_letter"]["id"] == letter_id
    house_id = (await operator.get("/v1/tenants/current"))["tenant"]["id"]

    events = await _events_until(running_stack.nats_url, house_id, "dead_letter.replayed")

    assert events[-1].subject == events[-1].dead_letter.id == letter_id
    listed = await operator.get(f"/v1/deadLetters?tenant_id={tenant_id}")
    assert [one["state"] for one in listed["dead_letters"]] == ["DEAD_LETTER_STATE_REPLAYED"]


async def _walk_through_events(partner: Partner, tenant_id: str) -> None:
    page = await partner.get("/v1/events?after=0&until=1&types=tenant.created&wait=3s")
    [event] = page["events"]
    assert (event["type"], event["subject"]) == ("tenant.created", tenant_id)
    assert (page["position"], event["sequence"]) == ("1", "1")
    assert (await partner.get(f"/v1/events/{event['id']}"))["event"] == event
    async with partner.listen("/v1/events:stream?after=0&until=1") as events:
        begin, told, end = [await events.next() for _ in range(3)]
        assert await events.next() is None
    assert begin["heartbeat"].keys() == {"last_sequence", "look_time"}
    assert told == {"event": event, "position": "1"}
    assert (end["end"]["code"], end["position"]) == (0, "1")


async def _walk_through_webhooks(partner: Partner) -> None:
    async with a_receiver() as receiver:
        made = await partner.post(
            "/v1/webhookEndpoints",
            {"url": f"{receiver.url}/hooks", "event_types": ["customer.created"]},
        )
        path = f"/v1/webhookEndpoints/{made['endpoint']['id']}"
        assert (await partner.get(path))["endpoint"] == made["endpoint"]
        assert (await partner.get("/v1/webhookEndpoints"))["endpoints"] == [made["endpoint"]]
        rotated = await partner.post(f"{path}:rotateSecret", {"overlap": "3600s"})
        for verb in (":disable", ":enable", ":sendTestEvent"):
            await partner.post(path + verb)
        changed = await partner.post(path, {"event_types": {"values": ["quote.*"]}}, "PATCH")
        assert changed["endpoint"]["event_types"] == ["quote.*"]

        await until(lambda: len(receiver.calls) == 1)

        (call,) = receiver.calls
        event = call.verify(made["secret"])
        assert event == call.verify(rotated["secret"])
        assert event["type"] == "webhook_endpoint.tested"
        state = "WEBHOOK_DELIVERY_STATE_DELIVERED"
        await until(lambda: partner.get(f"{path}/deliveries?state={state}"), "deliveries")
        (delivery,) = (await partner.get(f"{path}/deliveries"))["deliveries"]
        assert (delivery["state"], delivery["event_id"]) == (state, event["id"])
        of_delivery = f"/v1/webhookDeliveries/{delivery['id']}"
        assert json.loads((await partner.get(of_delivery))["request_body"]) == event
        (attempt,) = (await partner.get(f"{of_delivery}/attempts"))["attempts"]
        assert (attempt["status_code"], attempt["response_body"]) == (200, "thank you")
        await partner.post(f"{of_delivery}:replay")
        await until(lambda: len(receiver.calls) == 2)
        assert receiver.calls[1].id == call.id
        assert (await partner.post(f"{path}:replayDeliveries"))["replayed"] == 0
        replayed = await partner.post(
            f"{path}:replayEvents", {"first_sequence": 1, "last_sequence": 2}
        )
        assert replayed == {"replayed": 0, "next_sequence": "0"}
        deleted = await partner.post(f"{path}:delete")
        assert deleted["endpoint"]["state"] == "WEBHOOK_ENDPOINT_STATE_DELETED"
        assert (await partner.send("GET", path)).refusal == (404, "WEBHOOK_ENDPOINT_NOT_FOUND")


async def _walk_through_the_closes(
    operator: Partner, partner: Partner, tenant_id: str, running_stack: ReadyStack
) -> None:
    day = date(2026, 3, 2)
    id = TenantId.parse(tenant_id)
    made = close_day(id, day, TrialBalance.empty(), closed_at=datetime(2026, 3, 3, tzinfo=UTC))
    owner = await asyncpg.connect(running_stack.database_url)
    try:
        await owner.execute(
            "INSERT INTO core.daily_closes VALUES ($1, $2, $3, $4, $5)",
            id.uuid,
            day,
            made.content,
            made.digest,
            made.closed_at,
        )
    finally:
        await owner.close()

    for own in (partner, operator):
        path = f"/v1{'' if own is partner else f'/tenants/{tenant_id}'}/ledger/dailyCloses"
        close = (await own.get(f"{path}/2026-03-02"))["close"]
        assert b64decode(close["content"]) == made.content
        assert b64decode(close["digest"]) == made.digest
        assert (await own.get(path))["closes"] == [close]


async def test_a_statement_of_any_length_is_one_array(
    operator: Partner, running_stack: ReadyStack
) -> None:
    """It is longer than any other answer may be."""
    tenant_id, partner = await a_partner(operator)
    opened = [
        (await operator.post("/v1/ledger/accounts", {"tenant_id": tenant_id, **account}))["account"]
        for account in (
            {"kind": "ACCOUNT_KIND_TREASURY", "asset": "NGN"},
            {"kind": "ACCOUNT_KIND_EXTERNAL", "owner": "bank", "asset": "NGN"},
        )
    ]
    treasury, external = (one["id"] for one in opened)
    entries = [
        ledger_pb.NewEntry(
            entry_id=str(IDS.new(EntryId)),
            transfers=[
                ledger_pb2.Transfer(
                    id=str(IDS.new(TransferId)),
                    debit_account_id=external,
                    credit_account_id=treasury,
                    amount=amount("1.00", "NGN"),
                )
            ],
            description="x" * 200,
        )
        for _ in range(8_000)
    ]
    async with grpc.aio.insecure_channel(running_stack.grpc_target) as channel:
        stub: Any = ledger_grpc.LedgerAdminServiceStub(channel)
        await stub.CreateEntries(
            ledger_pb.CreateEntriesRequest(tenant_id=tenant_id, entries=entries),
            metadata=[("authorization", f"Bearer {operator.key}")],
            timeout=30,
        )
    path = f"/v1/ledger/accounts/{treasury}"
    now = (await partner.get(f"{path}/balance"))["record_time"]

    answer = await partner.send("GET", f"{path}/statement?{_a_week_around(now)}")
    refused = await partner.send("GET", f"{path}/statement")
    missing = await partner.send(
        "GET", f"/v1/ledger/accounts/{IDS.new(AccountId)}/statement?{_a_week_around(now)}"
    )

    parts = [one["part"] for one in answer.body]
    lines = [line for part in parts[1:-1] for line in part["lines"]["lines"]]
    assert len(answer.text) > 4 << 20
    assert [line["balance"]["value"] for line in lines] == [f"{n}.00" for n in range(1, 8_001)]
    assert parts[-1]["closing"]["balance"] == an_amount("8000.00", "NGN")
    assert refused.refusal == (400, "INVALID_ARGUMENT")
    assert missing.refusal == (404, "ACCOUNT_NOT_FOUND")


async def test_prices_are_server_sent_events_and_their_end_is_one(
    operator: Partner, running_stack: ReadyStack
) -> None:
    tenant_id, partner = await a_partner(operator)
    key = await operator.post(f"/v1/tenants/{tenant_id}/apiKeys", {"name": "prices"})
    listener = Partner(partner.session, key["secret"])
    price = "side=SIDE_BUY&base_asset=USDT&quote_asset=ZAR&base_amount.value=7&base_amount.asset="
    path = "/v1/indicativeQuotes:stream?" + price

    async with asyncio.timeout(20), listener.listen(f"{path}USDT") as events:
        first = (await events.next())["quote"]
        async with a_rate(running_stack, "USDT-ZAR", "17.00"):
            second = (await events.next())["quote"]
        third = (await events.next())["quote"]
        heartbeat = (await events.next())["heartbeat"]
        await operator.post(f"/v1/tenants/{tenant_id}/apiKeys/{key['api_key']['id']}:revoke")
        began = time.monotonic()
        end = (await events.next())["end"]
        assert time.monotonic() - began < 2
        assert await events.next() is None

    totals = [one["quote_amount"]["value"] for one in (first, second, third)]
    assert totals == ["126.52", "119.48", "126.52"]
    assert first["is_indicative"] is True
    assert RFC_3339.fullmatch(heartbeat["look_time"])
    assert end["code"] == grpc.StatusCode.UNAUTHENTICATED.value[0]
    assert end["details"][0]["reason"] == "API_KEY_REVOKED"
    assert (await partner.send("GET", f"{path}ZAR")).refusal == (400, "INVALID_ARGUMENT")
    assert (await partner.send("GET", f"{path}XYZ")).refusal == (400, "UNKNOWN_ASSET")
    assert (await listener.send("GET", f"{path}USDT")).refusal == (401, "API_KEY_REVOKED")


@asynccontextmanager
async def a_rate(stack: ReadyStack, instrument: str, price: str) -> AsyncIterator[None]:
    """Have both venues give another price for a while."""
    async with aiohttp.ClientSession() as session:

        async def move(to: str) -> None:
            for url in stack.venue_books.values():
                body = {"instrument": instrument, "price": to}
                async with session.put(f"{url}/v1/rates", json=body) as response:
                    assert response.status == 200, await response.text()

        await move(price)
        try:
            yield
        finally:
            await move(REFERENCE_RATES[instrument])


def _a_week_around(instant: str) -> str:
    """Return the query of a period."""
    day = datetime.fromisoformat(instant).date()
    start, end = day - timedelta(days=3), day + timedelta(days=4)
    return f"start_time={start}T00:00:00Z&end_time={end}T00:00:00Z"


async def test_names_are_snake_case_and_times_are_rfc_3339(funded: Funded) -> None:
    partner = funded.partner
    quote = (await partner.post("/v1/quotes", a_quote(funded.customer_id)))["quote"]
    accepted = await partner.post(f"/v1/quotes/{quote['id']}:accept", {"request_id": quote["id"]})
    bodies = [
        accepted,
        *[await partner.get(f"/v1/quotes/{quote['id']}"), await partner.get("/v1/trades")],
        *[await partner.get("/v1/ledger/accounts"), await partner.get("/v1/apiKeys")],
    ]
    times = 0

    for name, value in _members(bodies):
        assert SNAKE_CASE.fullmatch(name), name
        if name.endswith("_time") and value is not None:
            assert RFC_3339.fullmatch(value), (name, value)
            times += 1
        if name.endswith("amount") and value is not None:
            assert value.keys() == {"value", "asset"}
            assert isinstance(value["value"], str)

    assert times > 5


def _members(value: Any) -> Sequence[tuple[str, Any]]:
    """Return every member of every object inside of a JSON value."""
    if isinstance(value, list):
        return [member for item in value for member in _members(item)]
    if isinstance(value, dict):
        return [*value.items(), *(m for item in value.values() for m in _members(item))]
    return []


async def test_the_idempotency_key_header_makes_a_call_the_same_call(funded: Funded) -> None:
    body = {"amount": an_amount("1.00", "NGN")}
    path, key = "/v1/sandbox/deposits", new_request_id()

    first = await funded.partner.send("POST", path, body, idempotency_key=key)
    again = await funded.partner.send("POST", path, body, idempotency_key=key)
    both = await funded.partner.send("POST", path, body | {"request_id": key}, idempotency_key=key)
    neither = await funded.partner.send("POST", path, body)
    differing = await funded.partner.send(
        "POST", path, body | {"request_id": "other"}, idempotency_key=key
    )
    reused = await funded.partner.send(
        "POST", path, {"amount": an_amount("2.00", "NGN")}, idempotency_key=key
    )

    assert first.status == 200
    assert first.body == again.body == both.body
    assert neither.refusal == (400, "REQUEST_ID_REQUIRED")
    assert differing.refusal == (400, "REQUEST_ID_MISMATCH")
    assert reused.refusal == (409, "REQUEST_ID_REUSED")


@pytest.mark.parametrize("key", ["é", "x" * 65, "a\tb"])
async def test_an_idempotency_key_that_is_none_is_refused(funded: Funded, key: str) -> None:
    answer = await funded.partner.send(
        "POST",
        "/v1/sandbox/deposits",
        {"amount": an_amount("1.00", "NGN")},
        idempotency_key=key,
    )

    assert answer.status == 400
    assert answer.reason in ("REQUEST_ID_INVALID", "MALFORMED_REQUEST")


async def test_every_kind_of_refusal_has_its_status(funded: Funded) -> None:
    partner, deposits = funded.partner, "/v1/sandbox/deposits"
    nobody = Partner(partner.session, "")
    made = await partner.post("/v1/customers", {"external_id": new_request_id()})
    poor = made["customer"]["id"]
    unaffordable = (await partner.post("/v1/quotes", a_quote(poor)))["quote"]["id"]
    await partner.post("/v1/customers", {"external_id": "taken"})

    answers = {
        "API_KEY_MISSING": (401, await nobody.send("GET", "/v1/customers")),
        "API_KEY_UNKNOWN": (401, await Partner(partner.session, "x").send("GET", "/v1/trades")),
        "OPERATOR_ONLY": (403, await partner.send("GET", "/v1/tenants")),
        "INVALID_ID": (400, await partner.send("GET", "/v1/quotes/quote_1")),
        "CUSTOMER_NOT_FOUND": (
            404,
            await partner.send("GET", f"/v1/customers/{IDS.new(CustomerId)}"),
        ),
        "QUOTE_NOT_FOUND": (
            404,
            await partner.send(
                "POST", f"/v1/quotes/{IDS.new(QuoteId)}:accept", {"request_id": "x"}
            ),
        ),
        "CUSTOMER_EXISTS": (
            409,
            await partner.send("POST", "/v1/customers", {"external_id": "taken"}),
        ),
        "INSUFFICIENT_FUNDS": (
            400,
            await partner.send(
                "POST", f"/v1/quotes/{unaffordable}:accept", {"request_id": "unaffordable"}
            ),
        ),
        "TOO_MANY_DIGITS": (
            400,
            await partner.send(
                "POST", deposits, {"amount": an_amount("0.001", "NGN"), "request_id": "x"}
            ),
        ),
        "AMOUNT_TOO_LARGE": (
            400,
            await partner.send(
                "POST", deposits, {"amount": an_amount("1" + "0" * 30, "NGN"), "request_id": "x"}
            ),
        ),
        "NO_LIQUIDITY": (
            503,
            await partner.send("POST", "/v1/quotes", a_quote(poor, REFUSED_EVERYWHERE)),
        ),
    }

    for reason, (status, answer) in answers.items():
        assert answer.refusal == (status, reason)
    details = answers["NO_LIQUIDITY"][1].body["details"]
    assert details[1:] == [{"@type": RETRY_INFO, "retry_delay": "0.500s"}]
    assert all(len(answer.body["details"]) == 1 for _, answer in list(answers.values())[:-1])


BRACES: Final = '{"branding": ' + '{"a": ' * 200 + "1" + "}" * 200 + "}"


@pytest.mark.parametrize(
    ("method", "path", "raw", "status", "reason"),
    [
        ("POST", "/v1/quotes", "{bad", 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/quotes", '{"base_amount": 5}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/quotes", '{"base_amount": "0.01 BTC"}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/quotes", '{"base_amount": {"value": {}}}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/quotes", '{"base_amount": []}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/quotes", '{"side": "SIDEWAYS"}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/quotes", '{"side": "side_buy"}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/quotes", '{"ttl": 5}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/quotes", '{"ttl": "5"}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/customers", '{"external_id": ["a"]}', 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/customers", "[]", 400, "MALFORMED_REQUEST"),
        ("PATCH", "/v1/tenants/current", BRACES, 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/customers", "[" * 10_000, 400, "MALFORMED_REQUEST"),
        ("POST", "/v1/customers", '{"external_id": "' + "x" * 70_000 + '"}', 413, "BODY_TOO_LARGE"),
        ("GET", "/v1/customers?page_size=x", None, 400, "MALFORMED_REQUEST"),
        ("GET", "/v1/nope", None, 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/quotes/quote_1:nope", None, 404, "ROUTE_NOT_FOUND"),
        ("DELETE", "/v1/customers", None, 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/v1/tenants/current", "{}", 405, "METHOD_NOT_ALLOWED"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_the_front_door_refuses_has_the_same_envelope(
    funded: Funded, method: str, path: str, raw: str | None, status: int, reason: str
) -> None:
    answer = await funded.partner.send(method, path, raw=raw, content_type="application/json")

    assert answer.refusal == (status, reason)
    assert answer.metadata == {"retry": "never"}


async def test_a_body_must_be_json_and_needs_not_say_so(funded: Funded) -> None:
    body = json.dumps({"external_id": new_request_id()})
    send = funded.partner.send

    plain = await send("POST", "/v1/customers", raw=body, content_type="text/plain")
    silent = await send("POST", "/v1/customers", raw=body.encode())

    assert plain.refusal == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert silent.status == 200


@pytest.mark.parametrize(
    ("field", "value", "reason", "named"),
    [
        ("side", 7, "INVALID_ARGUMENT", "side"),
        ("side", None, "INVALID_ARGUMENT", "side"),
        ("ttl", "0.5s", "INVALID_ARGUMENT", "ttl"),
        ("ttl", "-1s", "INVALID_ARGUMENT", "ttl"),
        ("base_amount", an_amount("1e2", "BTC"), "MALFORMED_AMOUNT", "base_amount.value"),
        ("base_amount", an_amount("1\0", "BTC"), "MALFORMED_AMOUNT", "base_amount.value"),
        ("base_amount", {"value": "1"}, "UNKNOWN_ASSET", "base_amount.asset"),
        ("customer_id", "\0", "INVALID_ID", "customer_id"),
        ("customer_id", "😀", "INVALID_ID", "customer_id"),
        ("request_id", "é", "REQUEST_ID_INVALID", "request_id"),
    ],
)
async def test_what_only_we_can_refuse_names_the_field(
    funded: Funded, field: str, value: Any, reason: str, named: str
) -> None:
    body = a_quote(funded.customer_id) | {field: value}

    answer = await funded.partner.send("POST", "/v1/quotes", body)

    assert answer.refusal == (400, reason)
    assert answer.metadata["field"] == named


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner]])
async def test_branding_comes_back_as_it_went_or_is_refused(
    funded: Funded, wrap: Callable[[Any], Any]
) -> None:
    """A tenant whose branding no answer can carry would be lost, and every list it is in."""
    inner: Any = "x"
    deepest = 0
    for depth in range(1, 100):
        branding = {"a": inner}
        answer = await funded.partner.send("PATCH", "/v1/tenants/current", {"branding": branding})
        if answer.status == 200:
            deepest = depth
            assert answer.body["tenant"]["branding"] == branding
        else:
            assert answer.status == 400
            assert answer.reason in ("INVALID_ARGUMENT", "MALFORMED_REQUEST")
        inner = wrap(inner)

    assert deepest == 16
    assert (await funded.partner.get("/v1/tenants/current"))["tenant"]["id"] == funded.tenant_id


@pytest.mark.parametrize("size", [1_000, 7_000, 9_000, 14_000, 40_000])
async def test_a_large_header_is_carried_or_refused(funded: Funded, size: int) -> None:
    answer = await funded.partner.send("GET", "/v1/tenants/current", x_trace="x" * size)

    assert answer.status in (200, 431)
    if answer.status == 431:
        assert answer.reason == "HEADERS_TOO_LARGE"


async def test_nobody_outside_can_say_who_they_are_but_by_their_key(
    funded: Funded, operator: Partner
) -> None:
    other_id, _ = await a_partner(operator)
    answer = await funded.partner.send(
        "GET",
        "/v1/tenants/current",
        x_tenant_id=other_id,
        x_reli_tenant_id=other_id,
        x_reli_caller="operator",
        x_reli_scopes="operator",
    )

    assert answer.body["tenant"]["id"] == funded.tenant_id
    claims = {"x_tenant_id": other_id, "x_reli_scopes": "operator"}
    listed = await funded.partner.send("GET", "/v1/tenants", **claims)
    assert listed.refusal == (403, "OPERATOR_ONLY")


async def test_a_list_is_read_page_by_page(operator: Partner) -> None:
    _, partner = await a_partner(operator)
    for number in range(5):
        await partner.post("/v1/customers", {"external_id": str(number)})
    sizes: list[int] = []
    found: list[str] = []
    token = ""
    while not sizes or token:
        page = await partner.get(f"/v1/customers?page_size=2&page_token={token}")
        found += [one["external_id"] for one in page["customers"]]
        sizes.append(len(page["customers"]))
        token = page["next_page_token"]

    assert sizes == [2, 2, 1]
    assert found == ["4", "3", "2", "1", "0"]
    first = await partner.get("/v1/customers?page_size=1")
    forged = await partner.send("GET", f"/v1/quotes?page_token={first['next_page_token']}")
    assert forged.refusal == (400, "INVALID_PAGE_TOKEN")


@pytest.mark.parametrize(("method", "template"), OPERATOR_PATHS)
async def test_an_operators_path_is_closed_to_a_tenants_key(
    funded: Funded, method: str, template: str
) -> None:
    assert (method, template) in ROUTES
    path = re.sub(r"\{\w+\}", "x", template)

    answer = await funded.partner.send(method, path, None if method == "GET" else {})

    assert answer.refusal == (403, "OPERATOR_ONLY")


def test_every_operators_path_is_tried() -> None:
    operators = {rpc.path for rpc in RPCS.values() if rpc.is_for_operators and rpc.has_route}

    assert len(OPERATOR_PATHS) == len(operators)


async def test_our_own_tools_see_health_and_services(running_stack: ReadyStack) -> None:
    async with grpc.aio.insecure_channel(running_stack.grpc_target) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        checked = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        call = reflection.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
        )
        listed = [answer async for answer in call]

    assert checked.status == health_pb2.HealthCheckResponse.SERVING
    [answer] = listed
    names = {service.name for service in answer.list_services_response.service}
    assert {rpc.path.split("/")[1] for rpc in RPCS.values()} <= names
    assert "grpc.health.v1.Health" in names


@pytest.mark.parametrize(
    "path",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/reli.quote.v1.Nope/CreateQuote",
    ],
)
async def test_what_is_not_listed_does_not_exist_for_partners(
    running_stack: ReadyStack, funded: Funded, path: str
) -> None:
    target = running_stack.rest_url.removeprefix("http://")
    metadata = (("authorization", f"Bearer {funded.partner.key}"),)

    async with grpc.aio.insecure_channel(target) as channel:
        unary: Any = channel.unary_unary
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(path)(b"", metadata=metadata, timeout=5)
        refusal = refusal_of(caught.value)
        current = await RPCS["TenantService/GetCurrentTenant"].call(
            channel, tenant_pb.GetCurrentTenantRequest(), metadata
        )

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "ROUTE_NOT_FOUND")
    assert current.tenant.id == funded.tenant_id, "a listed one works on the same port"


async def test_events_of_a_tenant_arrive_on_its_subject(
    running_stack: ReadyStack, operator: Partner
) -> None:
    tenant_id, partner = await a_partner(operator)
    made = await partner.post("/v1/customers", {"external_id": "ada"})
    customer_id = made["customer"]["id"]
    amount = an_amount("5000000.00", "NGN")
    await partner.post(
        "/v1/sandbox/deposits",
        {"customer_id": customer_id, "amount": amount, "request_id": "fund"},
    )
    quote = (await partner.post("/v1/quotes", a_quote(customer_id)))["quote"]
    accepted = await partner.post(f"/v1/quotes/{quote['id']}:accept", {"request_id": "a"})

    events = await _events_until(running_stack.nats_url, tenant_id, "trade.settled")

    assert {event.tenant_id for event in events} == {tenant_id}
    assert len({event.id for event in events}) == len(events)
    by_type = {event.type: event for event in events}
    assert by_type.keys() >= {
        *("tenant.created", "api_key.created", "customer.created", "deposit.created"),
        *("quote.created", "trade.accepted", "trade.settled"),
    }
    settled = by_type["trade.settled"]
    assert settled.subject == settled.trade.id == accepted["trade"]["id"]
    assert settled.trade.quote_amount.value == quote["quote_amount"]["value"]
    assert settled.correlation_id == by_type["trade.accepted"].correlation_id != ""


async def _events_until(nats_url: str, tenant_id: str, last: str) -> list[event_pb2.Event]:
    client = await nats.connect(nats_url, connect_timeout=5)
    try:
        subscription = await client.jetstream().subscribe(
            f"reli.events.{tenant_id}.>",
            stream="RELI_EVENTS",
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL),
        )
        events: list[event_pb2.Event] = []
        async with asyncio.timeout(10):
            while not events or events[-1].type != last:
                message = await subscription.next_msg(timeout=10)
                event = event_pb2.Event.FromString(message.data)
                assert message.subject == f"reli.events.{tenant_id}.{event.type}"
                events.append(event)
        return events
    finally:
        await client.close()
