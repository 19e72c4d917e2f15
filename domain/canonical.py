"""The one text of a value, for what is hashed or signed."""

import json
from datetime import UTC, datetime
from typing import Final

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of a value (RFC 8785), which has no number but whole ones.

    Names are ASCII, so that the order of their code points is that of RFC 8785.
    """
    return _ENCODER.encode(value).encode()


def instant_text(instant: datetime) -> str:
    """Return an instant as RFC 3339 has it, in UTC and with six digits of a second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
