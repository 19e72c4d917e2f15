"""API keys as their holders meet them: their end, their successors, their addresses, their uses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final

import grpc
import pytest
from dependency_injector import providers

from adapters.postgres.engine import make_engine
from adapters.system.clock import SystemClock
from app.container import Container
from app.rpc.server import add_servicers, make_server
from app.usecase.tenant.note_key_uses import NoteKeyUses
from ports.tenant import Credential
from reli.auth.v1 import access_pb2
from reli.tenant.v1 import tenant_service_pb2 as pb
from tests.support.platform import Client, Platform, Refusal, new_request_id, refusal_of

SOON: Final = timedelta(milliseconds=700)


async def test_a_key_ends_at_the_very_instant_at_which_it_expires(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    made = await _create(client, expires_in=SOON)
    expires_at = made.api_key.expire_time.ToDatetime(UTC)
    key = Client(platform.channel, made.secret)

    answered, refusal = await _until_refused(key)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_EXPIRED")
    assert refusal.retry == "never"
    assert refusal.metadata["api_key_id"] == made.api_key.id
    # A call takes a few milliseconds; a key believed for half a second more would show.
    assert expires_at - timedelta(milliseconds=200) < answered[-1]
    assert datetime.now(UTC) < expires_at + timedelta(milliseconds=200)


async def test_a_rotated_key_and_its_successor_live_side_by_side(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    first = await _create(client, ranges=["127.0.0.0/8", "::1"])

    rotated = await _rotate(client, first.api_key.id, overlap=SOON)

    successor = rotated.api_key
    assert successor.rotated_from_api_key_id == first.api_key.id
    assert successor.name == first.api_key.name
    assert list(successor.scopes) == list(first.api_key.scopes)
    assert list(successor.allowed_ip_ranges) == ["127.0.0.0/8", "::1/128"]
    assert not successor.HasField("expire_time")
    assert rotated.secret.startswith(successor.hint)
    ends_at = rotated.rotated_api_key.expire_time.ToDatetime(UTC)
    assert abs(ends_at - datetime.now(UTC) - SOON) < timedelta(milliseconds=200)
    old, new = (Client(platform.channel, secret) for secret in (first.secret, rotated.secret))
    await new.create_customer()
    await old.create_customer()
    _, refusal = await _until_refused(old)
    assert refusal.reason == "API_KEY_EXPIRED"
    await new.create_customer()


async def test_of_a_line_of_keys_at_most_two_live(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    first = (await _create(client)).api_key
    second = (await _rotate(client, first.id)).api_key

    for key, other in ((first, second), (second, first)):
        refusal = await _refusal(_rotate(client, key.id))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "API_KEY_BEING_ROTATED",
        )
        assert refusal.metadata["api_key_id"] == other.id
    # The second one's secret was lost: it goes, and the first is rotated again.
    await client.api_keys.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=second.id))
    third = (await _rotate(client, first.id, overlap=timedelta())).api_key
    fourth = (await _rotate(client, third.id)).api_key

    listed = await client.api_keys.ListApiKeys(pb.ListApiKeysRequest())
    assert [key.rotated_from_api_key_id for key in listed.api_keys][:4] == [
        third.id,
        first.id,
        first.id,
        "",
    ]
    assert fourth.id == listed.api_keys[0].id
    for ended in (first, second):
        refusal = await _refusal(_rotate(client, ended.id))
        assert refusal.reason == "API_KEY_NOT_LIVE"


async def test_two_rotations_of_one_key_at_once_give_one_successor(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    key = (await _create(client)).api_key

    outcomes = await asyncio.gather(
        *(_rotate(client, key.id) for _ in range(8)), return_exceptions=True
    )

    assert sum(isinstance(one, pb.RotateApiKeyResponse) for one in outcomes) == 1
    listed = await client.api_keys.ListApiKeys(pb.ListApiKeysRequest())
    assert [one.rotated_from_api_key_id for one in listed.api_keys].count(key.id) == 1


async def test_a_rotation_that_is_repeated_shows_no_secret_again(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    key = (await _create(client)).api_key
    request = pb.RotateApiKeyRequest(api_key_id=key.id, request_id=new_request_id())
    request.overlap.FromTimedelta(SOON)

    first, again = [await client.api_keys.RotateApiKey(request) for _ in range(2)]

    assert first.secret and not again.secret
    assert (again.api_key, again.rotated_api_key) == (first.api_key, first.rotated_api_key)


async def test_a_key_cannot_get_at_more_by_rotating_one_that_may_more(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    stronger = (await _create(client)).api_key
    keeper = await platform.a_client(tenant_id, [access_pb2.SCOPE_KEYS, access_pb2.SCOPE_READ])

    refusal = await _refusal(_rotate(keeper, stronger.id))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    rotated = await platform.operator.tenant_admin.RotateTenantApiKey(
        _rotation(pb.RotateTenantApiKeyRequest(tenant_id=tenant_id, api_key_id=stronger.id))
    )
    assert rotated.api_key.rotated_from_api_key_id == stronger.id


async def test_a_key_is_refused_from_an_address_in_none_of_its_ranges(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    here = await _create(client, ranges=["127.0.0.1/32"])
    elsewhere = await _create(client, ranges=["203.0.113.0/24", "2001:db8::/32"])

    await Client(platform.channel, here.secret).create_customer()
    refusal = await _refusal(Client(platform.channel, elsewhere.secret).create_customer())

    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "API_KEY_ADDRESS_REFUSED",
    )
    assert refusal.metadata == {
        "api_key_id": elsewhere.api_key.id,
        "address": "127.0.0.1",
        "retry": "never",
    }


@pytest.mark.parametrize("told", ["203.0.113.9", "::ffff:203.0.113.9"])
async def test_the_front_door_says_from_where_a_call_comes_and_nobody_else(
    platform: Platform, told: str
) -> None:
    _, client = await platform.a_tenant()
    made = await _create(client, ranges=["203.0.113.0/24"])
    metadata = (("x-reli-client-address", told),)
    request = pb.CreateCustomerRequest(external_id=new_request_id())
    async with _another_server(platform) as channel:
        through_the_door = Client(channel, made.secret).customers
        await through_the_door.CreateCustomer(request, metadata=metadata)
    async with _another_server(platform, front_doors=()) as channel:
        straight = Client(channel, made.secret).customers
        refusal = await _refusal(straight.CreateCustomer(request, metadata=metadata))

    assert refusal.metadata["address"] == "127.0.0.1"


@pytest.mark.parametrize("told", ["", "nonsense", "203.0.113.9, 10.0.0.1", "unknown"])
async def test_an_address_that_nobody_can_read_is_refused(platform: Platform, told: str) -> None:
    _, client = await platform.a_tenant()
    made = await _create(client, ranges=["0.0.0.0/0", "::/0"])

    refusal = await _refusal(
        Client(platform.channel, made.secret).customers.ListCustomers(
            pb.ListCustomersRequest(), metadata=(("x-reli-client-address", told),)
        )
    )

    assert (refusal.reason, refusal.metadata["address"]) == ("API_KEY_ADDRESS_REFUSED", "")


Ending = Callable[[Client, str], Awaitable[Any]]

ENDINGS: Final[dict[str, tuple[Ending, str]]] = {
    "revocation": (
        lambda client, id: client.api_keys.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=id)),
        "API_KEY_REVOKED",
    ),
    "rotation": (lambda client, id: _rotate(client, id, overlap=timedelta()), "API_KEY_EXPIRED"),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_end_of_a_key_is_known_to_every_process_within_a_second(
    platform: Platform, ending: str
) -> None:
    _, client = await platform.a_tenant()
    end, reason = ENDINGS[ending]
    made = await _create(client)
    async with _another_server(platform) as elsewhere:
        keys = [Client(channel, made.secret) for channel in (platform.channel, elsewhere)]
        for key in keys:
            await key.create_customer()

        await end(client, made.api_key.id)
        ended_at = monotonic()
        outcomes = await asyncio.gather(*map(_until_refused, keys))

        assert {refusal.reason for _, refusal in outcomes} == {reason}
        assert monotonic() - ended_at < 1


async def test_a_successor_is_known_to_every_process_at_once(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    made = await _create(client)

    rotated = await _rotate(client, made.api_key.id)

    async with _another_server(platform) as elsewhere:
        for channel in (platform.channel, elsewhere):
            await Client(channel, rotated.secret).create_customer()


GET_TENANT: Final = "reli.tenant.v1.TenantAdminService/GetTenant"


async def test_a_service_token_may_call_its_own_methods_and_no_other(platform: Platform) -> None:
    tenant_id, _ = await platform.a_tenant()
    made = await _service_token(platform, [GET_TENANT])
    admin = Client(platform.channel, made.secret).tenant_admin

    found = await admin.GetTenant(pb.GetTenantRequest(tenant_id=tenant_id))
    refusal = await _refusal(admin.SuspendTenant(pb.SuspendTenantRequest(tenant_id=tenant_id)))

    assert found.tenant.id == tenant_id
    assert list(made.api_key.methods) == [GET_TENANT]
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "API_KEY_METHOD_REFUSED",
    )
    assert refusal.metadata["method"] == "reli.tenant.v1.TenantAdminService/SuspendTenant"


async def test_a_rotated_service_token_may_call_no_more(platform: Platform) -> None:
    made = await _service_token(platform, [GET_TENANT])
    house_id = str(platform.environment.house_id)

    rotated = await platform.operator.tenant_admin.RotateTenantApiKey(
        _rotation(pb.RotateTenantApiKeyRequest(tenant_id=house_id, api_key_id=made.api_key.id))
    )

    assert list(rotated.api_key.methods) == [GET_TENANT]
    client = Client(platform.channel, rotated.secret)
    refusal = await _refusal(client.tenant_admin.ListTenants(pb.ListTenantsRequest()))
    assert refusal.reason == "API_KEY_METHOD_REFUSED"


class ClockInHand(SystemClock):
    """A clock that goes on when it is told to."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


