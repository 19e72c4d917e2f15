"""The log of a tenant's events, followed."""

from collections.abc import Sequence
from contextlib import suppress

from rich.text import Text

from app.partner.api import Api
from app.partner.quote import deal
from app.partner.screen import Screen, amount, as_dict, date_and_clock, dim, printable
from reli.event.v1.event_pb2 import Event
from reli.event.v1.event_service_pb2 import ListEventsRequest
from reli_client import EventStream


def tail(
    api: Api,
    screen: Screen,
    *,
    after: int | None,
    until: int | None,
    types: Sequence[str],
) -> None:
    """Print every event from there on, until Ctrl-C or the last one wanted."""
    # Asked once before a stream is kept alive whatever happens: who has the wrong key or address
    # is told so, and where "from now on" begins is known before the first stream does.
    request = ListEventsRequest(page_size=1, after=after, types=types)
    last = api.events.ListEvents(request).last_sequence
    begin = last if after is None else after
    screen.note(dim(f"the log is at {last}; Ctrl-C ends"))
    stream = EventStream(api.channel, after=begin, until=until, types=types)
    with suppress(KeyboardInterrupt):
        for event in stream:
            if screen.as_json:
                screen.line(as_dict(event))
            else:
                screen.say(event_line(event))


def event_line(event: Event) -> Text:
    line = Text.assemble(
        f"{event.sequence:>6}  ",
        dim(date_and_clock(event.occur_time)),
        f"  {event.type:<24}  {printable(event.subject)}  ",
        _gist(event),
    )
    line.rstrip()
    return line


def _gist(event: Event) -> Text:
    """Return what of the thing tells most; the rest is in the JSON."""
    match event.WhichOneof("data"):
        case "quote":
            return deal(event.quote)
        case "trade":
            return deal(event.trade)
        case "deposit":
            return Text(amount(event.deposit.amount))
        case "customer":
            return Text(printable(event.customer.external_id))
        case "webhook_endpoint":
            return Text(printable(event.webhook_endpoint.url))
        case _:
            return Text()
