"""Webhooks received on this machine: verified, printed, and handed on if that is wanted."""

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Full, Queue
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

import grpc

from app.partner.api import MOVING_TIMEOUT_S, Api, new_request_id
from app.partner.outcome import UsageProblem, complain
from app.partner.receiver import Receiver
from app.partner.screen import Screen, as_dict, dim, printable
from reli.webhook.v1.webhook_service_pb2 import (
    CreateWebhookEndpointRequest,
    DeleteWebhookEndpointRequest,
)
from reli_client import CloudEvent, Refusal, verify_webhook

_FORWARD_TIMEOUT_S: Final = 8.0
"""Less than the 10 s after which the platform counts the delivery as failed."""
_HANDED_ON: Final = (
    "content-type",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "webhook-attempt",
)
_UNPRINTED: Final = 1_000
"""How many deliveries wait to be printed before the sender is told to come again."""
_SEEN: Final = 10_000
"""Of how many events it is known that they were printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What was asked for.

    Attributes:
        port: 0 for a free one.
        types: of events; none means all.
        forward: where verified deliveries are handed on; empty for nowhere.
    """

    port: int
    types: tuple[str, ...]
    forward: str

    def __post_init__(self) -> None:
        if self.forward and urlsplit(self.forward).scheme not in ("http", "https"):
            raise UsageProblem("--forward is an http(s) URL")


def listen(api: Api, screen: Screen, listening: Listening) -> None:
    """Create an endpoint for a receiver here, and delete it when the listening ends."""
    deliveries = _Deliveries(listening.forward)
    with _received(listening, deliveries) as receiver:
        request = CreateWebhookEndpointRequest(
            url=receiver.url,
            description="reli webhook listen",
            event_types=listening.types,
            request_id=new_request_id(),
        )
        try:
            made = api.webhooks.CreateWebhookEndpoint(request, timeout=MOVING_TIMEOUT_S)
        except Refusal as e:
            if e.reason == "WEBHOOK_URL_FORBIDDEN":
                screen.note(
                    "Only a local sandbox sends to this machine. Elsewhere lead an endpoint of "
                    "yours here, and say --secret-stdin."
                )
            raise
        try:
            deliveries.secret = made.secret
            screen.note(dim(f"{made.endpoint.id} sends to {receiver.url}, Ctrl-C ends"))
            screen.note_document({"endpoint": as_dict(made.endpoint)})
            deliveries.print(screen)
        finally:
            _delete(api, screen, made.endpoint.id)


def listen_with_secret(screen: Screen, listening: Listening) -> None:
    """Receive what is led here of an endpoint that exists, whose secret is on standard input."""
    if listening.types:
        raise UsageProblem("which types come is the endpoint's business: leave --types out")
    deliveries = _Deliveries(listening.forward)
    deliveries.secret = sys.stdin.readline().strip()
    if not deliveries.secret.startswith("whsec_"):
        raise UsageProblem("the secret of an endpoint begins with whsec_")
    with _received(listening, deliveries) as receiver:
        screen.note(dim(f"listening on {receiver.url}, Ctrl-C ends"))
        screen.note_document({"url": receiver.url})
        deliveries.print(screen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """What arrived: an event, or `problem` with it."""

    event: CloudEvent | None = None
    body: bytes = b""
    problem: str = ""


class _Deliveries:
    """Verifies what arrives, in any thread, and prints it in the one that listens."""

    secret = ""
    """Before it is known everything is told to come again."""

    def __init__(self, forward: str) -> None:
        self._forward = forward
        self._opener = _direct_opener()
        self._arrived: Queue[_Delivery] = Queue(_UNPRINTED)

    def take(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Return 204 for what was verified, or what became of handing it on."""
        if not self.secret:
            return 503
        try:
            delivery = _Delivery(event=verify_webhook(body, headers, self.secret), body=body)
            status = self._hand_on(body, headers) if self._forward else 204
        except (ValueError, LookupError, TypeError, RecursionError) as e:
            delivery = _Delivery(problem=f"refused, not signed with this secret: {e}")
            status = 400
        try:
            self._arrived.put_nowait(delivery)
            if delivery.event is not None and not 200 <= status < 300:
                problem = f"{self._forward} did not take {delivery.event.id}: {status}"
                self._arrived.put_nowait(_Delivery(problem=problem))
        except Full:
            return 503
        return status

    def print(self, screen: Screen) -> None:
        """Print what arrives, each event once, until KeyboardInterrupt, which ends it well."""
        seen: dict[str, None] = {}
        with suppress(KeyboardInterrupt):
            while True:
                delivery = self._arrived.get()
                if (event := delivery.event) is None:
                    complain(screen, grpc.StatusCode.UNAUTHENTICATED, delivery.problem)
                elif event.id not in seen:
                    _show(screen, event, delivery.body)
                    seen[event.id] = None
                    if len(seen) > _SEEN:
                        del seen[next(iter(seen))]

    def _hand_on(self, body: bytes, headers: Mapping[str, str]) -> int:
        same = {name: headers[name] for name in _HANDED_ON if name in headers}
        request = Request(self._forward, data=body, headers=same, method="POST")
        try:
            with self._opener.open(request, timeout=_FORWARD_TIMEOUT_S) as answer:
                return int(answer.status)
        except HTTPError as e:
            return e.code
        except (OSError, ValueError):
            return 502


def _show(screen: Screen, event: CloudEvent, body: bytes) -> None:
    if screen.as_json:
        screen.line(json.loads(body))
        return
    screen.say(
        f"{event.sequence:>6}  ",
        dim(f"{event.time:%Y-%m-%d %H:%M:%S}"),
        f"  {printable(event.type):<24}  {printable(event.subject)}",
    )


def _delete(api: Api, screen: Screen, endpoint_id: str) -> None:
    request = DeleteWebhookEndpointRequest(endpoint_id=endpoint_id, request_id=new_request_id())
    try:
        api.webhooks.DeleteWebhookEndpoint(request, timeout=MOVING_TIMEOUT_S)
    except Refusal as e:
        complain(screen, e.code, f"{endpoint_id} may not be deleted: {e}")
    else:
        screen.note(dim(f"{endpoint_id} is deleted"))


@contextmanager
def _received(listening: Listening, deliveries: _Deliveries) -> Iterator[Receiver]:
    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    # Whoever ends us any other way than with Ctrl-C wants the endpoint deleted as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, interrupt)
    try:
        receiver = Receiver(listening.port, deliveries.take)
    except OSError as e:
        raise UsageProblem(f"port {listening.port} is not to be had: {e.strerror}") from None
    with receiver.receiving():
        yield receiver


class _NoRedirect(HTTPRedirectHandler):
    """Hands on where the user said and nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _direct_opener() -> OpenerDirector:
    return build_opener(ProxyHandler({}), _NoRedirect())
