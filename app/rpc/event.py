"""EventAdminService: decode, call one use case, encode."""

from adapters.wire.event import dead_letter_message
from app.rpc.context import Context
from app.rpc.request import money_call_of, named_tenant, next_token, page_of
from app.usecase.event.list_dead_letters import ListDeadLetters
from app.usecase.event.request_replay import RequestReplay
from domain.ids import DeadLetterId
from reli.event.v1 import event_service_pb2 as pb
from reli.event.v1.event_service_pb2_grpc import EventAdminServiceServicer


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
