"""Calls over gRPC that are signed, and those that ought to be."""

import asyncio
import time
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message

from domain.ids import RequestSigningKeyId
from domain.tenant.request_signing import MAX_LIVE_KEYS
from reli.audit.v1 import audit_service_pb2 as audit_pb
from reli.event.v1.event_pb2 import Event
from reli.market.v1 import market_service_pb2 as market_pb
from reli.quote.v1 import quote_service_pb2 as quote_pb
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.platform import Client, Platform, a_platform, refusal_of
from tests.support.signing import Key, a_shared_secret, a_signing_key_id, key_bytes, sign

UNAUTHENTICATED: Final = grpc.StatusCode.UNAUTHENTICATED
CREATE_CUSTOMER: Final = "/reli.tenant.v1.CustomerService/CreateCustomer"
LIST_ASSETS: Final = "/reli.market.v1.MarketService/ListAssets"


class Signer:
    """A partner's client that signs."""

    def __init__(self, client: Client, channel: grpc.aio.Channel, key_id: str, key: Key) -> None:
        self.client = client
        self._channel = channel
        self.key_id = key_id
        self._key = key

    def signed(
        self, path: str, body: bytes, *, said_path: str | None = None, **options: Any
    ) -> dict[str, str]:
        components = {"@method": "POST", "@path": said_path or path}
        headers, _ = sign(self._key, self.key_id, components, body, **options)
        return headers

    async def send(self, path: str, request: Message, headers: dict[str, str]) -> Any:
        channel: Any = self._channel
        metadata = (*self.client.metadata, *headers.items())
        return await channel.unary_unary(path)(
            request.SerializeToString(), metadata=metadata, timeout=10
        )

    async def call(self, path: str, request: Message, **options: Any) -> Any:
        headers = self.signed(path, request.SerializeToString(), **options)
        return await self.send(path, request, headers)

    async def refused(self, path: str, request: Message, **options: Any) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(path, request, **options)
        refusal = refusal_of(caught.value)
        assert refusal.code is UNAUTHENTICATED
        return refusal.reason


@pytest.fixture(params=["ed25519", "hmac-sha256"])
async def signer(platform: Platform, request: pytest.FixtureRequest) -> Signer:
    _, client = await platform.a_tenant()
    key: Key
    if request.param == "ed25519":
        key = Ed25519PrivateKey.generate()
        key_id = await a_signing_key_id(client, key)
    else:
        key_id, key = await a_shared_secret(client)
    return Signer(client, platform.channel, key_id, key)


def a_customer(external_id: str = "ada") -> tenant_pb.CreateCustomerRequest:
    return tenant_pb.CreateCustomerRequest(external_id=external_id)


async def require_signatures(client: Client) -> None:
    await client.tenants.UpdateCurrentTenant(
        tenant_pb.UpdateCurrentTenantRequest(signing_required=True)
    )
    await asyncio.sleep(1.1)  # until every process knows


async def test_once_signatures_are_required_an_unsigned_call_is_refused(signer: Signer) -> None:
    await signer.client.create_customer()
    await require_signatures(signer.client)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await signer.client.market.ListAssets(market_pb.ListAssetsRequest())

    assert refusal_of(caught.value).reason == "SIGNATURE_MISSING"
    await signer.call(LIST_ASSETS, market_pb.ListAssetsRequest())
    await signer.call(CREATE_CUSTOMER, a_customer("signed"))


async def test_a_stream_of_answers_is_asked_for_a_signature_too(signer: Signer) -> None:
    await require_signatures(signer.client)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in signer.client.quotes.StreamQuotes(quote_pb.StreamQuotesRequest()):
            pass

    assert refusal_of(caught.value).reason == "SIGNATURE_MISSING"


