"""What Envoy writes down of calls: nothing that may be secret.

So neither queries nor bodies, and of headers only what we made ourselves; a caller's trace is taken
out of its header by its form.
"""

from typing import Any, Final

from adapters.envoy.typed import typed

_TRACE: Final = "reli.trace"
_PATH_CHARACTERS_MAX: Final = 256
_FIELDS: Final = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": f"%DYNAMIC_METADATA({_TRACE}:id)%",
    "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "protocol": "%PROTOCOL%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "path": f"%PATH(NQ:ORIG_OR_PATH):{_PATH_CHARACTERS_MAX}%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "received_bytes": "%BYTES_RECEIVED%",
    "sent_bytes": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
}


def access_log() -> dict[str, Any]:
    """One line of JSON for each call."""
    return {
        "name": "reli.access",
        "typed_config": typed(
            "extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": _FIELDS},
        ),
    }


def failures_log() -> dict[str, Any]:
    """One line for each call that we failed."""
    least = {"default_value": 500, "runtime_key": "reli.access_log.status_min"}
    only = {"status_code_filter": {"comparison": {"op": "GE", "value": least}}}
    return access_log() | {"filter": only}


def trace_id_filter() -> dict[str, Any]:
    """Note the caller's trace for the log, if its `traceparent` has the form of one."""
    note = {
        "metadata_namespace": _TRACE,
        "key": "id",
        "regex_value_rewrite": {
            "pattern": {"regex": "^(?:00-([0-9a-f]{32})-.*|.*)$"},
            "substitution": "\\1",
        },
    }
    return {
        "name": "reli.trace_id",
        "typed_config": typed(
            "extensions.filters.http.header_to_metadata.v3.Config",
            request_rules=[{"header": "traceparent", "on_header_present": note}],
        ),
    }
