"""What happens to every call before and after its servicer.

The caller is authenticated, its scope checked, its deadline kept, and whatever goes wrong becomes
one shape of status. The servicer runs in a task of its own: when a deadline passes or a client
hangs up, grpc.aio cancels the call at any await, and a transaction must not end there.
"""

import asyncio
import logging
import re
from asyncio import FIRST_COMPLETED
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import suppress
from contextvars import Context as ContextVars
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from app.rpc.access import cost_class_of, is_public, scope_of
from app.rpc.caller import CALLER, LAST_EVENT_ID, Caller
from app.rpc.context import Context, Handler
from app.rpc.errors import (
    DETAILS_KEY,
    DeadlineExceeded,
    Internal,
    MalformedRequest,
    StreamEnded,
    code_of,
    status_of,
)
from app.rpc.failed_attempts import FailedAttempts
from app.rpc.peer import came_from_outside, client_address, is_front_door
from app.rpc.rate_limit import RateLimiter
from app.rpc.rest import RestForm, RestRequest
from app.rpc.signature import RequestSignatures
from app.rpc.stream import (
    LONGEST_STREAM_S,
    STOPPING,
    OpenStream,
    OpenStreams,
    StreamDeadline,
    farewell_of,
)
from app.rpc.trace_context import trace_id_of
from domain.errors import DomainError
from domain.ids import CallId
from domain.tenant.api_key import Scope
from domain.tenant.errors import (
    ApiKeyAddressRefused,
    ApiKeyExpired,
    ApiKeyInternalOnly,
    ApiKeyMethodRefused,
    ApiKeyMissing,
    ApiKeyRevoked,
    ApiKeyUnknown,
    OperatorOnly,
    ScopeMissing,
)
from domain.tenant.ip_range import IpAddress, is_in_any
from domain.tenant.rate_limit import CostClass
from ports.ids import IdSource
from ports.request import RequestIdMismatch
from ports.secrets import SecretSource
from ports.tenant import Credential, CredentialStore

DEFAULT_DEADLINE_S: Final = 5.0
STANDING_S: Final = 0.5
"""How often whoever reads a stream is asked for again: his key may have been revoked."""
SILENT_AT_MOST_S: Final = 30.0
OURS: Final = "reli."

_log = logging.getLogger("reli.rpc")
Metadata = Mapping[str, Any]
Address = Callable[[], IpAddress | None]
"""Looks from where a call comes: to be asked only where that matters."""

_CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_MAX_SECRET: Final = 200


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came with a call, read before anything is waited for.

    Once a call has been given up there is nothing left of it, and what goes on for it would bring
    the process down by asking: `ServicerContext.peer()` reads what grpcio has freed.

    Attributes:
        sent: the metadata, names and values as they came.
        peer: the other end of the connection, as gRPC writes it.
    """

    sent: Sequence[tuple[str, Any]]
    peer: str

    @classmethod
    def of(cls, context: Context) -> "Arrived":
        # Read once: with twenty headers it takes as long as all else that is done here.
        return cls(context.invocation_metadata(), context.peer())


class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps the methods of our own services; one side of a call may be a stream.

    Health and reflection pass as they are.
    """

    def __init__(
        self,
        *,
        credentials: CredentialStore,
        secrets: SecretSource,
        rate_limiter: RateLimiter,
        signatures: RequestSignatures,
        failed_attempts: FailedAttempts,
        ids: IdSource,
        remember_use: Callable[[Credential], None],
        front_doors: Collection[IpAddress],
    ) -> None:
        self._credentials = credentials
        self._remember_use = remember_use
        self._front_doors = front_doors
        self._secrets = secrets
        self._rate_limiter = rate_limiter
        self._signatures = signatures
        self._failed_attempts = failed_attempts
        self._ids = ids
        self._wrapped: dict[str, Handler] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._streams = OpenStreams()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method.removeprefix("/")
        if not method.startswith(OURS):
            return await continuation(handler_call_details)
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._wrap(method, handler)
            self._wrapped[method] = wrapped
        return wrapped

    @property
    def streams(self) -> int:
        """How many streams of answers are open."""
        return len(self._streams)

    def end_streams(self) -> None:
        """End every stream that can say so, before the server stops for good."""
        self._streams.stop()

    async def drain(self) -> None:
        """Wait for servicers whose calls were given up, and for what others left under way."""
        if self._running:
            await asyncio.wait(self._running)
        await self._rate_limiter.drain()
        await self._signatures.drain()

    def _wrap(self, method: str, handler: Handler) -> Handler:
        if handler.response_streaming:
            return self._wrap_stream_of_responses(method, handler)
        is_stream: bool = handler.request_streaming
        servicer: Any = handler.stream_unary if is_stream else handler.unary_unary
        read = _read_stream if is_stream else _read
        longest_s = LONGEST_STREAM_S if is_stream else DEFAULT_DEADLINE_S
        authenticate, admit = self._authenticator(method), self._gate(method, is_stream=False)

        async def call(content: Any, context: Context, arrived: Arrived) -> Any:
            metadata = await authenticate(arrived)
            await admit(metadata, None if is_stream else content, context, arrived)
            return await servicer(read(handler.request_deserializer, content), context)

        async def answer(content: Any, context: Context) -> Any:
            arrived, remaining = Arrived.of(context), context.time_remaining()
            seconds = longest_s if remaining is None else remaining
            try:
                return await self._protected(call(content, context, arrived), seconds)
            except DomainError as error:
                refusal = error
            except Exception as error:
                refusal = self._internal(method, error, arrived)
            return await _abort(context, refusal)

        # Without a deserializer of grpc's own, whose failure would reach the client as it is.
        make_handler = (
            grpc.stream_unary_rpc_method_handler
            if is_stream
            else grpc.unary_unary_rpc_method_handler
        )
        return make_handler(answer, response_serializer=handler.response_serializer)

    def _wrap_stream_of_responses(self, method: str, handler: Handler) -> Handler:
        servicer: Any = handler.unary_stream
        authenticate, admit = self._authenticator(method), self._gate(method, is_stream=True)
        farewell = farewell_of(method)

        async def answer(content: Any, context: Context) -> AsyncIterator[Any]:
            # Each step is a task of its own, as a call of one answer is; all are in one context, so
            # that the caller whom the first finds is known to the others.
            shared, arrived = copy_context(), Arrived.of(context)
            deadline = StreamDeadline(context.time_remaining(), is_live=farewell is not None)
            has_begun = False
            try:
                metadata = await self._protected(authenticate(arrived), deadline.left_s, shared)
                admission = admit(metadata, content, context, arrived)
                await self._protected(admission, deadline.left_s, shared)
                caller = shared.get(CALLER)
                stream = self._streams.enter(caller.tenant_id if caller else None)
                context.add_done_callback(lambda _: stream.leave())
                responses: AsyncIterator[Any] = servicer(
                    _read(handler.request_deserializer, content), context
                )
                look_again = partial(authenticate, arrived)
                async for response in self._watched(
                    responses, shared, stream, deadline, look_again
                ):
                    yield response
                    has_begun = True
                return
            except DomainError as error:
                refusal = error
            except Exception as error:
                refusal = self._internal(method, error, arrived)
            if farewell is not None and has_begun:
                yield farewell(refusal)
            else:
                await _abort(context, refusal)

        return grpc.unary_stream_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )

    async def _watched(
        self,
        responses: AsyncIterator[Any],
        shared: ContextVars,
        stream: OpenStream,
        deadline: StreamDeadline,
        look_again: Callable[[], Coroutine[Any, Any, object]],
    ) -> AsyncIterator[Any]:
        """Yield the responses until time is over, the caller may not read on, or the server stops.

        Raises why; what was asked for the next response goes on after that, but for a live stream,
        which only looks.
        """
        clock = asyncio.get_running_loop().time
        looked_at = clock()
        step = self._start(_next(responses), shared)
        try:
            while True:
                wait_s = min(deadline.left_s, looked_at + STANDING_S - clock())
                waiting = {step, stream.stopping} if deadline.is_live else {step}
                await asyncio.wait(waiting, timeout=max(wait_s, 0), return_when=FIRST_COMPLETED)
                if clock() - looked_at >= STANDING_S:
                    await self._protected(look_again(), max(deadline.left_s, STANDING_S))
                    looked_at = clock()
                if step.done():
                    response = step.result()
                    if response is None:
                        return
                    yield response
                    step = self._start(_next(responses), shared)
                    continue
                if deadline.is_live and stream.stopping.done():
                    raise StreamEnded(STOPPING)
                deadline.require_time()
        finally:
            if deadline.is_live:
                step.cancel()
                await asyncio.wait([step])

    def _authenticator(self, method: str) -> Callable[[Arrived], Coroutine[Any, Any, Metadata]]:
        """Return what makes the caller of a method known, or refuses to, and tells what he sent."""
        scope = None if is_public(method) else scope_of(method)

        async def authenticate(arrived: Arrived) -> Metadata:
            metadata = dict(arrived.sent)
            if scope is not None:
                CALLER.set(await self._caller(method, scope, metadata, arrived))
            return metadata

        return authenticate

    def _gate(
        self, method: str, *, is_stream: bool
    ) -> Callable[[Metadata, bytes | None, Context, Arrived], Coroutine[Any, Any, None]]:
        """Return what lets a known caller in: not too often, signed, and with nothing ignored.

        It takes the metadata and the message as they came, or nothing of a stream of messages;
        `is_stream` says whether the answer is one.
        """
        form = RestForm.of(method)
        cost_class = None if is_public(method) else cost_class_of(method)

        async def admit(
            metadata: Metadata, content: bytes | None, context: Context, arrived: Arrived
        ) -> None:
            at_front_door = partial(is_front_door, arrived.peer, self._front_doors)
            request = RestRequest.of(metadata, at_front_door)
            if cost_class is not None:
                await self._limit(
                    context, cost_class, at_once=request is not None and not is_stream
                )
                derived, body = _signed(request, method, content)
                await self._signatures.require(CALLER.get().tenant_id, metadata, derived, body)
            if request is not None:
                form.require_understood(request)

        return admit

    async def _limit(self, context: Context, cost_class: CostClass, *, at_once: bool) -> None:
        """Raise `RateLimited` for who calls too often, and tell him what is left.

        gRPC has that behind the answer; over REST only what goes before it arrives. A stream whose
        headers have gone could not be refused any more with a status of its own.
        """
        caller = CALLER.get()
        refusal, headers = await self._rate_limiter.admit(
            caller.tenant_id, caller.api_key_id, cost_class
        )
        if refusal is None and at_once:
            with suppress(grpc.aio.InternalError):  # nobody listens any more
                await context.send_initial_metadata(headers)
        else:
            context.set_trailing_metadata(headers)
        if refusal is not None:
            raise refusal

    async def _caller(
        self,
        method: str,
        scope: Scope,
        metadata: Metadata,
        arrived: Arrived,
    ) -> Caller:
        address = partial(client_address, arrived.peer, metadata, self._front_doors)
        credential = await self._credential(metadata.get("authorization", ""), address)
        if credential.allowed_ip_ranges:
            _require_address(credential, address())
        if credential.methods:
            _require_service(credential, method, metadata)
        self._remember_use(credential)
        if scope not in credential.scopes:
            if scope is Scope.OPERATOR:
                raise OperatorOnly("only operator keys may call this method", method=method)
            raise ScopeMissing(f"the key needs the scope {scope}", scope=scope, method=method)
        return Caller(
            tenant_id=credential.tenant_id,
            api_key_id=credential.api_key_id,
            scopes=credential.scopes,
            rpc=method,
            idempotency_key=_idempotency_key(arrived.sent),
            correlation_id=_correlation_id(metadata) or str(self._ids.new(CallId)),
            last_event_id=metadata.get(LAST_EVENT_ID, ""),
        )

    async def _credential(self, authorization: str, address: Address) -> Credential:
        kind, _, secret = authorization.partition(" ")
        if kind.lower() != "bearer" or not secret:
            raise ApiKeyMissing("send the API key as Authorization: Bearer …")
        if len(secret) > _MAX_SECRET:
            raise ApiKeyUnknown("the API key is none of ours")
        secret_hash = self._secrets.hash(secret)
        is_known = self._failed_attempts.is_good(secret_hash)
        if not is_known:
            self._failed_attempts.require_patience(str(address()))
        credential = await self._credentials.find(secret_hash)
        if credential is None:
            self._failed_attempts.note_failure(str(address()))
            raise ApiKeyUnknown("the API key is none of ours")
        if credential.is_revoked:
            raise ApiKeyRevoked("the API key was revoked", api_key_id=credential.api_key_id)
        if credential.is_expired:
            raise ApiKeyExpired("the API key has expired", api_key_id=credential.api_key_id)
        credential.tenant_state.require_active()
        if not is_known:
            self._failed_attempts.note_success(secret_hash)
        return credential

    async def _protected(
        self, call: Coroutine[Any, Any, Any], seconds: float, context: ContextVars | None = None
    ) -> Any:
        """Wait for the call for as long as its deadline allows; it goes on after that."""
        task = self._start(call, context)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise DeadlineExceeded("the deadline passed; ask again with the same request id")
        return task.result()

    def _start(
        self, call: Coroutine[Any, Any, Any], context: ContextVars | None
    ) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(call, context=context)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return task

    def _internal(self, method: str, error: Exception, arrived: Arrived) -> DomainError:
        incident = str(self._ids.new(CallId))
        metadata = dict(arrived.sent)
        _log.error(
            "%s failed, incident %s, correlation id %s, trace %s",
            method,
            incident,
            _correlation_id(metadata) or "unnamed",
            trace_id_of(metadata) or "unnamed",
            exc_info=error,
        )
        return Internal("something went wrong on our side", incident=incident)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of, so that a call given up leaves no warning behind


