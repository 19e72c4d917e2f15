"""What a wire format is to the venue behind it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from aiohttp import web

from adapters.lp.sandbox.book import BookedOrder
from adapters.lp.sandbox.desk import Refused
from adapters.lp.sandbox.trading import Trading


class Face(Protocol):
    """One wire format over one venue's `Trading`."""

    settings: ClassVar[Mapping[str, object]]
    """What an adapter is told beside the venue's name, where it is and how far to trust it."""

    def __init__(self, trading: Trading) -> None: ...

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the calls of the public port."""
        ...

    def order_id(self, booked: BookedOrder) -> str:
        """Return the venue's own id of an order, as its answers have it."""
        ...

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        """Return a refusal in the form of this venue."""
        ...
