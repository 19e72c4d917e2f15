"""An entry is taken back by another one, once, and both say so."""

import asyncio
from typing import Any

import grpc
import pytest

from reli.ledger.v1 import ledger_service_pb2 as pb
from reli.sandbox.v1 import sandbox_service_pb2 as sandbox_pb
from tests.support.audit import assert_books_balance
from tests.support.platform import Client, Platform, amount, new_request_id, refusal_of


async def a_deposit(client: Client, customer_id: str, value: str = "70.00") -> Any:
    made = await client.sandbox.CreateDeposit(
        sandbox_pb.CreateDepositRequest(
            customer_id=customer_id, amount=amount(value, "NGN"), request_id=new_request_id()
        )
    )
    return made.deposit


async def reverse(platform: Platform, tenant_id: str, entry_id: str, request_id: str = "") -> Any:
    made = await platform.operator.ledger_admin.ReverseEntry(
        pb.ReverseEntryRequest(
            tenant_id=tenant_id,
            entry_id=entry_id,
            description="typed twice",
            request_id=request_id or new_request_id(),
        )
    )
    return made.entry


async def entry_of(platform: Platform, tenant_id: str, entry_id: str) -> Any:
    found = await platform.operator.ledger_admin.GetEntry(
        pb.GetEntryRequest(tenant_id=tenant_id, entry_id=entry_id)
    )
    return found.entry


async def test_a_deposit_is_taken_back_and_both_entries_name_each_other(
    platform: Platform,
) -> None:
    tenant_id, client = await platform.a_tenant()
    customer = await client.create_customer()
    deposit = await a_deposit(client, customer.id)

    reversal = await reverse(platform, tenant_id, deposit.entry_id)

    assert await client.balance(customer.id, "NGN") == ("0.00", "0.00")
    assert reversal.reverses_entry_id == deposit.entry_id
    assert reversal.description == "typed twice"
    assert await entry_of(platform, tenant_id, reversal.id) == reversal
    original = await entry_of(platform, tenant_id, deposit.entry_id)
    assert original.reversed_by_entry_id == reversal.id
    (before,), (after,) = original.transfers, reversal.transfers
    assert (after.debit_account_id, after.credit_account_id, after.amount) == (
        before.credit_account_id,
        before.debit_account_id,
        before.amount,
    )
    await assert_books_balance(platform.owner, tenant_id)


async def test_the_same_request_again_is_the_same_reversal(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    deposit = await a_deposit(client, (await client.create_customer()).id)
    request_id = new_request_id()

    answers = await asyncio.gather(
        *(reverse(platform, tenant_id, deposit.entry_id, request_id) for _ in range(8))
    )

    assert len({answer.id for answer in answers}) == 1


async def test_of_many_who_take_an_entry_back_one_does(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    customer = await client.create_customer()
    await a_deposit(client, customer.id)
    deposit = await a_deposit(client, customer.id)

    ends = await asyncio.gather(
        *(reverse(platform, tenant_id, deposit.entry_id) for _ in range(8)),
        return_exceptions=True,
    )

    refused = [end for end in ends if isinstance(end, grpc.aio.AioRpcError)]
    assert [refusal_of(error).reason for error in refused] == ["ENTRY_ALREADY_REVERSED"] * 7
    assert await client.balance(customer.id, "NGN") == ("70.00", "0.00")


async def test_what_was_spent_cannot_be_taken_back(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    customer = await client.create_customer()
    first, second = [await a_deposit(client, customer.id, "1000000.00") for _ in range(2)]
    await client.accept((await client.quote(customer.id, "0.003")).id)

    await reverse(platform, tenant_id, first.entry_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reverse(platform, tenant_id, second.entry_id)

    assert refusal_of(caught.value).reason == "INSUFFICIENT_FUNDS"
    original = await entry_of(platform, tenant_id, second.entry_id)
    assert original.reversed_by_entry_id == ""