def _require_address(credential: Credential, address: IpAddress | None) -> None:
    if address is None or not is_in_any(address, credential.allowed_ip_ranges):
        raise ApiKeyAddressRefused(
            "the API key may not be used from this address",
            api_key_id=credential.api_key_id,
            address=address or "",
        )


def _require_service(credential: Credential, method: str, metadata: Metadata) -> None:
    """Let a service token call its own methods, and nothing through the partners' front door."""
    if came_from_outside(metadata):
        raise ApiKeyInternalOnly(
            "a service token is good inside only", api_key_id=credential.api_key_id
        )
    if method not in credential.methods:
        raise ApiKeyMethodRefused("the method is none of the service token's", method=method)


def _idempotency_key(sent: Sequence[tuple[str, Any]]) -> str:
    """Return the header of that name, or an empty text; of two that differ neither is meant."""
    keys = {value for name, value in sent if name == "idempotency-key"}
    if len(keys) > 1:
        raise RequestIdMismatch("there are two Idempotency-Key headers", field="request_id")
    return keys.pop() if keys else ""


def _correlation_id(metadata: Metadata) -> str:
    """Return by what Envoy, its log and the caller know the call; empty without a valid one."""
    correlation_id: str = metadata.get("x-request-id", "")
    return correlation_id if _CORRELATION_ID.fullmatch(correlation_id) else ""