async def test_only_a_signed_call_ends_what_requires_signatures_but_the_operator_can(
    platform: Platform, signer: Signer
) -> None:
    await require_signatures(signer.client)
    off = tenant_pb.UpdateCurrentTenantRequest(signing_required=False)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await signer.client.tenants.UpdateCurrentTenant(off)
    assert refusal_of(caught.value).reason == "SIGNATURE_MISSING"

    await signer.call("/reli.tenant.v1.TenantService/UpdateCurrentTenant", off)
    await asyncio.sleep(1.1)
    told = await signer.client.tenants.GetCurrentTenant(tenant_pb.GetCurrentTenantRequest())
    assert told.tenant.settings.signing_required is False

    await require_signatures(signer.client)
    await platform.operator.tenant_admin.UpdateTenantTerms(
        tenant_pb.UpdateTenantTermsRequest(tenant_id=told.tenant.id, signing_required=False)
    )
    await asyncio.sleep(1.1)
    await signer.client.create_customer()


async def test_a_signature_is_checked_also_where_none_is_required(signer: Signer) -> None:
    request = a_customer()
    other = a_customer("bob").SerializeToString()

    assert await signer.refused(CREATE_CUSTOMER, request, said_path="/v1/customers") == (
        "SIGNATURE_INVALID"
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await signer.send(CREATE_CUSTOMER, request, signer.signed(CREATE_CUSTOMER, other))
    assert refusal_of(caught.value).reason == "SIGNATURE_INVALID"
    await signer.call(CREATE_CUSTOMER, request)


@pytest.mark.parametrize("seconds", [-63, 63])
async def test_a_signature_of_another_minute_is_refused(signer: Signer, seconds: int) -> None:
    created = int(time.time()) + seconds

    reason = await signer.refused(CREATE_CUSTOMER, a_customer(), created=created)

    assert reason == "SIGNATURE_EXPIRED"


async def test_a_request_is_taken_once(signer: Signer) -> None:
    request = a_customer()
    headers = signer.signed(CREATE_CUSTOMER, request.SerializeToString())
    await signer.send(CREATE_CUSTOMER, request, headers)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await signer.send(CREATE_CUSTOMER, request, headers)

    assert refusal_of(caught.value).reason == "SIGNATURE_REPLAYED"


async def test_of_many_copies_sent_at_once_one_is_taken(signer: Signer) -> None:
    request = market_pb.ListAssetsRequest()
    headers = signer.signed(LIST_ASSETS, request.SerializeToString())

    outcomes = await asyncio.gather(
        *(signer.send(LIST_ASSETS, request, headers) for _ in range(20)), return_exceptions=True
    )

    refused = [one for one in outcomes if isinstance(one, grpc.aio.AioRpcError)]
    assert len(refused) == 19
    assert {refusal_of(one).reason for one in refused} == {"SIGNATURE_REPLAYED"}


async def test_a_nonce_that_somebody_else_said_is_still_free(signer: Signer) -> None:
    """Who cannot sign cannot use up a nonce."""
    nonce = "0123456789abcdef"
    other = bytes(32) if isinstance(signer._key, bytes) else Ed25519PrivateKey.generate()
    forged = Signer(signer.client, signer._channel, signer.key_id, other)
    assert await forged.refused(CREATE_CUSTOMER, a_customer(), nonce=nonce) == "SIGNATURE_INVALID"

    await signer.call(CREATE_CUSTOMER, a_customer(), nonce=nonce)


async def test_a_revoked_key_signs_nothing_any_more(signer: Signer) -> None:
    await signer.call(LIST_ASSETS, market_pb.ListAssetsRequest())
    await signer.client.signing_keys.RevokeRequestSigningKey(
        tenant_pb.RevokeRequestSigningKeyRequest(request_signing_key_id=signer.key_id)
    )
    await asyncio.sleep(0.6)

    reason = await signer.refused(LIST_ASSETS, market_pb.ListAssetsRequest())

    assert reason == "SIGNATURE_KEY_UNKNOWN"


async def test_a_key_of_another_tenant_is_unknown(platform: Platform, signer: Signer) -> None:
    _, other = await platform.a_tenant()
    thief = Signer(other, platform.channel, signer.key_id, signer._key)

    reason = await thief.refused(LIST_ASSETS, market_pb.ListAssetsRequest())

    assert reason == "SIGNATURE_KEY_UNKNOWN"


async def test_a_public_key_is_not_taken_for_a_secret(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    pair = Ed25519PrivateKey.generate()
    key_id = await a_signing_key_id(client, pair)
    forger = Signer(client, platform.channel, key_id, pair.public_key().public_bytes_raw())

    reason = await forger.refused(LIST_ASSETS, market_pb.ListAssetsRequest())

    assert reason == "SIGNATURE_INVALID"


async def test_a_shared_secret_is_shown_once_and_kept_nowhere_as_it_is(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    request = tenant_pb.CreateRequestSigningKeyRequest(
        name="backend",
        algorithm=tenant_pb2.SIGNATURE_ALGORITHM_HMAC_SHA256,
        request_id="once",
    )

    first = await client.signing_keys.CreateRequestSigningKey(request)
    again = await client.signing_keys.CreateRequestSigningKey(request)

    key = first.request_signing_key
    assert len(key_bytes(first.secret)) == 32
    assert key.public_key == b""
    assert (again.request_signing_key, again.secret) == (key, "")
    listed = await client.signing_keys.ListRequestSigningKeys(
        tenant_pb.ListRequestSigningKeysRequest()
    )
    assert list(listed.request_signing_keys) == [key]
    told = await platform.owner.fetchval(
        "SELECT payload FROM core.outbox WHERE subject = $1", key.id
    )
    assert Event.FromString(told).request_signing_key == key
    (sealed,) = await platform.owner.fetch(
        "SELECT secret FROM core.request_signing_keys WHERE id = $1",
        RequestSigningKeyId.parse(key.id).uuid,
    )
    for kept in (told, sealed["secret"]):
        assert first.secret.encode() not in kept
        assert key_bytes(first.secret) not in kept
    record = (await client.audit.ListAuditRecords(audit_pb.ListAuditRecordsRequest())).audit_records
    assert record[0].subject == key.id
    shown = key.SerializeToString(deterministic=True)
    assert record[0].after_sha256 == sha256(shown).hexdigest()


async def test_without_sealing_keys_a_public_key_is_all_that_can_be_registered(
    database_url: str, tmp_path: Path
) -> None:
    async with a_platform(database_url, tmp_path, sealing_keys=()) as platform:
        _, client = await platform.a_tenant()

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await a_shared_secret(client)

        refusal = refusal_of(caught.value)
        assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.reason == "SHARED_SECRETS_NOT_CONFIGURED"
        await a_signing_key_id(client)


async def test_signatures_cannot_be_required_before_there_is_a_key(platform: Platform) -> None:
    _, client = await platform.a_tenant()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await require_signatures(client)

    assert refusal_of(caught.value).reason == "REQUEST_SIGNING_KEY_REQUIRED"


async def test_a_tenant_has_so_many_live_keys_and_no_more(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    ids = [await a_signing_key_id(client) for _ in range(MAX_LIVE_KEYS)]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await a_signing_key_id(client)

    assert refusal_of(caught.value).reason == "TOO_MANY_REQUEST_SIGNING_KEYS"
    await client.signing_keys.RevokeRequestSigningKey(
        tenant_pb.RevokeRequestSigningKeyRequest(request_signing_key_id=ids[0])
    )
    await a_signing_key_id(client)


async def test_nonces_whose_time_is_over_make_room(platform: Platform, signer: Signer) -> None:
    request = market_pb.ListAssetsRequest()
    key_id = RequestSigningKeyId.parse(signer.key_id).uuid
    for _ in range(4):
        await signer.call(LIST_ASSETS, request)
    await platform.owner.execute(
        "UPDATE core.seen_nonces SET seen_at = core.now() - interval '3 minutes' WHERE key_id = $1",
        key_id,
    )

    # Some nonces, by chance one of 64, have the old ones go.
    of_chance = (f"a nonce number {number:04}" for number in count())
    sweeping = next(one for one in of_chance if sha256(one.encode()).digest()[0] < 4)
    await signer.call(LIST_ASSETS, request, nonce=sweeping)

    left = await platform.owner.fetch(
        "SELECT nonce FROM core.seen_nonces WHERE key_id = $1", key_id
    )
    assert [row["nonce"] for row in left] == [sweeping]
