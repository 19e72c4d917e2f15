"""A tenant's log of events, read on and on: docs/events.md."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, Self

import grpc

from reli.event.v1.event_pb2 import Event
from reli.event.v1.event_service_pb2 import StreamEventsRequest, StreamEventsResponse
from reli.event.v1.event_service_pb2_grpc import EventServiceStub
from reli_client.refusal import Refusal, Retry
from reli_client.retries import Retries

SILENCE_S: Final = 15.0
"""The platform says something every 5 s; who hears nothing for so long has a dead connection."""


class EventGap(RuntimeError):
    """The log skipped a sequence, which it never does: something was lost on the way."""


class EventStream:
    """Events in their order, each once, over as many streams as it takes.

    A stream that was cut, that says nothing, or that the platform ends for no fault of the caller's
    is opened again from where it was, after a growing pause, for as long as it takes. Iterating
    raises `Refusal` for what opening again cannot mend, such as API_KEY_REVOKED, and `EventGap`. It
    ends after `until`, or after `close`, which another thread may call.

    Args:
        channel: from `connect`.
        after: the last sequence that was dealt with, 0 for all from the first event on. Without it,
            what happens from now on.
        until: the last sequence wanted.
        types: only these, such as "trade.settled" or "trade.*".
        silence_s: how long to wait for a message before the stream is given up.
        retries: how long the pauses are; how many there may be it does not say.
    """

    position: int | None
    """How far the log was read: `after` of whoever goes on. None until the first message."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        after: int | None = None,
        until: int | None = None,
        types: Sequence[str] = (),
        silence_s: float = SILENCE_S,
        retries: Retries | None = None,
    ) -> None:
        self.position = after
        self._until = until
        self._types = tuple(types)
        self._silence_s = silence_s
        self._retries = retries or Retries()
        self._stub: Any = EventServiceStub(channel)
        self._call: Any = None
        self._is_closed = threading.Event()
        self._events = self._read()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration."""
        self._is_closed.set()
        if self._call is not None:
            self._call.cancel()

    def _read(self) -> Iterator[Event]:
        failures = 0
        while not self._has_ended():
            ended = Refusal(grpc.StatusCode.UNAVAILABLE, "the stream was cut")
            try:
                with closing(self._messages()) as messages:
                    for message in messages:
                        if message.HasField("end"):
                            if message.end.code == grpc.StatusCode.OK.value[0]:
                                return
                            ended = Refusal.of_status(message.end)
                            break
                        failures = 0
                        yield from self._events_in(message)
            except Refusal as refusal:
                ended = refusal
            if ended.retry is Retry.NEVER and not self._is_closed.is_set():
                raise ended
            failures += 1
            self._is_closed.wait(self._retries.pause_s(failures, ended))

    def _has_ended(self) -> bool:
        until, position = self._until, self.position
        is_told = until is not None and position is not None and position >= until
        return is_told or self._is_closed.is_set()

    def _messages(self) -> Generator[StreamEventsResponse, None, None]:
        """Yield what one stream tells, until it ends, is cut or says nothing for too long."""
        request = StreamEventsRequest(after=self.position, until=self._until, types=self._types)
        self._call = call = self._stub.StreamEvents(request)
        watchdog = _Watchdog(call.cancel, self._silence_s)
        try:
            while not self._is_closed.is_set():
                with watchdog.watching():
                    message = next(call, None)
                if message is None:
                    return
                yield message
        finally:
            watchdog.stop()
            call.cancel()

    def _events_in(self, message: StreamEventsResponse) -> Iterator[Event]:
        """Yield the event of a message, if it is the next one."""
        if not message.HasField("event"):
            # Unfiltered, only events move the position: one that got lost shows at the next.
            if self.position is None or self._types:
                self.position = message.position
            return
        event, position = message.event, self.position
        if position is not None and event.sequence <= position:
            return
        if position is not None and not self._types and event.sequence != position + 1:
            raise EventGap(f"event {event.sequence} came after event {position}")
        self.position = event.sequence
        yield event


class _Watchdog:
    """Cuts a stream that is waited on for too long; one thread for as long as the stream lasts."""

    def __init__(self, cut: Callable[[], object], silence_s: float) -> None:
        self._cut = cut
        self._silence_s = silence_s
        self._waiting_since: float | None = None
        self._is_over = threading.Event()
        threading.Thread(target=self._watch, name="reli-events", daemon=True).start()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Only the time in here is silence; what a slow consumer takes is not."""
        self._waiting_since = time.monotonic()
        try:
            yield
        finally:
            self._waiting_since = None

    def stop(self) -> None:
        self._is_over.set()

    def _watch(self) -> None:
        left_s = self._silence_s
        while not self._is_over.wait(left_s):
            since = self._waiting_since
            left_s = self._silence_s - (0.0 if since is None else time.monotonic() - since)
            if left_s <= 0:
                self._cut()
                return
