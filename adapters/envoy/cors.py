"""Which pages of other origins may call from a browser; none, unless somebody lists them."""

import re
from typing import Any, Final

from adapters.envoy.typed import typed

_FILTER: Final = "reli.cors"
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS: Final = "authorization, content-type, idempotency-key, traceparent, tracestate"
_ANSWER_HEADERS: Final = "x-request-id, retry-after"
_REMEMBERED_S: Final = 600


def cors_filter() -> dict[str, Any]:
    return {"name": _FILTER, "typed_config": typed("extensions.filters.http.cors.v3.Cors")}


def cors_policy(origins: tuple[str, ...]) -> dict[str, Any]:
    """Let pages of these origins call; they send a key like everybody, so no cookie counts."""
    policy = typed(
        "extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in origins],
        allow_methods=_METHODS,
        allow_headers=_REQUEST_HEADERS,
        expose_headers=_ANSWER_HEADERS,
        max_age=str(_REMEMBERED_S),
    )
    return {_FILTER: policy}


def preflight_match(origins: tuple[str, ...]) -> dict[str, Any]:
    """Match what a listed page's browser asks before it calls, which the filter answers.

    It does so only on a route that forwards, and lets pass what it does not like; so nothing but
    what it answers may match.
    """
    listed = "|".join(re.escape(origin) for origin in origins)
    return {
        "prefix": "/",
        "headers": [
            {"name": ":method", "string_match": {"exact": "OPTIONS"}},
            {"name": "origin", "string_match": {"safe_regex": {"regex": listed}}},
            {
                "name": "access-control-request-method",
                "string_match": {"safe_regex": {"regex": ".+"}},
            },
        ],
    }
