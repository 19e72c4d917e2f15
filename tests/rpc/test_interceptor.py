"""What the interceptor does with calls that go wrong, on a real server with servicers that do."""

import asyncio
import gc
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import grpc
import pytest

from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from adapters.system.secrets import SystemSecrets
from app.rpc import interceptor as interceptor_module
from app.rpc.caller import current_caller
from app.rpc.failed_attempts import FailedAttempts
from app.rpc.interceptor import Interceptor
from app.rpc.server import make_server
from domain.ids import ApiKeyId, CallId, TenantId
from domain.tenant.api_key import TENANT_SCOPES
from domain.tenant.ip_range import IpAddress
from domain.tenant.tenant import TenantState
from ports.tenant import Credential, CredentialStore
from reli.trade.v1 import trade_service_pb2 as pb
from reli.trade.v1 import trade_service_pb2_grpc as trade_grpc
from tests.support.builders import an_id
from tests.support.platform import refusal_of
from tests.support.rate_limit import a_lenient_limiter, no_signatures

SECRET = "postgresql://owner:hunter2@db/reli"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
KEY = (("authorization", "Bearer key"),)


class AnyKey(CredentialStore):
    """Every secret is the key of one tenant; while `failure` is set, nobody can tell."""

    failure: Exception | None = None

    async def find(self, secret_hash: bytes) -> Credential | None:
        if self.failure is not None:
            raise self.failure
        return Credential(
            api_key_id=an_id(ApiKeyId),
            tenant_id=an_id(TenantId),
            tenant_state=TenantState.ACTIVE,
            scopes=frozenset(TENANT_SCOPES),
            is_revoked=False,
        )


Behavior = Callable[[], Awaitable[None]]


class TradeServicer(trade_grpc.TradeServiceServicer):
    """Does what the test says before it answers, and counts how often it got to the end."""

    def __init__(self) -> None:
        self.behavior: Behavior | None = None
        self.began = asyncio.Event()
        self.given_up = asyncio.Event()
        self.finished = asyncio.Event()
        self.correlation_ids: list[str] = []

    async def GetTrade(self, request: pb.GetTradeRequest, context: Any) -> pb.GetTradeResponse:
        self.correlation_ids.append(current_caller().correlation_id)
        context.add_done_callback(lambda _: self.given_up.set())
        self.began.set()
        if self.behavior is not None:
            await self.behavior()
        self.finished.set()
        return pb.GetTradeResponse()


@dataclass
class Served:
    """A server with one servicer, and a client's hand on it."""

    stub: Any
    servicer: TradeServicer
    interceptor: Interceptor
    keys: AnyKey = field(default_factory=AnyKey)

    async def call(self, **options: Any) -> None:
        options.setdefault("metadata", KEY)
        # Nothing here takes long; a call that nobody ends must fail the test and not hold it up.
        async with asyncio.timeout(5):
            await self.stub.GetTrade(pb.GetTradeRequest(), **options)

    async def refused(self, **options: Any) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(**options)
        return caught.value


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(front_doors=[ip_address("127.0.0.1")]) as running:
        yield running


@asynccontextmanager
async def serving(front_doors: Collection[IpAddress]) -> AsyncIterator[Served]:
    keys, servicer = AnyKey(), TradeServicer()
    interceptor = Interceptor(
        credentials=keys,
        secrets=SystemSecrets(),
        rate_limiter=a_lenient_limiter(),
        signatures=no_signatures(),
        failed_attempts=FailedAttempts(SystemClock(), burst=50),
        ids=RandomIds(SystemClock()),
        remember_use=lambda _: None,
        front_doors=front_doors,
    )
    server = make_server(interceptor, with_reflection=False)
    trade_grpc.add_TradeServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(trade_grpc.TradeServiceStub(channel), servicer, interceptor, keys)
    await server.stop(0)
    await asyncio.wait_for(interceptor.drain(), 5)


def fails_with(error: BaseException) -> Behavior:
    async def fail() -> None:
        raise error

    return fail


def waits_for(event: asyncio.Event) -> Behavior:
    async def wait() -> None:
        await event.wait()

    return wait


async def takes_a_moment() -> None:
    await asyncio.to_thread(int)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        AssertionError(SECRET),
        KeyError(SECRET),
        TimeoutError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_bug_of_ours_shows_an_incident_and_nothing_of_itself(
    served: Served, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    served.servicer.behavior = fails_with(error)

    failure = await served.refused()

    refusal = refusal_of(failure)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert refusal.retry == "same_request"
    assert CallId.parse(refusal.metadata["incident"]).is_time_ordered
    assert "hunter2" not in f"{failure} {failure.trailing_metadata()!r} {refusal}"
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert refusal.metadata["incident"] in record.getMessage()
    assert record.exc_info is not None and record.exc_info[1] is error


@pytest.mark.parametrize(
    ("trace_parent", "logged"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", TRACE_ID),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", TRACE_ID),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "unnamed"),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", "unnamed"),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "unnamed"),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "unnamed"),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", "unnamed"),
        (SECRET, "unnamed"),
    ],
)
async def test_a_bug_of_ours_is_found_by_the_callers_trace(
    served: Served, caplog: pytest.LogCaptureFixture, trace_parent: str, logged: str
) -> None:
    served.servicer.behavior = fails_with(KeyError())
    sent = (*KEY, ("traceparent", trace_parent), ("x-request-id", "request-7"))

    await served.refused(metadata=sent)

    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().endswith(f"correlation id request-7, trace {logged}")


