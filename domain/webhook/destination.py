"""Where deliveries may be sent: to the public internet, and not to anybody's own network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from domain.webhook.errors import WebhookUrlForbidden

MAX_URL: Final = 2_048
MAX_NAME: Final = 253

PORTS: Final = frozenset({443, 8443})
SANDBOX_PORTS: Final = PORTS | {80, 8080}

_DEFAULT_PORT: Final[Mapping[str, int]] = {"https": 443, "http": 80}

# RFC 3986 without what somebody else may read otherwise: no user, no fragment, no IPv6 zone, no
# escapes in a host, and nothing but visible ASCII.
_URL: Final = re.compile(
    r"(https?)://(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?(?:[/?][!\x24-\x5b\]-~]*)?",
    re.IGNORECASE,
)
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
# The last label of a name is never a number; where it is one, some read the whole as an address.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

_OWN_NAMES: Final = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "onion")

# The IANA registries of special-purpose addresses; of IPv6 only what is given out is public.
_NOT_PUBLIC: Final = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24"),
            *("192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
            # Teredo and its like, documentation, 6to4.
            *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
        ),
    )
)
_GIVEN_OUT: Final = ip_network("2000::/3")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Destinations:
    """What this installation may send to.

    Attributes:
        is_sandbox: also plain HTTP, for who has no certificate yet.
        allows_loopback: also this machine, on every port; never but in a sandbox.
    """

    is_sandbox: bool = False
    allows_loopback: bool = False

    def __post_init__(self) -> None:
        assert self.is_sandbox or not self.allows_loopback

    def require_url(self, url: str) -> str:
        """Return the URL if something may be sent to it, as far as itself tells.

        What its name stands for is looked at each time somebody connects. Raises
        `WebhookUrlForbidden`.
        """
        found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
        if found is None:
            raise _forbidden("a URL is like https://example.com/path, in visible ASCII")
        scheme, ipv6, host, port = found.groups()
        if scheme != "https" and not (scheme == "http" and self.is_sandbox):
            raise _forbidden("the scheme is https")
        if ipv6 is not None or _NUMBER.fullmatch(host.lower().rpartition(".")[2]):
            is_loopback = self._require_address(ipv6 or host)
        else:
            is_loopback = self._require_name(host.lower())
        if not is_loopback:
            self._require_port(int(port) if port else _DEFAULT_PORT[scheme])
        return url

    def allows(self, address: str) -> bool:
        """Say whether somebody may connect to an address, in the form in which it is used."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if self.allows_loopback and ip.is_loopback:
            return True
        if isinstance(ip, IPv6Address) and (ip not in _GIVEN_OUT or ip.scope_id is not None):
            return False
        return not any(ip in network for network in _NOT_PUBLIC)

    def _require_address(self, address: str) -> bool:
        """Return whether the address is this machine's, which must be allowed."""
        if not self.allows(address) or str(ip_address(address)) != address:
            raise _forbidden("an address is public, and written as usual")
        return ip_address(address).is_loopback

    def _require_name(self, host: str) -> bool:
        """Return whether the host is this machine, which must be allowed."""
        if host == "localhost" and self.allows_loopback:
            return True
        if len(host) > MAX_NAME or not _NAME.fullmatch(host):
            raise _forbidden("a host is a full name such as example.com")
        if any(host == own or host.endswith(f".{own}") for own in _OWN_NAMES):
            raise _forbidden("the host is a name of the public internet")
        return False

    def _require_port(self, port: int) -> None:
        allowed = SANDBOX_PORTS if self.is_sandbox else PORTS
        if port not in allowed:
            raise _forbidden(f"the port is one of {', '.join(map(str, sorted(allowed)))}")


def _forbidden(rule: str) -> WebhookUrlForbidden:
    return WebhookUrlForbidden(f"nothing may be sent there: {rule}", field="url", rule=rule)
