"""Webhooks: what is sent to an endpoint, believed only once its signature was checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


class InvalidWebhook(ValueError):
    """What arrived was not sent by the platform within the last five minutes, or was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """An event as webhooks tell it.

    Attributes:
        id: the same at every attempt and every replay; drop what you have seen.
        type: such as "trade.settled".
        sequence: its place in the log, from 1 and without gaps over all types.
        subject: the id of the thing it happened to.
        time: when it happened.
        tenant_id: whose it is.
        data: the thing as it then was, in the JSON of the REST face.
    """

    id: str
    type: str
    sequence: int
    subject: str
    time: datetime
    tenant_id: str
    data: Any


def verify_webhook(body: bytes, headers: Mapping[str, str], secret: str) -> CloudEvent:
    """Return the event of a delivery, or raise `InvalidWebhook`.

    Any of the signatures may fit: while a secret is rotated there are two.

    Args:
        body: the raw bytes, as they arrived.
        headers: those of the request, in any case.
        secret: the endpoint's, "whsec_…".
    """
    webhook = Webhook(secret)
    try:
        webhook.verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError) as error:
        raise InvalidWebhook(str(error)) from error
    said = json.loads(body)
    return CloudEvent(
        id=said["id"],
        type=said["type"],
        sequence=int(said["sequence"]),
        subject=said["subject"],
        time=datetime.fromisoformat(said["time"]),
        tenant_id=said["source"].rpartition("/")[2],
        data=said["data"],
    )