async def test_a_rest_request_that_the_edge_does_not_show_is_not_served(served: Served) -> None:
    refused = await served.refused(metadata=(*KEY, ("x-envoy-original-path", "/v1/trades/a")))

    assert refusal_of(refused).reason == "INTERNAL"
    assert not served.servicer.began.is_set()


async def test_what_was_sent_over_rest_is_believed_of_a_front_door_alone() -> None:
    """Who reaches a server past Envoy could else sign one request and send another."""
    claims = (
        ("x-envoy-original-method", "GET"),
        ("x-envoy-original-path", "/v1/trades/a"),
        ("x-reli-authority", "api.reli.dev"),
        ("x-reli-body-bin", b""),
    )
    async with serving(front_doors=[ip_address("127.0.0.1")]) as served:
        await served.call(metadata=(*KEY, *claims))
    async with serving(front_doors=[ip_address("192.0.2.1")]) as served:
        refused = await served.refused(metadata=(*KEY, *claims))

        assert refusal_of(refused).reason == "MALFORMED_REQUEST"
        assert not served.servicer.began.is_set()
        await served.call()


async def test_a_failing_look_up_of_the_key_shows_nothing_either(served: Served) -> None:
    served.keys.failure = RuntimeError(SECRET)

    failure = await served.refused()

    assert refusal_of(failure).reason == "INTERNAL"
    assert "hunter2" not in f"{failure} {failure.trailing_metadata()!r}"
    assert not served.servicer.began.is_set()


async def test_a_servicer_is_given_the_default_deadline_by_who_brings_none(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptor_module, "DEFAULT_DEADLINE_S", 0)
    release = asyncio.Event()
    served.servicer.behavior = waits_for(release)

    refusal = refusal_of(await served.refused())

    assert (refusal.code, refusal.reason, refusal.retry) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "same_request",
    )
    assert not served.servicer.finished.is_set()
    release.set()
    await asyncio.wait_for(served.servicer.finished.wait(), 5)


async def test_a_client_that_brings_a_deadline_is_not_given_the_default_one(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptor_module, "DEFAULT_DEADLINE_S", 0)
    served.servicer.behavior = takes_a_moment

    await served.call(timeout=10)

    assert served.servicer.finished.is_set()


async def test_the_servicer_of_a_call_out_of_time_still_finishes(served: Served) -> None:
    release = asyncio.Event()
    served.servicer.behavior = waits_for(release)

    failure = await served.refused(timeout=0.1)

    assert failure.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(served.servicer.given_up.wait(), 5)
    release.set()
    await asyncio.wait_for(served.servicer.finished.wait(), 5)


async def test_the_servicer_of_a_canceled_call_still_finishes(served: Served) -> None:
    release = asyncio.Event()
    served.servicer.behavior = waits_for(release)
    call = served.stub.GetTrade(pb.GetTradeRequest(), metadata=KEY)
    await asyncio.wait_for(served.servicer.began.wait(), 5)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(served.servicer.given_up.wait(), 5)
    drained = asyncio.ensure_future(served.interceptor.drain())
    served.servicer.behavior = None
    await served.call()
    assert not drained.done(), "draining waits for the servicer that was given up"
    served.servicer.finished.clear()
    release.set()
    await asyncio.wait_for(drained, 5)
    assert served.servicer.finished.is_set()


async def test_a_servicer_that_fails_after_its_call_was_given_up_leaves_no_warning(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()

    async def fail_late() -> None:
        await release.wait()
        raise RuntimeError(SECRET)

    served.servicer.behavior = fail_late
    await served.refused(timeout=0.1)

    release.set()
    await asyncio.wait_for(served.interceptor.drain(), 5)
    gc.collect()

    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize("given", ["a", "x" * 64, "01890a5d-ac96-774b-bcce", "A.b_c:9"])
async def test_a_well_formed_correlation_id_is_kept(served: Served, given: str) -> None:
    await served.call(metadata=(*KEY, ("x-request-id", given)))

    assert served.servicer.correlation_ids == [given]


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "a/b", "a;b", "{}"])
async def test_any_other_is_replaced(served: Served, given: str | None) -> None:
    header = () if given is None else (("x-request-id", given),)

    await served.call(metadata=(*KEY, *header))
    await served.call(metadata=(*KEY, *header))

    first, second = served.servicer.correlation_ids
    assert re.fullmatch(r"call_[0-9a-z]{26}", first)
    assert first != second
