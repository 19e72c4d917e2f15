"""Where a call comes from."""

from collections.abc import Mapping
from typing import Any

from app.rpc.context import Context


def address_of(context: Context, metadata: Mapping[str, Any]) -> str:
    """Return the address that the front door saw, or that of whoever calls us directly.

    The front door writes the header itself, after it has removed what it was sent of that name.
    """
    forwarded = metadata.get("x-forwarded-for")
    if forwarded:
        return str(forwarded).rpartition(",")[2].strip()
    peer: str = context.peer()
    kind, _, rest = peer.partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind
