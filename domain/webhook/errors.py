"""What webhooks refuse."""

from domain.errors import DomainError, Kind


class WebhookEndpointNotFound(DomainError):
    """No such endpoint of this tenant."""

    kind = Kind.MISSING
    reason = "WEBHOOK_ENDPOINT_NOT_FOUND"


class TooManyWebhookEndpoints(DomainError):
    """The tenant has as many endpoints as it may."""

    kind = Kind.REFUSED
    reason = "TOO_MANY_WEBHOOK_ENDPOINTS"


class WebhookUrlForbidden(DomainError):
    """Nothing may be sent to the URL; `metadata["rule"]` says what it breaks."""

    reason = "WEBHOOK_URL_FORBIDDEN"


class WebhookEndpointDisabled(DomainError):
    """The endpoint is disabled, so nothing can be sent to it."""

    kind = Kind.REFUSED
    reason = "WEBHOOK_ENDPOINT_DISABLED"


class EventTypeUnknown(DomainError):
    """No event of ours has that type; `metadata["event_type"]` repeats it."""

    reason = "EVENT_TYPE_UNKNOWN"


class WebhookDeliveryNotFound(DomainError):
    """No such delivery of this tenant, or it is no longer kept."""

    kind = Kind.MISSING
    reason = "WEBHOOK_DELIVERY_NOT_FOUND"


class WebhookDeliveryPending(DomainError):
    """The delivery is still on its way, so there is nothing to replay."""

    kind = Kind.REFUSED
    reason = "WEBHOOK_DELIVERY_PENDING"


class WebhooksNotConfigured(DomainError):
    """This installation has no key to seal secrets with, so it can keep none."""

    kind = Kind.REFUSED
    reason = "WEBHOOKS_NOT_CONFIGURED"
