"""Every method of every service, called by one tenant with another one's ids.

The methods, their fields and who may call them come from the descriptors. What is asked about
another tenant's thing must be answered as if nobody had it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from app.rpc.access import is_public, scope_of
from app.rpc.server import services
from domain.ids import (
    AccountId,
    ApiKeyId,
    AttemptId,
    AuditRecordId,
    BreakId,
    BreakResolutionId,
    CustomerId,
    DeadLetterId,
    DepositId,
    EntryId,
    EventId,
    LpSettlementId,
    QuoteId,
    RequestSigningKeyId,
    ResolutionId,
    StatementId,
    TenantId,
    TradeId,
    TransferId,
    TypedId,
    WebhookDeliveryId,
    WebhookEndpointId,
)
from domain.tenant.api_key import Scope
from reli.type.v1 import amount_pb2
from tests.support.audit import rows_of
from tests.support.busy_tenant import BusyTenant, a_busy_tenant
from tests.support.platform import Platform, Refusal, new_request_id, refusal_of
from tests.support.rpc import Rpc

METHODS: Final = {
    f"{service.full_name}/{method.name}": method
    for service in services()
    for method in service.methods
}


def _is_operators(name: str) -> bool:
    return not is_public(name) and scope_of(name) is Scope.OPERATOR


LISTS: Final = [
    name
    for name, method in METHODS.items()
    if "page_token" in method.input_type.fields_by_name and not _is_operators(name)
]

ID_KINDS: Final[Mapping[str, type[TypedId]]] = {
    "tenant_id": TenantId,
    "customer_id": CustomerId,
    "api_key_id": ApiKeyId,
    "request_signing_key_id": RequestSigningKeyId,
    "quote_id": QuoteId,
    "trade_id": TradeId,
    "resolution_id": ResolutionId,
    "break_id": BreakId,
    "linked_break_id": BreakId,
    "linked_entry_id": EntryId,
    "break_resolution_id": BreakResolutionId,
    "counter_account_id": AccountId,
    "dead_letter_id": DeadLetterId,
    "lp_settlement_id": LpSettlementId,
    "endpoint_id": WebhookEndpointId,
    "delivery_id": WebhookDeliveryId,
    "account_id": AccountId,
    "debit_account_id": AccountId,
    "credit_account_id": AccountId,
    "entry_id": EntryId,
    "event_id": EventId,
    "pending_id": TransferId,
    "reli.ledger.v1.Transfer.id": TransferId,
}
"""By field name, or by full name where the name alone does not tell."""

TEXTS: Final[Mapping[str, Callable[[], str]]] = {
    "request_id": new_request_id,
    "external_id": new_request_id,
    "slug": lambda: f"t-{new_request_id()}",
    "page_token": str,
    "base_asset": lambda: "BTC",
    "quote_asset": lambda: "NGN",
    "asset": lambda: "NGN",
    "instrument": lambda: "BTC-NGN",
    "lp_order": lambda: "alpha",
    "lp": lambda: "alpha",
    "reason": lambda: "some words",
    "rail": lambda: "a-bank",
    "reference": lambda: "PAY-1",
    "owner": str,
    "purpose": lambda: "a_purpose",
    "venue_order_id": lambda: "a venue's own id",
    "evidence": lambda: "a line of a statement",
    "name": lambda: "a name",
    "display_name": lambda: "a name",
    "description": lambda: "some words",
    "note": lambda: "some words",
    "methods": lambda: "reli.tenant.v1.TenantAdminService/GetTenant",
    "subject": str,
    "day": lambda: "2026-03-02",
    "types": lambda: "tenant.created",
    "allowed_ip_ranges": lambda: "127.0.0.0/8",
    "url": lambda: "https://example.com/webhooks",
    "event_types": lambda: "trade.settled",
    "values": lambda: "trade.*",
}
"""A valid text for every field that is no id; a new field needs a line here."""

SEQUENCES: Final = {"after": 0, "until": 1}
"""The first event of any tenant."""

LEFT_OUT: Final = {
    f"reli.audit.v1.ListAuditRecordsRequest.{name}" for name in ("start_time", "end_time")
}
"""What would leave nothing of an answer, whoever asks."""
PUBLIC_KEY: Final = bytes(range(32))

ANY_ID: Final = re.compile(r"\b[a-z]+_[0-7][0-9a-hjkmnp-tv-z]{25}\b")


@dataclass(frozen=True)
class Ids:
    """Where a request's ids come from."""

    of: Callable[[type[TypedId]], str]
    page_token: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back: a message or a refusal, and every byte of it."""

    message: Message | None
    refusal: Refusal | None
    content: bytes

    @property
    def without_ids(self) -> object:
        if self.refusal is None:
            return ANY_ID.sub("<id>", str(self.message))
        metadata = {key: ANY_ID.sub("<id>", text) for key, text in self.refusal.metadata.items()}
        message = ANY_ID.sub("<id>", self.refusal.message)
        return self.refusal.code, self.refusal.reason, message, metadata


@dataclass(frozen=True)
class Rival:
    """A tenant that is asked about, and the one that asks."""

    a: BusyTenant
    b: BusyTenant
    platform: Platform
    ids_of_a: frozenset[str]

    async def call(self, name: str, ids: Ids, *, as_a: bool = False) -> tuple[Message, Answer]:
        request = _request(METHODS[name].input_type, ids)
        client = self.a.client if as_a else self.b.client
        return request, await _call(self.platform, METHODS[name], request, client.metadata)

    @property
    def theirs(self) -> Ids:
        return Ids(_ids_of(self.a).__getitem__)

    @property
    def nobodys(self) -> Ids:
        return Ids(lambda kind: str(self.platform.ids.new(kind)))

    def assert_nothing_of_a_in(self, answer: Answer, *, asked: Message) -> None:
        """Assert that no byte tells of A, but for the ids that the question already had."""
        said = set(ANY_ID.findall(str(asked)))
        heard = set(ANY_ID.findall(answer.content.decode("latin-1")))
        assert self.a.canary.encode() not in answer.content
        assert (heard - said) & self.ids_of_a == set()


@pytest.fixture(scope="module")
async def rival(platform: Platform) -> Rival:
    a, b = await a_busy_tenant(platform), await a_busy_tenant(platform)
    ids: set[str] = set()
    for kind, query in _ALL_IDS.items():
        rows = await platform.owner.fetch(query, a.uuid)
        assert rows, kind
        ids.update(str(kind(row["id"])) for row in rows)
    return Rival(a, b, platform, frozenset(ids))


_ALL_IDS: Final[Mapping[type[TypedId], str]] = {
    TenantId: "SELECT tenant_id AS id FROM core.tenants WHERE tenant_id = $1",
    CustomerId: "SELECT id FROM core.customers WHERE tenant_id = $1",
    ApiKeyId: "SELECT id FROM core.api_keys WHERE tenant_id = $1",
    RequestSigningKeyId: "SELECT id FROM core.request_signing_keys WHERE tenant_id = $1",
    QuoteId: "SELECT id FROM core.quotes WHERE tenant_id = $1",
    TradeId: "SELECT id FROM core.trades WHERE tenant_id = $1",
    AccountId: "SELECT id FROM core.accounts WHERE tenant_id = $1",
    EntryId: "SELECT id FROM core.entries WHERE tenant_id = $1",
    TransferId: "SELECT id FROM core.transfers WHERE tenant_id = $1",
    AuditRecordId: "SELECT id FROM core.audit_records WHERE tenant_id = $1",
    AttemptId: "SELECT id FROM core.attempts WHERE tenant_id = $1",
    ResolutionId: "SELECT id FROM core.trade_resolutions WHERE tenant_id = $1",
    BreakId: "SELECT id FROM core.breaks WHERE tenant_id = $1",
    BreakResolutionId: "SELECT id FROM core.break_resolutions WHERE tenant_id = $1",
    StatementId: "SELECT id FROM core.statements WHERE tenant_id = $1",
    DeadLetterId: "SELECT id FROM core.dead_letters WHERE source_tenant_id = $1",
    DepositId: "SELECT id FROM core.sandbox_deposits WHERE tenant_id = $1",
    EventId: "SELECT id FROM core.outbox WHERE tenant_id = $1",
    WebhookEndpointId: "SELECT id FROM core.webhook_endpoints WHERE tenant_id = $1",
    WebhookDeliveryId: "SELECT id FROM core.webhook_deliveries WHERE tenant_id = $1",
}


@pytest.mark.parametrize("name", METHODS)
async def test_what_another_tenant_has_is_answered_as_if_nobody_had_it(
    rival: Rival, name: str
) -> None:
    before = await rows_of(rival.platform.owner, rival.a.id)

    asked, theirs = await rival.call(name, rival.theirs)
    _, nobodys = await rival.call(name, rival.nobodys)

    assert await rows_of(rival.platform.owner, rival.a.id) == before
    rival.assert_nothing_of_a_in(theirs, asked=asked)
    if _is_operators(name):
        assert theirs.refusal is not None
        assert theirs.refusal.code is grpc.StatusCode.PERMISSION_DENIED
        assert theirs.refusal.reason == "OPERATOR_ONLY"
        assert theirs.without_ids == nobodys.without_ids
    elif not _names_things(METHODS[name].input_type):
        assert theirs.refusal is None, theirs.refusal
    else:
        assert theirs.without_ids == nobodys.without_ids
        if theirs.refusal is None:
            assert _is_empty_page(theirs.message)
        else:
            assert theirs.refusal.code is grpc.StatusCode.NOT_FOUND
            assert theirs.refusal.reason.endswith("_NOT_FOUND")


@pytest.mark.parametrize("name", [name for name in METHODS if "/Get" in name or "/List" in name])
async def test_the_owner_of_those_ids_is_answered(rival: Rival, name: str) -> None:
    """Otherwise that nothing was found above would say nothing."""
    _, answer = await rival.call(name, rival.theirs, as_a=True)

    if _is_operators(name):
        assert answer.refusal is not None and answer.refusal.reason == "OPERATOR_ONLY"
    else:
        assert answer.refusal is None, answer.refusal
        assert answer.message is not None and answer.message.ByteSize() > 0


@pytest.mark.parametrize("name", LISTS)
async def test_a_page_token_of_another_tenant_opens_no_page_of_its_own(
    rival: Rival, name: str
) -> None:
    _, first = await rival.call(name, rival.theirs, as_a=True)
    token: str = first.message.next_page_token  # type: ignore[union-attr]
    assert token

    asked, answer = await rival.call(name, Ids(_ids_of(rival.b).__getitem__, token))

    assert answer.refusal is None, answer.refusal
    rival.assert_nothing_of_a_in(answer, asked=asked)


async def test_a_request_id_of_another_tenant_is_free(rival: Rival) -> None:
    name = "reli.tenant.v1.ApiKeyService/CreateApiKey"
    request = _request(METHODS[name].input_type, rival.nobodys)
    request.request_id = rival.a.canary  # type: ignore[attr-defined]
    metadata = rival.b.client.metadata

    answer = await _call(rival.platform, METHODS[name], request, metadata)

    assert answer.refusal is None, answer.refusal
    rival.assert_nothing_of_a_in(answer, asked=request)


async def test_a_name_of_another_tenants_customer_is_free(rival: Rival) -> None:
    customer = await rival.b.client.create_customer(rival.a.canary)

    assert customer.id not in rival.ids_of_a


def test_the_walk_meets_every_method_and_every_kind_of_id() -> None:
    assert len(METHODS) > 30
    named = {
        field.full_name if field.full_name in ID_KINDS else field.name
        for method in METHODS.values()
        for field in _fields(method.input_type)
        if _is_id(field)
    }
    assert named == set(ID_KINDS)
    assert {_is_operators(name) for name in METHODS} == {True, False}


def _is_empty_page(message: Message | None) -> bool:
    return message is not None and message.ByteSize() == 0


def _ids_of(tenant: BusyTenant) -> Mapping[type[TypedId], str]:
    return {
        TenantId: tenant.id,
        CustomerId: tenant.customer_id,
        ApiKeyId: tenant.api_key_id,
        RequestSigningKeyId: tenant.request_signing_key_id,
        QuoteId: tenant.open_quote_id,
        TradeId: tenant.trade_id,
        ResolutionId: tenant.resolution_id,
        BreakId: tenant.source_break_id,
        BreakResolutionId: tenant.break_resolution_id,
        DeadLetterId: tenant.dead_letter_id,
        LpSettlementId: str(LpSettlementId(tenant.uuid)),
        AccountId: tenant.account_id,
        EntryId: tenant.entry_id,
        TransferId: tenant.transfer_id,
        EventId: tenant.event_id,
        WebhookEndpointId: tenant.endpoint_id,
        WebhookDeliveryId: tenant.delivery_id,
    }


async def _call(
    platform: Platform, method: MethodDescriptor, request: Message, metadata: Any
) -> Answer:
    channel: Any = platform.channel
    if Rpc(method).is_live:
        return await _first(platform, method, request, metadata)
    stub = channel.stream_unary if method.client_streaming else channel.unary_unary
    if method.server_streaming:
        stub = channel.unary_stream
    answer_type = message_factory.GetMessageClass(method.output_type)
    call = stub(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer_type.FromString,
    )([request] if method.client_streaming else request, metadata=metadata, timeout=10)
    try:
        messages = [one async for one in call] if method.server_streaming else [await call]
    except grpc.aio.AioRpcError as error:
        trailers = repr((error.details(), tuple(error.trailing_metadata() or ())))
        return Answer(None, refusal_of(error), trailers.encode())
    headers = repr((tuple(await call.initial_metadata()), tuple(await call.trailing_metadata())))
    content = b"".join(message.SerializeToString() for message in messages)
    return Answer(messages[0], None, content + headers.encode())


async def _first(
    platform: Platform, method: MethodDescriptor, request: Message, metadata: Any
) -> Answer:
    """Answer with the first message of a stream that has no end."""
    try:
        [message] = await Rpc(method).call(platform.channel, request, metadata)
    except grpc.aio.AioRpcError as error:
        trailers = repr((error.details(), tuple(error.trailing_metadata() or ())))
        return Answer(None, refusal_of(error), trailers.encode())
    return Answer(message, None, message.SerializeToString())


def _request(descriptor: Descriptor, ids: Ids) -> Message:
    """Build a valid request with the given ids wherever it has one."""
    request: Message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.fields[0] is not field:
            continue
        if field.full_name in LEFT_OUT:
            continue
        if field.is_repeated:
            target = getattr(request, field.name)
            if field.message_type is None:
                target.append(_value(field, ids))
            else:
                target.add().CopyFrom(_value(field, ids))
        elif field.message_type is not None:
            getattr(request, field.name).CopyFrom(_value(field, ids))
        else:
            setattr(request, field.name, _value(field, ids))
    return request


def _value(field: FieldDescriptor, ids: Ids) -> Any:
    if _is_id(field):
        return ids.of(ID_KINDS.get(field.full_name) or ID_KINDS[field.name])
    if field.name == "page_token":
        return ids.page_token
    if field.name == "page_size":
        return 1
    if field.enum_type is not None:
        return field.enum_type.values[1].number
    if field.message_type is not None:
        return _message(field.name, field.message_type, ids)
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS[field.name]()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return PUBLIC_KEY if field.name == "public_key" else b"some bytes"
    if field.type == FieldDescriptor.TYPE_INT64:
        return SEQUENCES.get(field.name, 7)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return False
    assert field.type == FieldDescriptor.TYPE_INT32, field.full_name
    return 7


def _message(name: str, descriptor: Descriptor, ids: Ids) -> Message:
    match descriptor.full_name:
        case "reli.type.v1.Amount":
            asset = "BTC" if name == "base_amount" else "NGN"
            return amount_pb2.Amount(value="0.01", asset=asset)
        case "google.protobuf.Duration":
            duration: Message = message_factory.GetMessageClass(descriptor)()
            duration.FromSeconds(1 if name == "wait" else 5)  # type: ignore[attr-defined]
            return duration
        case "google.protobuf.Timestamp":
            moment: Message = message_factory.GetMessageClass(descriptor)()
            day = 3 if name == "end_time" else 2
            year = 2100 if name == "expire_time" else 2026
            moment.FromJsonString(f"{year}-03-0{day}T09:30:00Z")  # type: ignore[attr-defined]
            return moment
        case "google.protobuf.Struct":
            struct: Message = message_factory.GetMessageClass(descriptor)()
            struct.update({"colour": "green"})  # type: ignore[attr-defined]
            return struct
        case _:
            return _request(descriptor, ids)


def _is_id(field: FieldDescriptor) -> bool:
    if field.type != FieldDescriptor.TYPE_STRING or field.name in TEXTS:
        return False
    return field.name == "id" or field.name.endswith("_id")


def _fields(descriptor: Descriptor) -> list[FieldDescriptor]:
    own = list(descriptor.fields)
    inner = [
        field
        for message in {field.message_type for field in own if field.message_type is not None}
        if message.full_name.startswith("reli.")
        for field in _fields(message)
    ]
    return own + inner


def _names_things(descriptor: Descriptor) -> bool:
    return any(_is_id(field) for field in _fields(descriptor))
