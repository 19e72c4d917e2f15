"""Streams of answers: how many there may be, for how long, and how one says that it ends."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from app.rpc.errors import DeadlineExceeded, StreamEnded, TooManyStreams, status_of
from domain.errors import DomainError
from domain.ids import TenantId

LONGEST_STREAM_S: Final = 3_600.0
LONGEST_LIVE_STREAM_S: Final = 1_800.0
"""For a stream that goes on until somebody ends it; Envoy could not say why, so it waits longer."""

STREAMS_OF_A_TENANT: Final = 100
STREAMS: Final = 500
"""Of one server; each is looked after twice a second."""

STOPPING: Final = "the server is about to stop; open the stream again"

END: Final = "end"
"""The field of a response that tells in the stream itself why it ends.

Over REST a status behind the last message is lost, and the stream would seem to be complete.
"""


class OpenStream:
    """A place among the open streams, and the word that the server is about to stop."""

    def __init__(self, streams: "OpenStreams", tenant_id: TenantId | None) -> None:
        self._streams = streams
        self.tenant_id = tenant_id
        self.stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def leave(self) -> None:
        self._streams.forget(self)


class OpenStreams:
    """All streams of answers that one server has open."""

    def __init__(self) -> None:
        self._open: set[OpenStream] = set()
        self._of_tenant: Counter[TenantId | None] = Counter()
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, tenant_id: TenantId | None) -> OpenStream:
        """Return a place that must be left in the end.

        Raises `TooManyStreams`, or `StreamEnded` once the server stops.
        """
        if self._is_stopping:
            raise StreamEnded(STOPPING)
        if self._of_tenant[tenant_id] >= STREAMS_OF_A_TENANT:
            raise TooManyStreams(
                f"the tenant has {STREAMS_OF_A_TENANT} streams open at this server",
                limit=STREAMS_OF_A_TENANT,
            )
        if len(self._open) >= STREAMS:
            raise TooManyStreams(f"this server has {STREAMS} streams open", limit=STREAMS)
        stream = OpenStream(self, tenant_id)
        self._open.add(stream)
        self._of_tenant[tenant_id] += 1
        return stream

    def forget(self, stream: OpenStream) -> None:
        if stream in self._open:
            self._open.remove(stream)
            self._of_tenant[stream.tenant_id] -= 1
            if not self._of_tenant[stream.tenant_id]:
                del self._of_tenant[stream.tenant_id]

    def stop(self) -> None:
        """Let those that can say so end, and begin no more."""
        self._is_stopping = True
        for stream in self._open:
            if not stream.stopping.done():
                stream.stopping.set_result(None)


class StreamDeadline:
    """Until when a stream may last.

    Attributes:
        is_live: it goes on until somebody ends it, and says so.
    """

    def __init__(self, remaining_s: float | None, *, is_live: bool) -> None:
        """A live stream has no more than its own longest time, whatever the client allows."""
        self.is_live = is_live
        longest_s = LONGEST_LIVE_STREAM_S if is_live else LONGEST_STREAM_S
        if remaining_s is None or (is_live and longest_s < remaining_s):
            remaining_s = longest_s
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + remaining_s

    @property
    def left_s(self) -> float:
        return self._end - self._clock()

    def require_time(self) -> None:
        """Raise `StreamEnded` or `DeadlineExceeded` once it is over."""
        if self.left_s > 0:
            return
        if self.is_live:
            raise StreamEnded("the stream has lasted as long as it may; open it again")
        raise DeadlineExceeded("the deadline passed; ask again with the same request id")


Farewell = Callable[[DomainError], Any]


def farewell_of(method: str) -> Farewell | None:
    """Return what makes the last message of a method's stream, where its messages have room."""
    service, _, name = method.rpartition("/")
    response = Default().FindServiceByName(service).FindMethodByName(name).output_type
    end = response.fields_by_name.get(END)
    if end is None or end.message_type is not status_pb2.Status.DESCRIPTOR:
        return None
    make = GetMessageClass(response)
    return lambda refusal: make(**{END: status_of(refusal)})
