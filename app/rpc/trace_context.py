"""W3C Trace Context: the trace that a call belongs to, as far as its caller says so well."""

import re
from collections.abc import Mapping
from typing import Any, Final

_TRACE_PARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)


def trace_id_of(metadata: Mapping[str, Any]) -> str:
    """Return the id under which the caller's tools know the call; empty without a valid one.

    A `traceparent` that is not what the standard says is ignored, as the standard wants it.
    """
    found = _TRACE_PARENT.fullmatch(metadata.get("traceparent", ""))
    return found[1] if found else ""
