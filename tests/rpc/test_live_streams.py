"""How streams of answers end, on a real server with a servicer that does what the test says."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message

from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from adapters.system.secrets import SystemSecrets
from app.rpc import stream as stream_module
from app.rpc.failed_attempts import FailedAttempts
from app.rpc.interceptor import Interceptor
from app.rpc.server import make_server
from domain.ids import ApiKeyId, TenantId
from domain.quote.errors import NoLiquidity
from domain.tenant.api_key import TENANT_SCOPES
from domain.tenant.tenant import TenantState
from ports.tenant import Credential, CredentialStore
from reli.ledger.v1 import checkpoint_service_pb2 as chain_pb
from reli.ledger.v1 import checkpoint_service_pb2_grpc as chain_grpc
from reli.quote.v1 import quote_service_pb2 as pb
from reli.quote.v1 import quote_service_pb2_grpc as quote_grpc
from tests.support.builders import an_id
from tests.support.platform import Refusal, refusal_in, refusal_of
from tests.support.rate_limit import a_lenient_limiter, no_signatures
from tests.support.stage import until

SECRET: Final = "postgresql://owner:hunter2@db/reli"
WITHIN_S: Final = 5.0
"""Nothing here takes long; a stream that nobody ends must fail the test and not hold it up."""

Behavior = Callable[[], AsyncIterator[pb.StreamQuotesResponse]]


@dataclass
class Keys(CredentialStore):
    """Every secret is the key of a tenant of its own."""

    tenants: dict[bytes, TenantId] = field(default_factory=dict)
    is_revoked: bool = False
    state: TenantState = TenantState.ACTIVE

    async def find(self, secret_hash: bytes) -> Credential | None:
        tenant_id = self.tenants.setdefault(secret_hash, an_id(TenantId))
        return Credential(
            api_key_id=an_id(ApiKeyId),
            tenant_id=tenant_id,
            tenant_state=self.state,
            scopes=frozenset(TENANT_SCOPES),
            is_revoked=self.is_revoked,
        )


def a_sign_of_life() -> pb.StreamQuotesResponse:
    return pb.StreamQuotesResponse(heartbeat=pb.QuoteHeartbeat())


class QuoteServicer(quote_grpc.QuoteServiceServicer):
    """Gives one sign of life and then none, unless told otherwise."""

    def __init__(self) -> None:
        self.behavior: Behavior = self.one_and_then_nothing
        self.is_over = asyncio.Event()

    async def one_and_then_nothing(self) -> AsyncIterator[pb.StreamQuotesResponse]:
        yield a_sign_of_life()
        await self.is_over.wait()

    async def StreamQuotes(
        self, request: pb.StreamQuotesRequest, context: Any
    ) -> AsyncIterator[pb.StreamQuotesResponse]:
        async for response in self.behavior():
            yield response


class CheckpointServicer(chain_grpc.CheckpointServiceServicer):
    """An export without end: a stream that has no room for one in its messages."""

    async def ExportBooks(
        self, request: chain_pb.ExportBooksRequest, context: Any
    ) -> AsyncIterator[chain_pb.ExportBooksResponse]:
        while True:
            yield chain_pb.ExportBooksResponse(chunk=b"line\n")
            await asyncio.sleep(0.01)


@dataclass
class Served:
    """A server, and a client's hand on it."""

    channel: grpc.aio.Channel
    servicer: QuoteServicer
    interceptor: Interceptor
    keys: Keys

    def open(self, key: str = "one", **options: Any) -> Any:
        stub: Any = quote_grpc.QuoteServiceStub(self.channel)
        metadata = (("authorization", f"Bearer {key}"),)
        return stub.StreamQuotes(pb.StreamQuotesRequest(), metadata=metadata, **options)

    async def opened(self, key: str = "one") -> Any:
        """Open a stream and wait for its first message."""
        stream = self.open(key)
        async with asyncio.timeout(WITHIN_S):
            assert (await stream.read()).HasField("heartbeat")
        return stream

    def nobody_but(self, number: int) -> Callable[[], Awaitable[bool]]:
        """Return what says whether so many streams are open."""

        async def look() -> bool:
            return self.interceptor.streams == number

        return look

    async def refused(self, key: str = "one") -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(WITHIN_S):
                await self.open(key).read()
        return refusal_of(caught.value)


async def iter_of(stream: Any) -> AsyncIterator[Any]:
    """Yield what is left of a stream that was read from."""
    while isinstance(response := await stream.read(), Message):
        yield response


