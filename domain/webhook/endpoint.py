"""An endpoint is a URL of a tenant that wants events sent to it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from domain.event_type import is_known
from domain.ids import TenantId, WebhookEndpointId
from domain.transition import advance
from domain.webhook.errors import EventTypeUnknown, WebhookEndpointDisabled

MAX_ENDPOINTS: Final = 16
"""How many endpoints a tenant may have."""

MAX_EVENT_TYPES: Final = 64
"""How many types an endpoint may name."""

DEFAULT_OVERLAP: Final = timedelta(hours=24)
MAX_OVERLAP: Final = timedelta(days=7)
"""How long deliveries are also signed with the secret before."""

TESTED: Final = "webhook_endpoint.tested"
"""The type of a test event; it goes to the endpoint that is its subject, and to no other."""


class EndpointState(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


class EndpointAction(StrEnum):
    ENABLE = "enable"
    DISABLE = "disable"
    DELETE = "delete"


TRANSITIONS: Final = {
    (EndpointState.ENABLED, EndpointAction.DISABLE): EndpointState.DISABLED,
    (EndpointState.ENABLED, EndpointAction.DELETE): EndpointState.DELETED,
    (EndpointState.DISABLED, EndpointAction.ENABLE): EndpointState.ENABLED,
    (EndpointState.DISABLED, EndpointAction.DELETE): EndpointState.DELETED,
}


class DisabledReason(StrEnum):
    """Why an endpoint is disabled."""

    REQUESTED = "requested"
    GONE = "gone"
    """It answered 410."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Attributes:
    description: for people.
    event_types: what it takes, such as `trade.settled` or `trade.*`; all where it names none.
    previous_secret_expires_at: until when deliveries are signed with two secrets.
    """

    id: WebhookEndpointId
    tenant_id: TenantId
    url: str
    description: str
    event_types: tuple[str, ...]
    created_at: datetime
    state: EndpointState = EndpointState.ENABLED
    disabled_reason: DisabledReason | None = None
    previous_secret_expires_at: datetime | None = None
    version: int = 1

    def __post_init__(self) -> None:
        is_disabled = self.state is EndpointState.DISABLED
        assert is_disabled == (self.disabled_reason is not None)

    def enable(self) -> "Endpoint":
        return self._advance(EndpointAction.ENABLE)

    def disable(self, reason: DisabledReason) -> "Endpoint":
        return self._advance(EndpointAction.DISABLE, reason)

    def delete(self) -> "Endpoint":
        return self._advance(EndpointAction.DELETE)

    def update(
        self, *, url: str | None, description: str | None, event_types: tuple[str, ...] | None
    ) -> "Endpoint":
        """Return the endpoint with what is given; the rest stays."""
        return replace(
            self,
            url=self.url if url is None else url,
            description=self.description if description is None else description,
            event_types=self.event_types if event_types is None else event_types,
            version=self.version + 1,
        )

    def rotate_secret(self, *, now: datetime, overlap: timedelta) -> "Endpoint":
        """Return the endpoint with a new secret, beside which the present one is used for a while.

        One that was replaced before is not used any more.
        """
        return replace(self, previous_secret_expires_at=now + overlap, version=self.version + 1)

    def require_enabled(self) -> None:
        if self.state is not EndpointState.ENABLED:
            raise WebhookEndpointDisabled("the endpoint is disabled", endpoint_id=self.id)

    def _advance(self, action: EndpointAction, reason: DisabledReason | None = None) -> "Endpoint":
        return replace(
            self,
            state=advance(TRANSITIONS, self.state, action),
            disabled_reason=reason,
            version=self.version + 1,
        )


def require_event_types(event_types: Iterable[str]) -> tuple[str, ...]:
    """Return types as an endpoint names them, once each, or raise `EventTypeUnknown`."""
    named = tuple(dict.fromkeys(event_types))
    for event_type in named:
        if not is_known(event_type):
            raise EventTypeUnknown(
                "no event has that type", field="event_types", event_type=event_type[:64]
            )
    return named