async def test_the_last_use_of_a_key_is_noted_at_most_once_a_minute(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    used, unused = await _create(client), await _create(client)
    clock = ClockInHand()
    notes = NoteKeyUses(platform.container.units_of_work(), clock)
    credential = await _credential(platform, used)

    noted = []
    for seconds in (0, 59, 61):
        clock.seconds = seconds
        notes.remember(credential)
        await notes()
        noted.append(await _last_use(client, used.api_key.id))
        # What the database knows is old: only the process itself can tell that it noted this.
        await platform.owner.execute(
            "UPDATE core.api_keys SET last_used_at = now() - interval '1 day' WHERE id = $1",
            credential.api_key_id.uuid,
        )

    assert noted[0] is not None and noted[1] is not None and noted[2] is not None
    assert noted[1] < noted[0] < noted[2]
    assert await _last_use(client, unused.api_key.id) is None


async def test_two_processes_do_not_note_the_same_minute_twice(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    made = await _create(client)
    credential = await _credential(platform, made)
    noted = []
    for _ in range(2):
        notes = NoteKeyUses(platform.container.units_of_work(), ClockInHand())
        notes.remember(credential)
        await notes()
        noted.append(await _last_use(client, made.api_key.id))

    assert noted[0] is not None and noted[0] == noted[1]


async def test_a_call_is_remembered_as_a_use_unless_it_is_refused(platform: Platform) -> None:
    _, client = await platform.a_tenant()
    good, refused = await _create(client), await _create(client, ranges=["203.0.113.0/24"])

    await Client(platform.channel, good.secret).create_customer()
    await _refusal(Client(platform.channel, refused.secret).create_customer())
    await platform.container.note_key_uses()()

    assert await _last_use(client, good.api_key.id) is not None
    assert await _last_use(client, refused.api_key.id) is None


@asynccontextmanager
async def _another_server(platform: Platform, **settings: Any) -> AsyncIterator[grpc.aio.Channel]:
    """Serve from connections of its own and with nothing remembered, as another process does."""
    told = platform.settings.model_copy(update=settings)
    engine = make_engine(told.app_database_url, pool_size=4, name="test another")
    container = Container(
        settings=providers.Object(told),
        engine=providers.Object(engine),
        house_id=providers.Object(platform.environment.house_id),
        lp_sessions=platform.container.lp_sessions,
        actor=providers.Object("serve"),
        is_sandbox=providers.Object(True),
    )
    server = make_server(container.interceptor(), with_reflection=False)
    add_servicers(server, container.servicers())
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            yield channel
    finally:
        await server.stop(1)
        await container.interceptor().drain()
        await engine.dispose()


async def _create(
    client: Client, *, expires_in: timedelta | None = None, ranges: list[str] | None = None
) -> pb.CreateApiKeyResponse:
    request = pb.CreateApiKeyRequest(
        name="backend",
        scopes=[access_pb2.SCOPE_CUSTOMERS, access_pb2.SCOPE_READ, access_pb2.SCOPE_TRADES],
        allowed_ip_ranges=ranges,
    )
    if expires_in is not None:
        request.expire_time.FromDatetime(datetime.now(UTC) + expires_in)
    made: pb.CreateApiKeyResponse = await client.api_keys.CreateApiKey(request)
    return made


async def _service_token(platform: Platform, methods: list[str]) -> pb.CreateTenantApiKeyResponse:
    made: pb.CreateTenantApiKeyResponse = await platform.operator.tenant_admin.CreateTenantApiKey(
        pb.CreateTenantApiKeyRequest(
            tenant_id=str(platform.environment.house_id),
            name="a service",
            scopes=[access_pb2.SCOPE_OPERATOR],
            methods=methods,
        )
    )
    return made


async def _rotate(
    client: Client, api_key_id: str, *, overlap: timedelta = timedelta(minutes=1)
) -> pb.RotateApiKeyResponse:
    request = _rotation(pb.RotateApiKeyRequest(api_key_id=api_key_id), overlap)
    rotated: pb.RotateApiKeyResponse = await client.api_keys.RotateApiKey(request)
    return rotated


def _rotation(request: Any, overlap: timedelta = timedelta(minutes=1)) -> Any:
    request.overlap.FromTimedelta(overlap)
    return request


async def _refusal(call: Awaitable[Any]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


async def _until_refused(key: Client) -> tuple[list[datetime], Refusal]:
    """Call until a call is refused; return when the others were answered, and the refusal."""
    answered: list[datetime] = []
    async with asyncio.timeout(5):
        while True:
            try:
                await key.customers.ListCustomers(pb.ListCustomersRequest(page_size=1))
            except grpc.aio.AioRpcError as error:
                return answered, refusal_of(error)
            answered.append(datetime.now(UTC))


async def _credential(platform: Platform, made: pb.CreateApiKeyResponse) -> Credential:
    secret_hash = platform.container.secrets().hash(made.secret)
    credential = await platform.container.credentials().find(secret_hash)
    assert credential is not None
    return credential


async def _last_use(client: Client, api_key_id: str) -> datetime | None:
    listed = await client.api_keys.ListApiKeys(pb.ListApiKeysRequest(page_size=200))
    (key,) = (one for one in listed.api_keys if one.id == api_key_id)
    return key.last_use_time.ToDatetime(UTC) if key.HasField("last_use_time") else None