async def end_of(stream: Any) -> Refusal:
    """Return what the last message of a stream says, which then ends well."""
    async with asyncio.timeout(WITHIN_S):
        rest = [response async for response in iter_of(stream)]
        assert await stream.code() is grpc.StatusCode.OK
    assert rest[-1].HasField("end")
    assert not any(response.HasField("end") for response in rest[:-1])
    return refusal_in(rest[-1].end)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    keys, servicer = Keys(), QuoteServicer()
    interceptor = Interceptor(
        credentials=keys,
        secrets=SystemSecrets(),
        rate_limiter=a_lenient_limiter(),
        signatures=no_signatures(),
        failed_attempts=FailedAttempts(SystemClock(), burst=50),
        ids=RandomIds(SystemClock()),
        remember_use=lambda _: None,
        front_doors=(),
    )
    server = make_server(interceptor, with_reflection=False)
    quote_grpc.add_QuoteServiceServicer_to_server(servicer, server)
    chain_grpc.add_CheckpointServiceServicer_to_server(CheckpointServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(channel, servicer, interceptor, keys)
    await server.stop(0)
    servicer.is_over.set()
    await asyncio.wait_for(interceptor.drain(), WITHIN_S)


async def test_a_refusal_before_the_first_message_is_a_refusal_of_the_call(served: Served) -> None:
    async def refuse() -> AsyncIterator[pb.StreamQuotesResponse]:
        raise NoLiquidity("nobody answers")
        yield

    served.servicer.behavior = refuse

    assert (await served.refused()).reason == "NO_LIQUIDITY"


async def test_a_refusal_after_it_is_the_last_message(served: Served) -> None:
    async def refuse_later() -> AsyncIterator[pb.StreamQuotesResponse]:
        yield a_sign_of_life()
        raise NoLiquidity("nobody answers", instrument="BTC-NGN")

    served.servicer.behavior = refuse_later

    end = await end_of(served.open())

    assert (end.reason, end.retry) == ("NO_LIQUIDITY", "same_request")
    assert end.metadata["instrument"] == "BTC-NGN"


async def test_a_bug_of_ours_shows_an_incident_there_and_nothing_of_itself(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_down() -> AsyncIterator[pb.StreamQuotesResponse]:
        yield a_sign_of_life()
        raise RuntimeError(SECRET)

    served.servicer.behavior = break_down

    end = await end_of(served.open())

    assert end.reason == "INTERNAL"
    assert "hunter2" not in str(end)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert end.metadata["incident"] in record.getMessage()


async def test_a_revoked_key_ends_its_streams_within_a_second(served: Served) -> None:
    stream = await served.opened()

    served.keys.is_revoked = True

    async with asyncio.timeout(1):
        assert (await end_of(stream)).reason == "API_KEY_REVOKED"


async def test_a_suspended_tenant_hears_no_more_however_much_there_is_to_say(
    served: Served,
) -> None:
    async def go_on() -> AsyncIterator[pb.StreamQuotesResponse]:
        while not served.servicer.is_over.is_set():
            yield a_sign_of_life()
            await asyncio.sleep(0.01)

    served.servicer.behavior = go_on
    stream = await served.opened()

    served.keys.state = TenantState.SUSPENDED

    async with asyncio.timeout(1):
        assert (await end_of(stream)).reason == "TENANT_SUSPENDED"


async def test_a_revoked_key_ends_an_export_too(served: Served) -> None:
    stub: Any = chain_grpc.CheckpointServiceStub(served.channel)
    metadata = (("authorization", "Bearer one"),)
    export = stub.ExportBooks(chain_pb.ExportBooksRequest(), metadata=metadata)
    await export.read()

    served.keys.is_revoked = True

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(_read_on(export), 2)
    assert refusal_of(caught.value).reason == "API_KEY_REVOKED"


async def test_a_server_that_stops_says_so_in_every_stream(served: Served) -> None:
    streams = [await served.opened() for _ in range(3)]

    served.interceptor.end_streams()

    for stream in streams:
        end = await end_of(stream)
        assert (end.reason, end.retry) == ("STREAM_ENDED", "same_request")
    assert (await served.refused()).reason == "STREAM_ENDED", "nor is a new one begun"


async def test_a_stream_lasts_for_so_long_and_no_longer(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "LONGEST_LIVE_STREAM_S", 0.3)

    assert (await end_of(served.open(timeout=60))).reason == "STREAM_ENDED"


async def test_a_tenant_has_so_many_streams_and_another_one_its_own(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "STREAMS_OF_A_TENANT", 2)
    first, _second = [await served.opened() for _ in range(2)]

    refused = await served.refused()
    other = await served.opened("two")
    first.cancel()
    await until(served.nobody_but(2), "its place is left")
    await served.opened()

    assert (refused.reason, refused.retry) == ("TOO_MANY_STREAMS", "later")
    assert refused.metadata["limit"] == "2"
    assert not other.done()


async def test_a_server_has_so_many_streams(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "STREAMS", 2)
    streams = [await served.opened(key) for key in ("one", "two")]

    assert (await served.refused("three")).reason == "TOO_MANY_STREAMS"
    assert not any(stream.done() for stream in streams)


async def test_a_stream_that_ended_of_itself_leaves_its_place(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "STREAMS_OF_A_TENANT", 1)

    async def be_brief() -> AsyncIterator[pb.StreamQuotesResponse]:
        yield a_sign_of_life()

    served.servicer.behavior = be_brief
    for _ in range(3):
        assert len([response async for response in iter_of(served.open())]) == 1
        await until(served.nobody_but(0), "its place is left")


async def test_who_does_not_read_is_not_written_for(served: Served) -> None:
    made = 0

    async def write_on() -> AsyncIterator[pb.StreamQuotesResponse]:
        nonlocal made
        while True:
            made += 1
            response = a_sign_of_life()
            response.no_price.message = "x" * 10_000
            yield response

    served.servicer.behavior = write_on
    stream = served.open()
    await stream.read()
    made_before = -1
    async with asyncio.timeout(WITHIN_S):
        while made_before != made:
            made_before = made
            await asyncio.sleep(0.2)

    assert made * 10_000 < 32 << 20, "what waits for him is bounded by windows and sockets"
    stream.cancel()


async def test_a_stream_that_its_client_left_leaves_no_warning(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    stream = await served.opened()
    stream.cancel()
    await until(served.nobody_but(0), "its place is left")
    gc.collect()

    assert "never retrieved" not in caplog.text


async def _read_on(stream: Any) -> None:
    async for _ in iter_of(stream):
        pass
