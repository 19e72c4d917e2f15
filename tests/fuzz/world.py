"""Two tenants over REST: one whose key the requests carry, and one that must notice nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import requests

from app.stack.stack import ReadyStack

FILLS: Final = "0.01"
STUCK: Final = "0.00007761"
"""At this amount the primary venue cuts the line."""

Known = Mapping[str, Sequence[str]]
"""Texts that fit a field, by the field's name."""


@dataclass(frozen=True)
class Tenant:
    """Attributes:
    known: what there is of it to name.
    """

    id: str
    key: str
    known: Known


class Rest:
    """Sends JSON as whoever the key belongs to, and wants success."""

    def __init__(self, stack: ReadyStack, key: str) -> None:
        self._url = stack.rest_url
        self._session = requests.Session()
        self._session.headers["authorization"] = f"Bearer {key}"

    def post(self, path: str, **body: Any) -> Any:
        return self.send("POST", path, body)

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def send(self, verb: str, path: str, body: Any = None) -> Any:
        # Whoever puts a key of his own into the body has made the call safe to repeat himself.
        key = {} if body is None or "request_id" in body else {"idempotency-key": uuid4().hex}
        answer = self._session.request(verb, self._url + path, json=body, headers=key, timeout=10)
        assert answer.ok, answer.text
        return answer.json()


def a_tenant(stack: ReadyStack, *, is_still: bool = False) -> Tenant:
    """Make a tenant with one of everything that a partner can make.

    Of one that is still, nothing goes on when this returns but what workers do once.
    """
    operator = Rest(stack, stack.operator_key)
    slug = f"fuzz-{uuid4().hex[:12]}"
    tenant_id = operator.post("/v1/tenants", slug=slug, display_name="Fuzz")["tenant"]["id"]
    keys = f"/v1/tenants/{tenant_id}/apiKeys"
    key = operator.post(keys, name="fuzz")["secret"]
    rest = Rest(stack, key)
    spare = rest.post("/v1/apiKeys", name="spare", scopes=["SCOPE_READ"])["api_key"]["id"]
    customers = [
        rest.post("/v1/customers", external_id=f"{slug}-{number}")["customer"]["id"]
        for number in range(3)
    ]
    amount = {"value": "900000000.00", "asset": "NGN"}
    for customer in [*customers, ""]:
        rest.post("/v1/sandbox/deposits", customer_id=customer, amount=amount)
    trades = [
        _trade(rest, customers[0], value) for value in ([FILLS] if is_still else [FILLS, STUCK])
    ]
    quotes = [a_quote(rest, customers[0], FILLS) for _ in range(3)]
    accounts = rest.get("/v1/ledger/accounts")["accounts"]
    return Tenant(
        id=tenant_id,
        key=key,
        known={
            "customer_id": customers,
            "quote_id": [*quotes, trades[0]["quote_id"]],
            "trade_id": [trade["id"] for trade in trades],
            "account_id": [account["id"] for account in accounts],
            "entry_id": [trades[0]["settlement_entry_id"]],
            "api_key_id": [spare],
        },
    )


def _trade(rest: Rest, customer: str, value: str) -> Any:
    return rest.post(f"/v1/quotes/{a_quote(rest, customer, value)}:accept")["trade"]


def a_quote(rest: Rest, customer: str, value: str) -> str:
    quote = rest.post(
        "/v1/quotes",
        customer_id=customer,
        side="SIDE_BUY",
        base_asset="BTC",
        quote_asset="NGN",
        base_amount={"value": value, "asset": "BTC"},
    )
    return str(quote["quote"]["id"])
