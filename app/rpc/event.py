"""EventService, the log of a tenant's events, and EventAdminService: dead letters."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from google.rpc import status_pb2

from adapters.wire.amount import time_message
from adapters.wire.event import dead_letter_message, event_message
from adapters.wire.tenant import read_milliseconds
from app.rpc.caller import LAST_EVENT_ID, current_caller
from app.rpc.context import Context
from app.rpc.request import money_call_of, named_tenant, next_token, page_of, page_size_of
from app.usecase.event.list_dead_letters import ListDeadLetters
from app.usecase.event.read_events import ReadEvents
from app.usecase.event.request_replay import RequestReplay
from app.usecase.event.stream_events import AllTold, EventNews, NoneYet, StreamEvents
from domain.errors import InvalidArgument
from domain.event_type import is_known, types_named
from domain.ids import DeadLetterId, EventId
from ports.event_log import EventRange
from reli.event.v1 import event_service_pb2 as pb
from reli.event.v1.event_service_pb2_grpc import (
    EventAdminServiceServicer,
    EventServiceServicer,
)

MAX_TYPES: Final = 64
MAX_WAIT_MS: Final = 4_000
"""A call that is given no deadline of its own has 5 s."""
MAX_DIGITS: Final = 18

ALL_TOLD: Final = status_pb2.Status(code=0, message="all events of the range were told")


class EventServicer(EventServiceServicer):
    def __init__(self, *, read_events: ReadEvents, stream_events: StreamEvents) -> None:
        self._read_events = read_events
        self._stream_events = stream_events

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        page = await self._read_events.list(
            current_caller().tenant_id,
            _range_of(request),
            limit=page_size_of(request),
            wait=_wait_of(request),
        )
        return pb.ListEventsResponse(
            events=[event_message(event) for event in page.events],
            position=page.position,
            last_sequence=page.last,
        )

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        event = await self._read_events.get(
            current_caller().tenant_id, EventId.parse(request.event_id, field="event_id")
        )
        return pb.GetEventResponse(event=event_message(event))

    async def StreamEvents(
        self, request: pb.StreamEventsRequest, context: Context
    ) -> AsyncIterator[pb.StreamEventsResponse]:
        tenant_id, range = current_caller().tenant_id, _range_of(_resumed(request))
        async for news in self._stream_events(tenant_id, range):
            yield _news_message(news)


class EventAdminServicer(EventAdminServiceServicer):
    def __init__(
        self, *, list_dead_letters: ListDeadLetters, request_replay: RequestReplay
    ) -> None:
        self._list_dead_letters = list_dead_letters
        self._request_replay = request_replay

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Context
    ) -> pb.ListDeadLettersResponse:
        page = await self._list_dead_letters(
            page_of(request), tenant_id=named_tenant(request) if request.tenant_id else None
        )
        return pb.ListDeadLettersResponse(
            dead_letters=[dead_letter_message(letter) for letter in page.items],
            next_page_token=next_token(page),
        )

    async def ReplayDeadLetter(
        self, request: pb.ReplayDeadLetterRequest, context: Context
    ) -> pb.ReplayDeadLetterResponse:
        letter = await self._request_replay(
            money_call_of(request),
            named_tenant(request),
            DeadLetterId.parse(request.dead_letter_id, field="dead_letter_id"),
        )
        return pb.ReplayDeadLetterResponse(dead_letter=dead_letter_message(letter))


def _news_message(news: EventNews) -> pb.StreamEventsResponse:
    match news:
        case NoneYet():
            heartbeat = pb.EventHeartbeat(
                last_sequence=news.last, look_time=time_message(news.looked_at)
            )
            return pb.StreamEventsResponse(heartbeat=heartbeat, position=news.position)
        case AllTold():
            return pb.StreamEventsResponse(end=ALL_TOLD, position=news.position)
        case _:
            event = event_message(news.event)
            return pb.StreamEventsResponse(event=event, position=news.position)


def _resumed(request: pb.StreamEventsRequest) -> pb.StreamEventsRequest:
    """Return the request that goes on where the header says that the reader has come."""
    text = current_caller().last_event_id
    if text:
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
            raise InvalidArgument("Last-Event-ID must be a sequence", field=LAST_EVENT_ID)
        request.after = int(text)
    return request


def _range_of(request: pb.ListEventsRequest | pb.StreamEventsRequest) -> EventRange:
    after = request.after if request.HasField("after") else None
    until = request.until if request.HasField("until") else None
    if after is not None and after < 0:
        raise InvalidArgument("after must not be negative", field="after")
    if until is not None and until < max(after or 0, 1):
        raise InvalidArgument("until must be at least 1 and not before after", field="until")
    return EventRange(after=after, until=until, types=_types_of(request))


def _types_of(request: pb.ListEventsRequest | pb.StreamEventsRequest) -> frozenset[str]:
    if len(request.types) > MAX_TYPES:
        raise InvalidArgument(f"types must be {MAX_TYPES} at most", field="types")
    if not all(map(is_known, request.types)):
        raise InvalidArgument(
            "types must be types of events, such as trade.settled or trade.*", field="types"
        )
    return types_named(request.types)


def _wait_of(request: pb.ListEventsRequest) -> timedelta:
    if not request.HasField("wait"):
        return timedelta()
    wait_ms = read_milliseconds(request.wait, field="wait")
    if wait_ms > MAX_WAIT_MS:
        raise InvalidArgument(f"wait must be {MAX_WAIT_MS // 1_000} s at most", field="wait")
    return timedelta(milliseconds=wait_ms)
