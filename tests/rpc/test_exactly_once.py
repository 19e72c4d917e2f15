"""Calls that meet each other, come twice or come too late: every effect happens once or not at all.

Where a call hears that it should send the same request again, it does, as a partner would.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, TypeVar

import grpc
import pytest

from domain.amount import Amount
from domain.ids import CustomerId, QuoteId, TradeId
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.quote.v1 import quote_pb2
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.sandbox.v1 import sandbox_service_pb2 as sandbox_pb
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.trade.v1 import trade_pb2
from tests.support.audit import assert_books_balance, rows_of, tenant_tables, uuid_of
from tests.support.builders import NGN
from tests.support.locks import until_waiting
from tests.support.platform import (
    Client,
    Platform,
    Refusal,
    amount,
    new_request_id,
    refusal_of,
)

T = TypeVar("T")

BUSY: Final = frozenset({"DATABASE_BUSY", "REQUEST_IN_PROGRESS", "VERSION_CONFLICT"})
"""Refusals that decide nothing: the same request is sent again."""


async def test_of_two_accepts_of_one_quote_one_trades_a_hundred_times(platform: Platform) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = await platform.a_funded_customer(client, "1000000000.00")

    async def race() -> None:
        quote = await _quote(client, customer_id, "0.01")

        results = await asyncio.gather(_accept(client, quote.id), _accept(client, quote.id))

        (trade,) = [each for each in results if isinstance(each, trade_pb2.Trade)]
        (refusal,) = [each for each in results if isinstance(each, Refusal)]
        assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.reason == "QUOTE_ALREADY_ACCEPTED"
        assert refusal.metadata["trade_id"] == trade.id
        assert trade.quote_id == quote.id

    for _ in range(10):
        await asyncio.gather(*(race() for _ in range(10)))

    trades = await platform.owner.fetch(
        "SELECT quote_id, state FROM core.trades WHERE tenant_id = $1", uuid_of(tenant_id)
    )
    assert len(trades) == 100
    assert {trade["state"] for trade in trades} == {"settled"}
    await assert_books_balance(platform.owner, tenant_id)


async def test_funds_for_ten_of_fifty_quotes_make_exactly_ten_trades(platform: Platform) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = (await client.create_customer()).id
    quotes = await _in_batches([lambda: _quote(client, customer_id, "0.01") for _ in range(50)])
    (price,) = {quote.quote_amount.value for quote in quotes}
    # A unit short of eleven: whoever forgets a hold, or a unit of it, makes one trade too many.
    price_units = Amount.parse(price, NGN).units
    funds = Amount(NGN, 11 * price_units - 1)
    await client.deposit(customer_id, funds.value, "NGN")

    results = await asyncio.gather(*(_accept(client, quote.id) for quote in quotes))

    refusals = [each for each in results if isinstance(each, Refusal)]
    assert Counter(refusal.reason for refusal in refusals) == {"INSUFFICIENT_FUNDS": 40}
    states = [await _state_of(client, quote.id) for quote in quotes]
    for result, state in zip(results, states, strict=True):
        refused = isinstance(result, Refusal)
        assert state == (quote_pb2.QUOTE_STATE_OPEN if refused else quote_pb2.QUOTE_STATE_ACCEPTED)
    await platform.container.runner().drain()
    assert await client.balance(customer_id, "BTC") == ("0.10000000", "0.00000000")
    left = Amount(NGN, price_units - 1)
    assert await client.balance(customer_id, "NGN") == (left.value, "0.00")
    await assert_books_balance(platform.owner, tenant_id)


async def test_fifty_accepts_with_one_request_id_are_one_accept(platform: Platform) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = await platform.a_funded_customer(client)
    quote = await _quote(client, customer_id, "0.01")
    request_id = new_request_id()

    results = await asyncio.gather(
        *(_outcome(client.accept(quote.id, request_id)) for _ in range(50))
    )

    trades = [each for each in results if isinstance(each, trade_pb2.Trade)]
    for refusal in (each for each in results if isinstance(each, Refusal)):
        assert refusal.code is grpc.StatusCode.ABORTED, refusal
        assert refusal.reason in BUSY
        assert refusal.retry == "same_request"
    assert len({trade.id for trade in trades}) == 1
    assert (await client.accept(quote.id, request_id)).id == trades[0].id
    assert await client.balance(customer_id, "BTC") == ("0.01000000", "0.00000000")
    assert await _count(platform, "trades", tenant_id) == 1
    assert await _count(platform, "trade_queue", tenant_id) == 0
    await assert_books_balance(platform.owner, tenant_id)


async def test_a_quote_whose_row_is_locked_past_its_time_is_refused(platform: Platform) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = await platform.a_funded_customer(client)
    quote = await _quote(client, customer_id, "0.01", ttl_s=1)
    expires_at = quote.expire_time.ToDatetime(UTC)

    async with platform.owner.acquire() as other, other.transaction():
        await other.execute(
            "SELECT 1 FROM core.quotes WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
            uuid_of(tenant_id),
            QuoteId.parse(quote.id).uuid,
        )
        await _sleep_until(expires_at - timedelta(milliseconds=400))
        accepting = asyncio.create_task(_outcome(client.accept(quote.id)))
        await _sleep_until(expires_at + timedelta(milliseconds=50))
        assert not accepting.done(), "it waits for the lock, since before the quote's end"
    refusal = await accepting

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "QUOTE_EXPIRED",
    )
    assert await _count(platform, "trades", tenant_id) == 0
    assert await client.balance(customer_id, "NGN") == ("100000000.00", "0.00")


@pytest.mark.parametrize("first_is", ["accepted", "refused"])
async def test_a_request_id_with_another_body_is_refused_and_changes_nothing(
    platform: Platform, first_is: str
) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = (await client.create_customer()).id
    if first_is == "accepted":
        await client.deposit(customer_id, "100000000.00", "NGN")
    first, second = [await _quote(client, customer_id, "0.01") for _ in range(2)]
    request_id = new_request_id()
    result = await _outcome(client.accept(first.id, request_id))
    assert isinstance(result, Refusal) == (first_is == "refused")
    before = await rows_of(platform.owner, tenant_id)

    other = await _outcome(client.accept(second.id, request_id))

    assert isinstance(other, Refusal)
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await rows_of(platform.owner, tenant_id) == before


async def test_the_same_request_id_means_another_request_in_another_method(
    platform: Platform,
) -> None:
    _, client = await _a_tenant_of_alpha(platform)
    request_id = new_request_id()
    customer = await client.customers.CreateCustomer(
        tenant_pb.CreateCustomerRequest(external_id=request_id, request_id=request_id)
    )

    made = await client.sandbox.CreateDeposit(_deposit(customer.customer.id, request_id))
    again = await client.sandbox.CreateDeposit(_deposit(customer.customer.id, request_id))

    assert made == again
    assert await client.balance(customer.customer.id, "NGN") == ("1.00", "0.00")


async def test_a_refused_request_replays_its_refusal_and_a_new_one_has_its_own_fate(
    platform: Platform,
) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = (await client.create_customer()).id
    quote = await _quote(client, customer_id, "0.01")
    request_id = new_request_id()
    refused = await _outcome(client.accept(quote.id, request_id))
    assert isinstance(refused, Refusal)
    assert refused.reason == "INSUFFICIENT_FUNDS"
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert await _state_of(client, quote.id) == quote_pb2.QUOTE_STATE_OPEN
    await client.deposit(customer_id, "100000000.00", "NGN")
    before = await rows_of(platform.owner, tenant_id)

    assert await _outcome(client.accept(quote.id, request_id)) == refused
    assert await rows_of(platform.owner, tenant_id) == before

    trade = await client.accept(quote.id)
    assert trade.state == trade_pb2.TRADE_STATE_SETTLED
    assert await _outcome(client.accept(quote.id, request_id)) == refused


async def test_a_refusal_leaves_no_row_but_its_request_and_its_audit_record(
    platform: Platform,
) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = await platform.a_funded_customer(client, "1.00")
    quote = await _quote(client, customer_id, "0.01")
    before = await rows_of(platform.owner, tenant_id)

    refused = await _outcome(client.accept(quote.id))

    assert isinstance(refused, Refusal)
    after = await rows_of(platform.owner, tenant_id)
    changed = {table for table in after if after[table] != before[table]}
    assert changed == {"requests", "audit_records"}


async def test_the_header_and_the_field_are_one_request_id(platform: Platform) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = await platform.a_funded_customer(client)
    quote = await _quote(client, customer_id, "0.01")
    request_id = new_request_id()
    header = (("idempotency-key", request_id),)

    def accept(field: str, metadata: Sequence[tuple[str, str]]) -> Awaitable[Any]:
        request = quote_pb.AcceptQuoteRequest(quote_id=quote.id, request_id=field)
        return _outcome(client.quotes.AcceptQuote(request, metadata=metadata))

    missing = await accept("", ())
    differing = await accept(new_request_id(), header)
    assert isinstance(missing, Refusal) and isinstance(differing, Refusal)
    assert (missing.code, missing.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_ID_REQUIRED",
    )
    assert (differing.code, differing.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_ID_MISMATCH",
    )
    assert await _count(platform, "trades", tenant_id) == 0

    by_header, by_field, by_both = [
        await accept(field, metadata)
        for field, metadata in (("", header), (request_id, ()), (request_id, header))
    ]
    assert by_header.trade.id == by_field.trade.id == by_both.trade.id
    assert await _count(platform, "trades", tenant_id) == 1


async def test_a_replayed_new_key_comes_without_its_secret(platform: Platform) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    request = tenant_pb.CreateApiKeyRequest(
        name="key", scopes=["SCOPE_READ"], request_id=new_request_id()
    )

    first, again = [await client.api_keys.CreateApiKey(request) for _ in range(2)]

    assert first.secret
    assert again.secret == ""
    assert again.api_key == first.api_key
    for table in await tenant_tables(platform.owner):
        rows = await platform.owner.fetch(
            f"SELECT * FROM core.{table} WHERE tenant_id = $1", uuid_of(tenant_id)
        )
        assert first.secret not in str(rows)
        assert first.secret[len("reli_") :] not in str(rows)


async def test_of_five_customers_with_one_name_one_is_made(platform: Platform) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)

    results = await asyncio.gather(
        *(_patiently(lambda _: client.create_customer("ada")) for _ in range(5))
    )

    assert sum(isinstance(each, tenant_pb2.Customer) for each in results) == 1
    refusals = [each for each in results if isinstance(each, Refusal)]
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {
        (grpc.StatusCode.ALREADY_EXISTS, "CUSTOMER_EXISTS")
    }
    assert await _count(platform, "customers", tenant_id) == 1


async def test_a_customer_that_is_closed_while_accepting_is_never_closed_with_a_hold(
    platform: Platform,
) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    outcomes: Counter[str] = Counter()

    async def race() -> None:
        customer_id = (await client.create_customer()).id
        quote = await _quote(client, customer_id, "0.01")
        await client.deposit(customer_id, quote.quote_amount.value, "NGN")

        accepted, closed = await asyncio.gather(
            _accept(client, quote.id), _close(client, customer_id)
        )

        assert isinstance(accepted, trade_pb2.Trade)
        outcomes[_reason(closed)] += 1

    for _ in range(4):
        await asyncio.gather(*(race() for _ in range(5)))

    assert outcomes == {"BALANCE_NOT_ZERO": 20}
    await _assert_no_closed_customer_has_money(platform, tenant_id)


@pytest.mark.parametrize("has_account", [False, True])
async def test_a_customer_that_is_closed_while_money_arrives_is_never_closed_with_it(
    platform: Platform, has_account: bool
) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    outcomes: Counter[str] = Counter()

    async def race(close_waits_ms: int) -> None:
        customer_id = (await client.create_customer()).id
        if has_account:
            await _open_account(platform, tenant_id, customer_id)

        async def close() -> Any:
            await asyncio.sleep(close_waits_ms / 1000)
            return await _close(client, customer_id)

        deposited, closed = await asyncio.gather(_fund(client, customer_id), close())

        outcomes[f"{_reason(deposited)} {_reason(closed)}"] += 1

    await asyncio.gather(*(race(ms) for ms in range(0, 60, 2)))

    assert set(outcomes) <= {"CUSTOMER_CLOSED ", " BALANCE_NOT_ZERO"}
    await _assert_no_closed_customer_has_money(platform, tenant_id)


@pytest.mark.parametrize(
    ("first", "stops_at", "has_account", "outcome"),
    [
        # At its event whoever comes first has done all else, and nothing of it can be seen yet.
        ("close", "outbox", False, ("", "CUSTOMER_CLOSED")),
        ("close", "outbox", True, ("", "CUSTOMER_CLOSED")),
        ("deposit", "outbox", False, ("BALANCE_NOT_ZERO", "")),
        ("deposit", "outbox", True, ("BALANCE_NOT_ZERO", "")),
        # At its entry the deposit has locked the accounts, and nothing else.
        ("deposit", "entries", True, ("BALANCE_NOT_ZERO", "")),
    ],
)
async def test_closing_a_customer_and_a_deposit_wait_for_each_other(
    platform: Platform,
    first: str,
    stops_at: str,
    has_account: bool,
    outcome: tuple[str, str],
) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = (await client.create_customer()).id
    if has_account:
        await _open_account(platform, tenant_id, customer_id)
    close = client.customers.CloseCustomer
    deposit = client.sandbox.CreateDeposit
    calls = {
        "close": lambda: close(tenant_pb.CloseCustomerRequest(customer_id=customer_id)),
        "deposit": lambda: deposit(_deposit(customer_id, new_request_id())),
    }
    order = [first, *(calls.keys() - {first})]

    running = {}
    async with platform.owner.acquire() as other, other.transaction():
        await other.execute(f"LOCK TABLE core.{stops_at} IN SHARE MODE")
        for waiting, name in enumerate(order, start=1):
            running[name] = asyncio.create_task(_outcome(calls[name]()))
            await until_waiting(platform.owner, "test serve", backends=waiting)
    closed, deposited = await running["close"], await running["deposit"]

    assert (_reason(closed), _reason(deposited)) == outcome


async def test_a_revoked_key_stops_working_within_a_second(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    doomed = await platform.a_client(tenant_id)
    await doomed.create_customer()
    (newest,) = (
        await client.api_keys.ListApiKeys(tenant_pb.ListApiKeysRequest(page_size=1))
    ).api_keys
    assert doomed.secret.startswith(newest.hint)

    await client.api_keys.RevokeApiKey(tenant_pb.RevokeApiKeyRequest(api_key_id=newest.id))
    revoked_at = monotonic()
    refusal = await _first_refusal(doomed.create_customer)

    assert monotonic() - revoked_at < 1
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "API_KEY_REVOKED",
    )
    for _ in range(20):
        assert (await _first_refusal(doomed.create_customer, at_once=True)) == refusal
    await client.create_customer()


async def test_a_suspended_tenant_cannot_trade_and_its_live_trade_finishes(
    platform: Platform,
) -> None:
    tenant_id, client = await _a_tenant_of_alpha(platform)
    customer_id = await platform.a_funded_customer(client)
    live, waiting = [await _quote(client, customer_id, "0.01") for _ in range(2)]
    await platform.alpha.behave("slow", 1)
    trade = await client.accept(live.id)
    assert trade.state == trade_pb2.TRADE_STATE_PENDING
    await platform.operator.tenant_admin.SuspendTenant(
        tenant_pb.SuspendTenantRequest(tenant_id=tenant_id)
    )

    # At once, although the key is still remembered as good, and later, when it is not.
    for _ in range(2):
        for attempt in (client.accept(waiting.id), client.quote(customer_id, "0.01")):
            refusal = await _outcome(attempt)
            assert isinstance(refusal, Refusal)
            assert (refusal.code, refusal.reason) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "TENANT_SUSPENDED",
            )
        await platform.container.runner().drain()

    assert await platform.owner.fetch(
        "SELECT id, state FROM core.trades WHERE tenant_id = $1", uuid_of(tenant_id)
    ) == [(TradeId.parse(trade.id).uuid, "settled")]
    await assert_books_balance(platform.owner, tenant_id)


async def _a_tenant_of_alpha(platform: Platform) -> tuple[str, Client]:
    """A tenant with one LP, so that equal quotes have equal prices."""
    tenant_id, client = await platform.a_tenant()
    await platform.operator.tenant_admin.UpdateTenantTerms(
        tenant_pb.UpdateTenantTermsRequest(tenant_id=tenant_id, lp_order=["alpha"])
    )
    return tenant_id, client


async def _quote(
    client: Client, customer_id: str, base_amount: str, *, ttl_s: int = 0
) -> quote_pb2.Quote:
    request = quote_pb.CreateQuoteRequest(
        customer_id=customer_id,
        side="SIDE_BUY",
        base_asset="BTC",
        quote_asset="NGN",
        base_amount=amount(base_amount, "BTC"),
    )
    if ttl_s:
        request.ttl.FromSeconds(ttl_s)
    made = await _patiently(lambda _: client.quotes.CreateQuote(request), {"NO_LIQUIDITY"})
    assert not isinstance(made, Refusal), made
    quote: quote_pb2.Quote = made.quote
    return quote


async def _accept(client: Client, quote_id: str) -> trade_pb2.Trade | Refusal:
    return await _patiently(lambda request_id: client.accept(quote_id, request_id))


async def _close(client: Client, customer_id: str) -> Any:
    return await _patiently(
        lambda request_id: client.customers.CloseCustomer(
            tenant_pb.CloseCustomerRequest(customer_id=customer_id, request_id=request_id)
        )
    )


async def _outcome(call: Awaitable[T]) -> T | Refusal:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)


async def _patiently(
    send: Callable[[str], Awaitable[T]], undecided: frozenset[str] | set[str] = BUSY
) -> T | Refusal:
    """Send a request again, under its one id, for as long as nothing was decided."""
    request_id = new_request_id()
    for _ in range(20):
        result = await _outcome(send(request_id))
        if not isinstance(result, Refusal) or result.reason not in {*undecided, *BUSY}:
            return result
    raise AssertionError("nothing was decided in twenty calls")


async def _first_refusal(call: Callable[[], Awaitable[Any]], *, at_once: bool = False) -> Refusal:
    for _ in range(1 if at_once else 10_000):
        result = await _outcome(call())
        if isinstance(result, Refusal):
            return result
    raise AssertionError("never refused")


async def _in_batches(
    calls: Sequence[Callable[[], Coroutine[Any, Any, T]]], size: int = 10
) -> list[T]:
    results: list[T] = []
    for start in range(0, len(calls), size):
        results += await asyncio.gather(*(call() for call in calls[start : start + size]))
    return results


async def _sleep_until(instant: datetime) -> None:
    await asyncio.sleep(max((instant - datetime.now(UTC)).total_seconds(), 0))


async def _state_of(client: Client, quote_id: str) -> Any:
    found = await client.quotes.GetQuote(quote_pb.GetQuoteRequest(quote_id=quote_id))
    return found.quote.state


async def _count(platform: Platform, table: str, tenant_id: str) -> int:
    found: int = await platform.owner.fetchval(
        f"SELECT count(*) FROM core.{table} WHERE tenant_id = $1", uuid_of(tenant_id)
    )
    return found


async def _open_account(platform: Platform, tenant_id: str, customer_id: str) -> None:
    await platform.operator.ledger_admin.OpenAccount(
        ledger_pb.OpenAccountRequest(
            tenant_id=tenant_id,
            kind=ledger_pb2.ACCOUNT_KIND_CUSTOMER,
            owner=customer_id,
            asset="NGN",
        )
    )


def _deposit(customer_id: str, request_id: str) -> sandbox_pb.CreateDepositRequest:
    return sandbox_pb.CreateDepositRequest(
        customer_id=customer_id, amount=amount("1.00", "NGN"), request_id=request_id
    )


async def _fund(client: Client, customer_id: str) -> Any:
    return await _patiently(lambda id: client.sandbox.CreateDeposit(_deposit(customer_id, id)))


def _reason(result: object) -> str:
    return result.reason if isinstance(result, Refusal) else ""


async def _assert_no_closed_customer_has_money(platform: Platform, tenant_id: str) -> None:
    await platform.container.runner().drain()
    owners = await platform.owner.fetch(
        """SELECT owner FROM core.accounts WHERE tenant_id = $1 AND kind = 'customer'
            AND (credits_posted <> debits_posted OR debits_pending > 0)""",
        uuid_of(tenant_id),
    )
    states = await platform.owner.fetch(
        "SELECT state FROM core.customers WHERE tenant_id = $1 AND id = ANY ($2)",
        uuid_of(tenant_id),
        [CustomerId.parse(row["owner"]).uuid for row in owners],
    )
    assert len(states) == len(owners)
    assert {row["state"] for row in states} <= {"active"}
