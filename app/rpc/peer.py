"""From where a call comes."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from domain.tenant.ip_range import IpAddress, read_ip_address

CLIENT_ADDRESS: Final = "x-reli-client-address"
"""Where the front door tells whom it saw. It takes the name from whoever else says it."""

LISTENER: Final = "x-reli-listener"
"""Where the front door tells which of its listeners took the call."""
PUBLIC: Final = "public"


def came_from_outside(metadata: Mapping[str, Any]) -> bool:
    """Say whether the call came through the front door for partners.

    Who comes past it is inside, and who comes through it cannot keep it from saying so.
    """
    return metadata.get(LISTENER) == PUBLIC


def client_address(
    peer: str, metadata: Mapping[str, Any], front_doors: Collection[IpAddress]
) -> IpAddress | None:
    """Return the caller's address, or None where nobody can tell.

    A front door's word counts; of everybody else, the connection's other end.
    """
    address = _address_of(peer)
    told = metadata.get(CLIENT_ADDRESS)
    if told is not None and address in front_doors:
        return read_ip_address(told)
    return address


def is_front_door(peer: str, front_doors: Collection[IpAddress]) -> bool:
    """Say whether the other end of the connection is one of them."""
    return _address_of(peer) in front_doors


@lru_cache(1_024)
def _address_of(peer: str) -> IpAddress | None:
    """Read what gRPC says of a connection, such as `ipv4:192.0.2.1:50051` or
    `ipv6:%5B2001:db8::1%5D:50051`."""
    _, _, rest = peer.partition(":")
    host, _, _ = unquote(rest).rpartition(":")
    return read_ip_address(host.strip("[]"))
