"""How Envoy's configuration names what a part of it is."""

from typing import Any, Final

_TYPES: Final = "type.googleapis.com/envoy."


def typed(name: str, **fields: Any) -> dict[str, Any]:
    """Return a message of Envoy's own API, such as `extensions.filters.http.router.v3.Router`."""
    return {"@type": _TYPES + name, **fields}
