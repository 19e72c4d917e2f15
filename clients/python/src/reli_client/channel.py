"""The channel: gRPC's own, which sends the key, signs, repeats calls, and raises refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message

from reli_client.refusal import Refusal
from reli_client.retries import Retries, is_repeatable
from reli_client.signing import Signer

Metadatum = tuple[str, str | bytes]
Metadata = Sequence[Metadatum]
RequestSerializer = Callable[[Any], bytes]
ResponseDeserializer = Callable[[bytes], Any]

_OPTIONS: Final = [
    # Finds out that a connection is dead also where nobody says so.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def connect(
    url: str,
    api_key: str,
    *,
    signer: Signer | None = None,
    root_certificates: bytes | None = None,
    timeout_s: float = 5.0,
    attempts: int = 4,
) -> grpc.Channel:
    """Return a channel for the stubs: `QuoteServiceStub(connect(…))`.

    It connects at the first call, reconnects by itself, and may be used by many threads; have one
    for as long as the process lives. Its calls raise `Refusal` and nothing else of gRPC's.

    Args:
        url: "https://host:port"; "http://host:port" sends everything, the key too, in the open.
        api_key: the secret of an API key.
        signer: signs every call; streams of requests cannot be signed.
        root_certificates: in PEM, whom to trust; else those that gRPC trusts.
        timeout_s: how long a call takes at most, all attempts and pauses together, unless it says
            `timeout` itself. A stream lasts for as long as it is not told otherwise.
        attempts: how often a call is sent at most. Only one that is safe to repeat is.

    Raises:
        ValueError: the URL is not of that form, or there is no key.
    """
    parts = urlsplit(url)
    is_bare = url.rstrip("/") == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_bare:
        raise ValueError(f"{url!r} is not of the form https://host:port")
    if not api_key:
        raise ValueError("an API key is needed")
    if parts.scheme == "https":
        trust = grpc.ssl_channel_credentials(root_certificates=root_certificates)
        channel = grpc.secure_channel(_target(parts.hostname, parts.port or 443), trust, _OPTIONS)
    else:
        channel = grpc.insecure_channel(_target(parts.hostname, parts.port or 80), _OPTIONS)
    return ReliChannel(
        channel, api_key, signer=signer, timeout_s=timeout_s, retries=Retries(attempts=attempts)
    )


def _target(host: str, port: int) -> str:
    return f"dns:///[{host}]:{port}" if ":" in host else f"dns:///{host}:{port}"


class ReliChannel(grpc.Channel):
    """What `connect` returns, over any channel of gRPC's.

    Requests are serialized here, once: what is signed is what goes out.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        api_key: str,
        *,
        signer: Signer | None,
        timeout_s: float,
        retries: Retries,
    ) -> None:
        self._channel = channel
        self._caller = _Caller(api_key, signer)
        self._timeout_s = timeout_s
        self._retries = retries

    # The generated stubs tell in `registered` something that is gRPC's own business.

    def unary_unary(
        self,
        method: str,
        request_serializer: RequestSerializer | None = None,
        response_deserializer: ResponseDeserializer | None = None,
        **registered: Any,
    ) -> Any:
        call = self._channel.unary_unary(method, None, response_deserializer, **registered)
        return _UnaryCall(call, method, self._caller, self._timeout_s, self._retries)

    def unary_stream(
        self,
        method: str,
        request_serializer: RequestSerializer | None = None,
        response_deserializer: ResponseDeserializer | None = None,
        **registered: Any,
    ) -> Any:
        call = self._channel.unary_stream(method, None, response_deserializer, **registered)

        def send(
            request: Message,
            timeout: float | None = None,
            metadata: Metadata | None = None,
            **options: Any,
        ) -> AnswerStream:
            message = request.SerializeToString()
            said = self._caller.metadata(method, message, metadata)
            return AnswerStream(call(message, timeout=timeout, metadata=said, **options))

        return send

    def stream_unary(
        self,
        method: str,
        request_serializer: RequestSerializer | None = None,
        response_deserializer: ResponseDeserializer | None = None,
        **registered: Any,
    ) -> Any:
        call = self._channel.stream_unary(
            method, request_serializer, response_deserializer, **registered
        )

        def send(
            requests: Iterator[Message],
            timeout: float | None = None,
            metadata: Metadata | None = None,
            **options: Any,
        ) -> Any:
            said = self._caller.metadata(method, None, metadata)
            try:
                return call(requests, timeout=timeout, metadata=said, **options)
            except grpc.RpcError as error:
                raise Refusal.of_error(error) from error

        return send

    def stream_stream(
        self,
        method: str,
        request_serializer: RequestSerializer | None = None,
        response_deserializer: ResponseDeserializer | None = None,
        **registered: Any,
    ) -> Any:
        call = self._channel.stream_stream(
            method, request_serializer, response_deserializer, **registered
        )

        def send(
            requests: Iterator[Message],
            timeout: float | None = None,
            metadata: Metadata | None = None,
            **options: Any,
        ) -> AnswerStream:
            said = self._caller.metadata(method, None, metadata)
            return AnswerStream(call(requests, timeout=timeout, metadata=said, **options))

        return send

    def subscribe(
        self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False
    ) -> None:
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class AnswerStream:
    """The answers of a server's stream; whatever else gRPC's own call has, such as `cancel`."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise Refusal.of_error(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _Caller:
    """Who calls, and how that is proven."""

    def __init__(self, api_key: str, signer: Signer | None) -> None:
        self._authorization = f"Bearer {api_key}"
        self._signer = signer

    def metadata(
        self, method: str, message: bytes | None, given: Metadata | None
    ) -> tuple[Metadatum, ...]:
        """Return what goes out with one attempt, whose message is None if it is a stream."""
        said: list[Metadatum] = [*(given or ()), ("authorization", self._authorization)]
        if self._signer is not None and message is not None:
            signed = self._signer.sign_call(method, message, _idempotency_key(given))
            said += signed.items()
        return tuple(said)


class _UnaryCall:
    """A call with one request and one answer, as the stubs have it."""

    def __init__(
        self, call: Any, method: str, caller: _Caller, timeout_s: float, retries: Retries
    ) -> None:
        self._call = call
        self._method = method
        self._caller = caller
        self._timeout_s = timeout_s
        self._retries = retries

    def __call__(self, *args: Any, **options: Any) -> Any:
        answer, _ = self.with_call(*args, **options)
        return answer

    def with_call(
        self,
        request: Message,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **options: Any,
    ) -> tuple[Any, grpc.Call]:
        """Return the answer, and the call that brought it."""
        message = request.SerializeToString()

        def attempt(left_s: float) -> tuple[Any, grpc.Call]:
            said = self._caller.metadata(self._method, message, metadata)
            try:
                answered: tuple[Any, grpc.Call] = self._call.with_call(
                    message, timeout=left_s, metadata=said, **options
                )
            except grpc.RpcError as error:
                raise Refusal.of_error(error) from error
            return answered

        return self._retries.call(
            attempt,
            timeout_s=self._timeout_s if timeout is None else timeout,
            is_repeatable=is_repeatable(request, _idempotency_key(metadata)),
        )


def _idempotency_key(metadata: Metadata | None) -> str:
    values = [value for name, value in metadata or () if name == "idempotency-key"]
    return "".join(one.decode() if isinstance(one, bytes) else one for one in values[:1])
