"""Whatever a request holds, it succeeds or is refused with a reason that partners know.

Messages are built from the descriptors, so a new RPC is tried without a word here. Most of what
goes into a field fits its name: garbage alone would be stopped at the first field of each message.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import Retry
from domain.ids import EntryId, TransferId
from reli.error.v1 import error_reason_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from tests.support.platform import Platform, refusal_of, uuid_at
from tests.support.rpc import RPCS

EXAMPLES_OF_EACH: Final = 30
REASONS: Final = {
    name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()[1:]
}
OUR_FAULT: Final = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}

Pool = Mapping[str, Sequence[str]]
"""Texts that fit a field, by the field's name."""

INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
TEXTS: Final = st.one_of(
    st.text(max_size=12),
    st.text(max_size=3).map(lambda text: f"a\0{text}"),
    st.sampled_from(["é" * 70, "x" * 5_000, "' OR 1=1 --", "{}", "%s", "-0", "1e9", "NaN"]),
)
"""Any text but surrogates, which protobuf cannot carry."""

SPARE_INSTRUMENT: Final = "USDT-ZAR"
SPARE_LP: Final = "spare"

FIELDS_THAT_FIT: Final[Pool] = {
    "asset": ["BTC", "NGN", "ETH", "USDT"],
    "base_asset": ["BTC", "ETH", "NGN"],
    "quote_asset": ["NGN", "USDT", "BTC"],
    "value": ["1", "0.01", "1000.00", "-1", "0", "9" * 31, "0.00000001"],
    "instrument": ["BTC-NGN", "NGN-BTC"],
    "lp_order": ["alpha", "beta"],
    "slug": ["a-slug", "house"],
    "display_name": ["A name"],
    "external_id": ["one", "two"],
    "name": ["backend"],
    "owner": ["alpha", "bank"],
    "purpose": ["fee"],
    "description": ["words"],
    "evidence": ["line 7"],
    "venue_order_id": ["order-7"],
}

Value = TypeVar("Value")


def mostly(
    usual: st.SearchStrategy[Value], unusual: st.SearchStrategy[Value]
) -> st.SearchStrategy[Value]:
    """Seldom the unusual: a message of ten fields must have a chance to be right in nine."""
    return st.integers(0, 7).flatmap(lambda number: usual if number else unusual)


def texts(name: str, pool: Pool) -> st.SearchStrategy[str]:
    if name == "request_id":  # new ones, since a reused one is refused before all else is looked at
        return mostly(st.integers(0).map(str), st.one_of(st.just("one"), TEXTS))
    return mostly(st.sampled_from(pool[name]), TEXTS) if name in pool else TEXTS


def single(field: FieldDescriptor, pool: Pool, depth: int) -> st.SearchStrategy[Any]:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=20)
        case FieldDescriptor.CPPTYPE_STRING:
            return texts(field.name, pool)
        case FieldDescriptor.CPPTYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return st.one_of(st.floats(), st.sampled_from([math.nan, -math.inf]))
        case FieldDescriptor.CPPTYPE_ENUM:
            assert field.enum_type is not None
            known = [value.number for value in field.enum_type.values]
            return mostly(st.sampled_from(known), st.sampled_from([7, 99, -1, 2**31 - 1]))
        case FieldDescriptor.CPPTYPE_MESSAGE:
            assert field.message_type is not None
            return messages(field.message_type, pool, depth - 1)
        case kind:
            low, high = INTEGERS[kind]
            return mostly(st.integers(0, 100), st.sampled_from([low, -1, high]))


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, pool: Pool, depth: int = 4) -> Message:
    message: Any = GetMessageClass(descriptor)()
    if not depth:
        return message  # type: ignore[no-any-return]
    # One of each oneof: set one after the other, only the last would be left.
    chosen = {draw(st.sampled_from([f.name for f in one.fields])) for one in descriptor.oneofs}
    for field in descriptor.fields:
        is_left_out = field.containing_oneof and field.name not in chosen
        if is_left_out or not draw(st.integers(0, 7)):
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            for key in draw(st.lists(st.text(max_size=3), min_size=1, max_size=3)):
                made = draw(single(field.message_type.fields_by_name["value"], pool, depth))
                getattr(message, field.name)[key].CopyFrom(made)
        elif field.is_repeated:
            many = draw(st.lists(single(field, pool, depth), max_size=3))
            getattr(message, field.name).extend(many)
        elif field.message_type:
            getattr(message, field.name).CopyFrom(draw(single(field, pool, depth)))
        else:
            setattr(message, field.name, draw(single(field, pool, depth)))
    return message  # type: ignore[no-any-return]


class Target:
    """Two tenants to shoot at: one with its own key, and one that only the operator touches."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.pools: dict[bool, dict[str, Sequence[str]]] = {}

    async def set_up(self) -> None:
        _, client = await self.platform.a_tenant()
        scratch_id, scratch = await self.platform.a_tenant()
        self.metadata = {True: self.platform.operator.metadata, False: client.metadata}
        for by_operator, tenant in ((False, client), (True, scratch)):
            customer_id = await self.platform.a_funded_customer(tenant)
            trade = await tenant.accept((await tenant.quote(customer_id)).id)
            quotes = [(await tenant.quote(customer_id)).id for _ in range(3)]
            accounts = await tenant.ledger.ListAccounts(ledger_pb.ListAccountsRequest())
            account_ids = [account.id for account in accounts.accounts]
            now = trade.accept_time.ToDatetime()
            ids = {
                "tenant_id": [scratch_id],
                "customer_id": [customer_id, ""],
                "quote_id": [trade.quote_id, *quotes],
                "trade_id": [trade.id],
                "account_id": account_ids,
                "debit_account_id": account_ids,
                "credit_account_id": account_ids,
                "entry_id": [trade.settlement_entry_id, str(EntryId(uuid_at(now)))],
                "id": [str(TransferId(uuid_at(now))) for _ in range(3)],
                "pending_id": [str(TransferId(uuid_at(now))), ""],
                "page_token": [accounts.next_page_token],
            }
            self.pools[by_operator] = {**FIELDS_THAT_FIT, **ids}
        # What an operator halts is halted for all; nobody else trades these.
        self.pools[True] |= {"instrument": [SPARE_INSTRUMENT, "NGN-BTC"], "lp": [SPARE_LP]}
        await self.platform.owner.execute(
            "INSERT INTO core.lps (name) VALUES ($1) ON CONFLICT DO NOTHING", SPARE_LP
        )


@pytest.fixture(scope="module")
async def target(platform: Platform) -> Target:
    made = Target(platform)
    await made.set_up()
    return made


@pytest.mark.parametrize("name", RPCS)
@settings(
    max_examples=EXAMPLES_OF_EACH,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
async def test_any_request_is_answered_or_refused_with_a_known_reason(
    target: Target, name: str, data: st.DataObject
) -> None:
    rpc = RPCS[name]
    pool = target.pools[rpc.is_for_operators]
    message: st.SearchStrategy[Any] = messages(rpc.descriptor.input_type, pool)
    request = data.draw(mostly(message, st.binary(max_size=40)))

    try:
        await rpc.call(target.platform.channel, request, target.metadata[rpc.is_for_operators])
    except grpc.aio.AioRpcError as error:
        refusal = refusal_of(error)
        assert refusal.code not in OUR_FAULT
        assert refusal.reason in REASONS
        assert refusal.retry in set(Retry)
        assert not re.search(r"Traceback|Exception|<class|SELECT|INSERT", refusal.message)
