"""Webhook endpoints, deliveries and attempts."""

from adapters.wire.amount import time_message
from adapters.wire.enum import enum_messages, enum_values
from domain.webhook.delivery import Attempt, Delivery, DeliveryState, Failure
from domain.webhook.endpoint import DisabledReason, Endpoint, EndpointState
from reli.webhook.v1 import webhook_pb2

_STATE = "WEBHOOK_DELIVERY_STATE"
_ENDPOINT_STATE = enum_messages(
    EndpointState, webhook_pb2.WebhookEndpointState, "WEBHOOK_ENDPOINT_STATE"
)
_DELIVERY_STATE = enum_messages(DeliveryState, webhook_pb2.WebhookDeliveryState, _STATE)
DELIVERY_STATE_OF = enum_values(DeliveryState, webhook_pb2.WebhookDeliveryState, _STATE)
_DISABLED_REASON = enum_messages(DisabledReason, webhook_pb2.DisabledReason, "DISABLED_REASON")
_FAILURE = enum_messages(Failure, webhook_pb2.WebhookFailure, "WEBHOOK_FAILURE")


def endpoint_message(endpoint: Endpoint) -> webhook_pb2.WebhookEndpoint:
    return webhook_pb2.WebhookEndpoint(
        id=str(endpoint.id),
        url=endpoint.url,
        description=endpoint.description,
        event_types=endpoint.event_types,
        state=_ENDPOINT_STATE[endpoint.state],
        disabled_reason=_DISABLED_REASON[endpoint.disabled_reason]
        if endpoint.disabled_reason
        else None,
        previous_secret_expire_time=time_message(endpoint.previous_secret_expires_at),
        create_time=time_message(endpoint.created_at),
    )


def delivery_message(delivery: Delivery) -> webhook_pb2.WebhookDelivery:
    return webhook_pb2.WebhookDelivery(
        id=str(delivery.id),
        endpoint_id=str(delivery.endpoint_id),
        event_id=str(delivery.event_id),
        event_sequence=delivery.sequence,
        event_type=delivery.event_type,
        subject=delivery.subject,
        state=_DELIVERY_STATE[delivery.state],
        attempts=delivery.attempts,
        create_time=time_message(delivery.recorded_at),
        due_time=time_message(delivery.due_at),
        expire_time=time_message(delivery.expires_at),
        end_time=time_message(delivery.ended_at),
    )


def attempt_message(attempt: Attempt) -> webhook_pb2.WebhookAttempt:
    return webhook_pb2.WebhookAttempt(
        number=attempt.number,
        start_time=time_message(attempt.started_at),
        latency_ms=attempt.latency_ms,
        status_code=attempt.status or 0,
        failure=_FAILURE[attempt.failure] if attempt.failure else None,
        detail=attempt.detail,
        response_body=attempt.response_body.decode(errors="replace"),
    )