def _signed(
    request: RestRequest | None, method: str, content: bytes | None
) -> tuple[Mapping[str, str], bytes | None]:
    """Return what a signature covers beside headers: of a call over gRPC its path and message."""
    if request is None:
        return {"@method": "POST", "@path": f"/{method}"}, content
    derived = {
        "@method": request.method,
        "@authority": request.authority.lower(),
        "@path": request.path,
        "@query": f"?{request.query}",
    }
    return derived, request.body


async def _next(responses: AsyncIterator[Any]) -> Any:
    return await anext(responses, None)


def _read(deserialize: Callable[[bytes], Any], content: bytes) -> Any:
    try:
        return deserialize(content)
    except DecodeError:
        raise MalformedRequest("the bytes are not the message that this method takes") from None


async def _read_stream(
    deserialize: Callable[[bytes], Any], contents: AsyncIterator[bytes]
) -> AsyncIterator[Any]:
    """Read messages until the client has no more, waiting for each as long as one may wait."""
    while True:
        try:
            async with asyncio.timeout(SILENT_AT_MOST_S):
                content = await anext(contents, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"nothing came for {SILENT_AT_MOST_S:.0f} s; send the stream again"
            ) from None
        if content is None:
            return
        yield _read(deserialize, content)


async def _abort(context: Context, error: DomainError) -> Any:
    """End the call; `context.abort` raises."""
    return await context.abort(
        code_of(error),
        error.message,
        trailing_metadata=(
            *context.trailing_metadata(),
            (DETAILS_KEY, status_of(error).SerializeToString()),
        ),
    )
