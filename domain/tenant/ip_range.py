"""From where an API key may be used: ranges of addresses in CIDR notation."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Final

from domain.errors import InvalidArgument

IpAddress = IPv4Address | IPv6Address
IpRange = IPv4Network | IPv6Network

MAX_IP_RANGES: Final = 32

_LONGEST: Final = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128")
_IPV4_IN_IPV6: Final = IPv6Network("::ffff:0:0/96")


def read_ip_ranges(texts: Sequence[str], *, field: str) -> tuple[IpRange, ...]:
    """Return the ranges, those of IPv4 first, none of them inside or right beside another.

    Raises `InvalidArgument` for more than 32, for what is no range, for one whose address has bits
    beyond its prefix, and for IPv4 written as IPv6.
    """
    if len(texts) > MAX_IP_RANGES:
        raise InvalidArgument(f"at most {MAX_IP_RANGES} ranges of addresses", field=field)
    ranges = [_read(text, field) for text in texts]
    ipv4: Iterable[IpRange] = collapse_addresses(
        [one for one in ranges if isinstance(one, IPv4Network)]
    )
    ipv6: Iterable[IpRange] = collapse_addresses(
        [one for one in ranges if isinstance(one, IPv6Network)]
    )
    return (*ipv4, *ipv6)


@lru_cache(maxsize=10_000)
def read_ip_address(text: str) -> IpAddress | None:
    """Return the address, or None for what is none; IPv4 written as IPv6 is IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def is_in_any(address: IpAddress, ranges: Iterable[IpRange]) -> bool:
    """Say whether one of the ranges holds the address; an address of IPv4 is in none of IPv6."""
    return any(address in one for one in ranges)


def _read(text: str, field: str) -> IpRange:
    try:
        if len(text) > _LONGEST or "%" in text:
            raise ValueError(text)
        found = ip_network(text)
        if isinstance(found, IPv6Network) and found.overlaps(_IPV4_IN_IPV6) and found.prefixlen:
            raise ValueError(text)
    except ValueError:
        raise InvalidArgument(
            f"{field} must hold ranges such as 203.0.113.0/24 or 2001:db8::/32", field=field
        ) from None
    return found
