"""What a wire format is to the venue behind it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from aiohttp import web

from adapters.lp.sandbox.desk import Refused


class Face(Protocol):
    """One wire format over one venue's `Trading`."""

    @property
    def credentials(self) -> Mapping[str, str]:
        """What the venue knows its only customer by, named as in an adapter's settings."""
        ...

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the calls of the public port."""
        ...

    def refuse(self, request: web.Request, refused: Refused) -> web.Response:
        """Return a refusal in the form of this venue."""
        ...
