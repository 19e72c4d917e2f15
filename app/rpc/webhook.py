"""WebhookService: decode, call one use case, encode."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from adapters.wire.enum import read_enum
from adapters.wire.tenant import read_milliseconds
from adapters.wire.webhook import (
    DELIVERY_STATE_OF,
    attempt_message,
    delivery_message,
    endpoint_message,
)
from app.rpc.caller import current_caller
from app.rpc.context import Context
from app.rpc.request import call_of, next_token, optional_text_of, page_of
from app.usecase.webhook.change_endpoint_state import ChangeEndpointState
from app.usecase.webhook.create_endpoint import CreateEndpoint
from app.usecase.webhook.read_webhooks import ReadWebhooks
from app.usecase.webhook.replay_deliveries import ReplayDeliveries
from app.usecase.webhook.rotate_secret import RotateSecret
from app.usecase.webhook.send_test_event import SendTestEvent
from app.usecase.webhook.update_endpoint import UpdateEndpoint
from domain.errors import InvalidArgument
from domain.ids import WebhookDeliveryId, WebhookEndpointId
from domain.webhook.delivery import DeliveryState
from domain.webhook.endpoint import (
    DEFAULT_OVERLAP,
    MAX_EVENT_TYPES,
    MAX_OVERLAP,
    require_event_types,
)
from reli.webhook.v1 import webhook_service_pb2 as pb
from reli.webhook.v1.webhook_service_pb2_grpc import WebhookServiceServicer

MAX_DESCRIPTION: Final = 200


class WebhookServicer(WebhookServiceServicer):
    def __init__(
        self,
        *,
        create_endpoint: CreateEndpoint,
        update_endpoint: UpdateEndpoint,
        change_endpoint_state: ChangeEndpointState,
        rotate_secret: RotateSecret,
        send_test_event: SendTestEvent,
        replay_deliveries: ReplayDeliveries,
        read_webhooks: ReadWebhooks,
    ) -> None:
        self._create_endpoint = create_endpoint
        self._update_endpoint = update_endpoint
        self._change_endpoint_state = change_endpoint_state
        self._rotate_secret = rotate_secret
        self._send_test_event = send_test_event
        self._replay_deliveries = replay_deliveries
        self._read_webhooks = read_webhooks

    async def CreateWebhookEndpoint(
        self, request: pb.CreateWebhookEndpointRequest, context: Context
    ) -> pb.CreateWebhookEndpointResponse:
        made = await self._create_endpoint(
            call_of(request),
            url=request.url,
            description=_description(request.description),
            event_types=_event_types(request.event_types),
        )
        return pb.CreateWebhookEndpointResponse(
            endpoint=endpoint_message(made.endpoint), secret=made.secret
        )

    async def GetWebhookEndpoint(
        self, request: pb.GetWebhookEndpointRequest, context: Context
    ) -> pb.GetWebhookEndpointResponse:
        endpoint = await self._read_webhooks.get_endpoint(
            current_caller().tenant_id, _endpoint_id(request)
        )
        return pb.GetWebhookEndpointResponse(endpoint=endpoint_message(endpoint))

    async def ListWebhookEndpoints(
        self, request: pb.ListWebhookEndpointsRequest, context: Context
    ) -> pb.ListWebhookEndpointsResponse:
        page = await self._read_webhooks.list_endpoints(
            current_caller().tenant_id, page_of(request)
        )
        return pb.ListWebhookEndpointsResponse(
            endpoints=[endpoint_message(endpoint) for endpoint in page.items],
            next_page_token=next_token(page),
        )

    async def UpdateWebhookEndpoint(
        self, request: pb.UpdateWebhookEndpointRequest, context: Context
    ) -> pb.UpdateWebhookEndpointResponse:
        endpoint = await self._update_endpoint(
            call_of(request),
            _endpoint_id(request),
            url=request.url if request.HasField("url") else None,
            description=(
                _description(request.description) if request.HasField("description") else None
            ),
            event_types=(
                _event_types(request.event_types.values)
                if request.HasField("event_types")
                else None
            ),
        )
        return pb.UpdateWebhookEndpointResponse(endpoint=endpoint_message(endpoint))

    async def DisableWebhookEndpoint(
        self, request: pb.DisableWebhookEndpointRequest, context: Context
    ) -> pb.DisableWebhookEndpointResponse:
        endpoint = await self._change_endpoint_state.disable(
            call_of(request), _endpoint_id(request)
        )
        return pb.DisableWebhookEndpointResponse(endpoint=endpoint_message(endpoint))

    async def EnableWebhookEndpoint(
        self, request: pb.EnableWebhookEndpointRequest, context: Context
    ) -> pb.EnableWebhookEndpointResponse:
        endpoint = await self._change_endpoint_state.enable(call_of(request), _endpoint_id(request))
        return pb.EnableWebhookEndpointResponse(endpoint=endpoint_message(endpoint))

    async def DeleteWebhookEndpoint(
        self, request: pb.DeleteWebhookEndpointRequest, context: Context
    ) -> pb.DeleteWebhookEndpointResponse:
        endpoint = await self._change_endpoint_state.delete(call_of(request), _endpoint_id(request))
        return pb.DeleteWebhookEndpointResponse(endpoint=endpoint_message(endpoint))

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Context
    ) -> pb.RotateWebhookSecretResponse:
        rotated = await self._rotate_secret(
            call_of(request), _endpoint_id(request), overlap=_overlap(request)
        )
        return pb.RotateWebhookSecretResponse(
            endpoint=endpoint_message(rotated.endpoint), secret=rotated.secret
        )

    async def SendTestEvent(
        self, request: pb.SendTestEventRequest, context: Context
    ) -> pb.SendTestEventResponse:
        endpoint = await self._send_test_event(call_of(request), _endpoint_id(request))
        return pb.SendTestEventResponse(endpoint=endpoint_message(endpoint))

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: Context
    ) -> pb.ListWebhookDeliveriesResponse:
        page = await self._read_webhooks.list_deliveries(
            current_caller().tenant_id,
            _endpoint_id(request),
            page_of(request),
            state=_state_filter(request.state),
        )
        return pb.ListWebhookDeliveriesResponse(
            deliveries=[delivery_message(delivery) for delivery in page.items],
            next_page_token=next_token(page),
        )

    async def GetWebhookDelivery(
        self, request: pb.GetWebhookDeliveryRequest, context: Context
    ) -> pb.GetWebhookDeliveryResponse:
        delivery, body = await self._read_webhooks.get_delivery(
            current_caller().tenant_id, _delivery_id(request)
        )
        return pb.GetWebhookDeliveryResponse(
            delivery=delivery_message(delivery), request_body=body.decode()
        )

    async def ListWebhookAttempts(
        self, request: pb.ListWebhookAttemptsRequest, context: Context
    ) -> pb.ListWebhookAttemptsResponse:
        page = await self._read_webhooks.list_attempts(
            current_caller().tenant_id, _delivery_id(request), page_of(request, by=int)
        )
        return pb.ListWebhookAttemptsResponse(
            attempts=[attempt_message(attempt) for attempt in page.items],
            next_page_token=next_token(page),
        )

    async def ReplayWebhookDelivery(
        self, request: pb.ReplayWebhookDeliveryRequest, context: Context
    ) -> pb.ReplayWebhookDeliveryResponse:
        delivery = await self._replay_deliveries.one(call_of(request), _delivery_id(request))
        return pb.ReplayWebhookDeliveryResponse(delivery=delivery_message(delivery))

    async def ReplayWebhookDeliveries(
        self, request: pb.ReplayWebhookDeliveriesRequest, context: Context
    ) -> pb.ReplayWebhookDeliveriesResponse:
        replayed = await self._replay_deliveries.dead(call_of(request), _endpoint_id(request))
        return pb.ReplayWebhookDeliveriesResponse(
            replayed=replayed.deliveries, next_sequence=replayed.next_sequence or 0
        )

    async def ReplayWebhookEvents(
        self, request: pb.ReplayWebhookEventsRequest, context: Context
    ) -> pb.ReplayWebhookEventsResponse:
        _require_range(request)
        replayed = await self._replay_deliveries.events(
            call_of(request),
            _endpoint_id(request),
            first_sequence=request.first_sequence,
            last_sequence=request.last_sequence,
        )
        return pb.ReplayWebhookEventsResponse(
            replayed=replayed.deliveries, next_sequence=replayed.next_sequence or 0
        )


def _endpoint_id(request: object) -> WebhookEndpointId:
    return WebhookEndpointId.parse(request.endpoint_id, field="endpoint_id")  # type: ignore[attr-defined]


def _delivery_id(request: object) -> WebhookDeliveryId:
    return WebhookDeliveryId.parse(request.delivery_id, field="delivery_id")  # type: ignore[attr-defined]


def _description(text: str) -> str:
    return optional_text_of(text, field="description", maximum=MAX_DESCRIPTION)


def _event_types(named: Sequence[str]) -> tuple[str, ...]:
    if len(named) > MAX_EVENT_TYPES:
        raise InvalidArgument(
            f"event_types must have at most {MAX_EVENT_TYPES} values", field="event_types"
        )
    return require_event_types(named)


def _overlap(request: pb.RotateWebhookSecretRequest) -> timedelta:
    if not request.HasField("overlap"):
        return DEFAULT_OVERLAP
    overlap = timedelta(milliseconds=read_milliseconds(request.overlap, field="overlap"))
    if overlap > MAX_OVERLAP:
        raise InvalidArgument(f"overlap must be at most {MAX_OVERLAP.days} days", field="overlap")
    return overlap


def _state_filter(number: int) -> DeliveryState | None:
    return read_enum(DELIVERY_STATE_OF, number, field="state") if number else None


def _require_range(request: pb.ReplayWebhookEventsRequest) -> None:
    if request.first_sequence < 1:
        raise InvalidArgument("first_sequence must be at least 1", field="first_sequence")
    if request.last_sequence < request.first_sequence:
        raise InvalidArgument(
            "last_sequence must be at least first_sequence", field="last_sequence"
        )
