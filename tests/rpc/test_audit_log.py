"""A tenant's audit log: who did what to which thing, in the transaction in which it was done.

That each method that changes something is in it is shown by the test of all good calls.
"""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from domain.ids import AuditRecordId
from reli.audit.v1 import audit_record_pb2
from reli.audit.v1 import audit_service_pb2 as pb
from reli.auth.v1 import access_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.audit import uuid_of
from tests.support.audit_log import number_audit_records
from tests.support.platform import Client, Platform, new_request_id, refusal_of

Record = audit_record_pb2.AuditRecord

EMPTY: Final = ""


async def test_a_record_says_who_did_what_to_which_thing_and_when(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    key = await _own_key(client)
    began_at = datetime.now(UTC)

    made = await client.customers.CreateCustomer(
        tenant_pb.CreateCustomerRequest(external_id="ada", request_id="a request"),
        metadata=(("x-request-id", "a-correlation"),),
    )

    record = (await _records(client))[0]
    assert AuditRecordId.parse(record.id).is_time_ordered
    assert abs(record.record_time.ToDatetime(UTC) - began_at) < timedelta(seconds=5)
    assert _without_place(record) == Record(
        api_key_id=key,
        is_operator=False,
        method="reli.tenant.v1.CustomerService/CreateCustomer",
        request_id="a request",
        correlation_id="a-correlation",
        subject=made.customer.id,
        after_sha256=_sha256(made.customer),
    )


async def test_a_change_is_recorded_with_the_thing_as_it_was_and_as_it_is(
    platform: Platform,
) -> None:
    _, client = await platform.a_tenant()
    customer = await client.create_customer()

    suspended = await client.customers.SuspendCustomer(
        tenant_pb.SuspendCustomerRequest(customer_id=customer.id)
    )

    change, creation = (await _records(client, subject=customer.id))[:2]
    assert change.before_sha256 == creation.after_sha256 == _sha256(customer)
    assert change.after_sha256 == _sha256(suspended.customer)
    assert creation.before_sha256 == EMPTY


async def test_what_the_operator_does_to_a_tenant_is_in_the_tenants_log(
    platform: Platform,
) -> None:
    tenant_id, client = await platform.a_tenant()

    await platform.operator.tenant_admin.UpdateTenantTerms(
        tenant_pb.UpdateTenantTermsRequest(tenant_id=tenant_id, platform_fee_bps=7)
    )

    terms, _key, creation = await _records(client)
    assert (terms.method, terms.subject) == (
        "reli.tenant.v1.TenantAdminService/UpdateTenantTerms",
        tenant_id,
    )
    assert terms.is_operator and creation.is_operator
    assert terms.before_sha256 == creation.after_sha256
    assert creation.method == "reli.tenant.v1.TenantAdminService/CreateTenant"


async def test_a_repetition_is_not_recorded_again(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    request = tenant_pb.CreateCustomerRequest(external_id="ada", request_id="a request")

    for _ in range(3):
        await client.customers.CreateCustomer(request)

    records = await _records(client)
    assert [record.request_id for record in records].count("a request") == 1


async def test_a_final_refusal_is_recorded_with_its_reason_and_without_a_thing(
    platform: Platform,
) -> None:
    _, client = await platform.a_tenant()
    customer = await client.create_customer()
    quote = await client.quote(customer.id)

    with pytest.raises(grpc.aio.AioRpcError):
        await client.accept(quote.id)  # without any funds

    record = (await _records(client))[0]
    assert record.method == "reli.quote.v1.QuoteService/AcceptQuote"
    assert record.refusal_reason == "INSUFFICIENT_FUNDS"
    assert (record.subject, record.before_sha256, record.after_sha256) == (EMPTY, EMPTY, EMPTY)


async def test_a_call_that_had_no_effect_is_not_recorded(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    before = await _records(client)

    with pytest.raises(grpc.aio.AioRpcError):
        await client.customers.CreateCustomer(tenant_pb.CreateCustomerRequest())
    await client.tenants.UpdateCurrentTenant(
        tenant_pb.UpdateCurrentTenantRequest(display_name="A tenant")
    )

    assert await _records(client) == before


async def test_quotes_and_trades_are_recorded_as_everything_else(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    customer_id = await platform.a_funded_customer(client)

    quotes = await asyncio.gather(*(client.quote(customer_id) for _ in range(20)))
    trades = await asyncio.gather(*(client.accept(quote.id) for quote in quotes))

    records = await _records(client)
    subjects = {record.subject for record in records}
    assert {quote.id for quote in quotes} | {trade.id for trade in trades} <= subjects
    assert len(records) == len({record.id for record in records})


async def test_a_tenant_sees_nothing_of_another_ones_log(platform: Platform) -> None:
    (_, a), (_, b) = await platform.a_tenant(), await platform.a_tenant()
    customer = await a.create_customer()

    assert await _records(b, subject=customer.id) == []
    assert {one.id for one in await _records(a)}.isdisjoint(one.id for one in await _records(b))


async def test_records_are_numbered_without_gaps_in_the_order_of_their_commits(
    platform: Platform,
) -> None:
    tenants = [await platform.a_tenant() for _ in range(2)]
    await asyncio.gather(*(client.create_customer() for _, client in tenants * 20))
    assert {one.sequence for _, client in tenants for one in await _records(client)} == {0}

    # A few at a time, as a worker that has much to do.
    await number_audit_records(platform, limit=7)
    for _, client in tenants:
        await client.create_customer()
    await number_audit_records(platform)

    for _, client in tenants:
        records = await _records(client)
        assert sorted(one.sequence for one in records) == list(range(1, len(records) + 1))
        by_time = sorted(records, key=lambda one: one.record_time.ToNanoseconds())
        assert [one.sequence for one in by_time] == list(range(1, len(records) + 1))


async def test_the_log_is_read_page_by_page_and_by_what_is_asked_for(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    first_key = await _own_key(client)
    second = await client.api_keys.CreateApiKey(
        tenant_pb.CreateApiKeyRequest(name="second", scopes=[access_pb2.SCOPE_CUSTOMERS])
    )
    customers = [await client.create_customer() for _ in range(3)]
    middle = (await _records(client, subject=customers[1].id))[0].record_time
    await Client(platform.channel, second.secret).create_customer()
    everything = await _records(client)

    assert [one.subject for one in everything[1:4]] == [one.id for one in reversed(customers)]
    assert await _records(client, page_size=2) == everything
    assert await _records(client, api_key_id=second.api_key.id, page_size=1) == everything[:1]
    assert {one.api_key_id for one in await _records(client, api_key_id=first_key)} == {first_key}
    assert await _records(client, start_time=middle) == everything[:3]
    assert await _records(client, end_time=middle) == everything[3:]
    assert await _records(client, start_time=middle, end_time=middle) == []
    assert await _records(client, subject=customers[1].id, end_time=middle) == []
    for far in (Timestamp(), Timestamp(seconds=253_402_300_799)):
        assert await _records(client, start_time=far, end_time=far) == []


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("end_time", {"start_time": Timestamp(seconds=2), "end_time": Timestamp(seconds=1)}),
        ("start_time", {"start_time": Timestamp(seconds=-1)}),
        ("subject", {"subject": "customer"}),
        ("subject", {"subject": "x" * 65}),
        ("api_key_id", {"api_key_id": "customer_01h455vb4pex5vsknk084sn02q"}),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    platform: Platform, field: str, request_: dict[str, Any]
) -> None:
    _, client = await platform.a_tenant()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.audit.ListAuditRecords(pb.ListAuditRecordsRequest(**request_))

    assert refusal_of(caught.value).metadata["field"] == field


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE core.audit_records SET method = 'another' WHERE tenant_id = $1",
        "UPDATE core.audit_records SET sequence = sequence + 1 WHERE tenant_id = $1",
        "UPDATE core.audit_records SET sequence = NULL WHERE tenant_id = $1",
        "DELETE FROM core.audit_records WHERE tenant_id = $1",
        "TRUNCATE core.audit_records",
    ],
)
async def test_not_even_the_owner_of_the_database_changes_a_record(
    platform: Platform, statement: str
) -> None:
    tenant_id, _ = await platform.a_tenant()
    await number_audit_records(platform)

    with pytest.raises(asyncpg.RestrictViolationError):
        await platform.owner.execute(statement, *([uuid_of(tenant_id)] * statement.count("$1")))


async def test_a_record_and_its_effect_are_there_together_or_not_at_all(
    platform: Platform,
) -> None:
    _, client = await platform.a_tenant()
    external_id = new_request_id()
    async with platform.owner.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE core.audit_records IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(grpc.aio.AioRpcError):
            await client.customers.CreateCustomer(
                tenant_pb.CreateCustomerRequest(external_id=external_id), timeout=6
            )
    customers = await client.customers.ListCustomers(tenant_pb.ListCustomersRequest())

    methods = [record.method for record in await _records(client)]
    assert list(customers.customers) == []
    assert "reli.tenant.v1.CustomerService/CreateCustomer" not in methods


async def _records(client: Client, *, page_size: int = 0, **wanted: Any) -> list[Record]:
    """Return all records that are asked for, the newest first."""
    records: list[Record] = []
    token = ""
    while True:
        page = await client.audit.ListAuditRecords(
            pb.ListAuditRecordsRequest(page_size=page_size, page_token=token, **wanted)
        )
        records += page.audit_records
        token = page.next_page_token
        if not token:
            return records


async def _own_key(client: Client) -> str:
    listed = await client.api_keys.ListApiKeys(tenant_pb.ListApiKeysRequest())
    (key,) = (one for one in listed.api_keys if client.secret.startswith(one.hint))
    return str(key.id)


def _without_place(record: Record) -> Record:
    rest = Record()
    rest.CopyFrom(record)
    for name in ("id", "sequence", "record_time"):
        rest.ClearField(name)
    return rest


def _sha256(thing: Message) -> str:
    return hashlib.sha256(thing.SerializeToString(deterministic=True)).hexdigest()
