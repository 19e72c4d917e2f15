"""Envoy's bootstrap: REST and gRPC for partners on one listener, all of gRPC on another.

Every route is named. What is not on the list does not exist for the outside.
"""

import base64
from dataclasses import dataclass
from typing import Any, Final

from adapters.envoy.public_api import PublicApi, RestPath
from adapters.envoy.refusals import local_reply_config

_LOOPBACK: Final = "127.0.0.1"
_CLUSTER: Final = "reli"

_BODY_BYTES_MAX: Final = 64 * 1024
_ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
_HEADERS_KIB_MAX: Final = 16

# The app's deadline for a REST call is a little later than Envoy's: the caller then hears our
# envelope and not gRPC's bare "Deadline Exceeded".
_DEADLINE_MARGIN_MS: Final = 250
_GRPC_TIMEOUT_MAX: Final = "15s"
# An answer of any length takes as long as its client reads; the idle timeout is what ends it.
_STREAM_MS_MAX: Final = 3_600_000
# A live stream has a heartbeat every few seconds; where none gets through, nobody reads.
_LIVE_IDLE: Final = "30s"

_JSON_OR_NONE: Final = r"(application/json\s*(;.*)?)?"
_BODY_METHODS: Final = frozenset({"PATCH", "POST", "PUT"})

# Names that mean something behind the front door; nobody outside may say them.
_INTERNAL_HEADER_PREFIXES: Final = ("x-envoy-", "x-forwarded-", "x-reli-")
_INTERNAL_HEADERS: Final = ("forwarded", "x-real-ip", "x-request-id", "x-tenant-id")
# The transport's remarks about the call we made of a REST request.
_GRPC_RESPONSE_HEADERS: Final = ("grpc-accept-encoding", "grpc-message", "grpc-status")

_TYPES: Final = "type.googleapis.com/envoy."
_TRANSCODER: Final = "reli.transcoder"
_BODY_LIMIT: Final = "reli.body_limit"
_BODY_AS_SENT: Final = "reli.body_as_sent"
_TIDY_RESPONSE: Final = "reli.tidy_response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Where Envoy listens and what lies behind it; everything on the loopback interface."""

    rest_port: int
    grpc_port: int
    admin_port: int
    upstream_ports: tuple[int, ...]
    descriptor_set: bytes
    rest_timeout_ms: int = 5_000


def bootstrap(edge: Edge) -> dict[str, Any]:
    """Build the configuration, a tree that `json.dumps` turns into Envoy's file."""
    api = PublicApi.read(edge.descriptor_set)
    return {
        "admin": {"address": _address(edge.admin_port)},
        "static_resources": {
            "listeners": [
                _listener("public", edge.rest_port, _public_manager(api, edge)),
                _listener("internal", edge.grpc_port, _internal_manager()),
            ],
            "clusters": [_cluster(edge.upstream_ports)],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": _typed(
                        "extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        max_active_downstream_connections=10_000,
                    ),
                }
            ]
        },
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
    }


_RUNTIME: Final = {
    # Against streams that are opened only to be reset (CVE-2023-44487).
    "overload.premature_reset_total_stream_count": 500,
    "overload.premature_reset_min_stream_lifetime_seconds": 1,
    "http.max_requests_per_io_cycle": 10,
}


def _public_manager(api: PublicApi, edge: Edge) -> dict[str, Any]:
    routes: list[dict[str, Any]] = [
        *(_grpc_route({"path": stream}, f"{_STREAM_MS_MAX // 1000}s") for stream in api.streams),
        *(_grpc_route({"prefix": f"/{name}/"}, _GRPC_TIMEOUT_MAX) for name in api.services),
        # In this order, so that a path that fits two templates is refused only if neither takes it.
        *(
            _live_route(path, api, edge.descriptor_set)
            if path.is_live
            else _rest_route(path, _STREAM_MS_MAX if path.is_stream else edge.rest_timeout_ms)
            for path in api.paths
        ),
        *(_wrong_media_type_route(path) for path in api.paths if _BODY_METHODS & {*path.methods}),
        *(_wrong_method_route(path) for path in api.paths),
    ]
    filters: list[dict[str, Any]] = [
        {"name": _TIDY_RESPONSE, "disabled": True, "typed_config": _tidy_response()},
        {"name": _BODY_LIMIT, "disabled": True, "typed_config": _body_limit()},
        {"name": _BODY_AS_SENT, "disabled": True, "typed_config": _body_as_sent()},
        {"name": _TRANSCODER, "typed_config": _transcoder(api, edge.descriptor_set)},
    ]
    # How long a request may take to arrive, whatever it is: against clients that trickle.
    return _manager("public", routes, filters) | {"request_timeout": "10s"}


def _internal_manager() -> dict[str, Any]:
    """For our own processes and tools: every service, streams of any length."""
    everything = {"match": {"prefix": "/", "grpc": {}}, "route": _to_cluster(timeout="0s")}
    return _manager("internal", [everything], [])


def _manager(
    name: str, routes: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> dict[str, Any]:
    router = _typed("extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    return _typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        server_name="reli",
        use_remote_address=True,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        common_http_protocol_options={
            "headers_with_underscores_action": "REJECT_REQUEST",
            "max_headers_count": 64,
            "idle_timeout": "300s",
        },
        max_request_headers_kb=_HEADERS_KIB_MAX,
        request_headers_timeout="5s",
        stream_idle_timeout="300s",
        http2_protocol_options={
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        early_header_mutation_extensions=[
            {"name": "reli.strip_internal_headers", "typed_config": _strip_internal_headers()}
        ],
        always_set_request_id_in_response=True,
        access_log=[_failures_log()],
        local_reply_config=local_reply_config(),
        route_config={"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        http_filters=[*filters, {"name": "reli.router", "typed_config": router}],
    )


def _grpc_route(match: dict[str, str], longest: str) -> dict[str, Any]:
    cap = {"max_stream_duration": longest, "grpc_timeout_header_max": longest}
    return {
        "match": {**match, "grpc": {}},
        "route": _to_cluster(timeout="0s") | {"max_stream_duration": cap},
        "typed_per_filter_config": {_TRANSCODER: _switched_off()},
    }


def _rest_route(path: RestPath, timeout_ms: int) -> dict[str, Any]:
    deadline = {"key": "grpc-timeout", "value": f"{timeout_ms + _DEADLINE_MARGIN_MS}m"}
    return {
        "match": _path_match(path, _is_method(path), _HAS_JSON_OR_NO_BODY),
        "route": _to_cluster(timeout=f"{timeout_ms / 1000:g}s"),
        "request_headers_to_add": [
            {"header": deadline, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
        "typed_per_filter_config": {
            _TIDY_RESPONSE: _switched_on(),
            _BODY_LIMIT: _switched_on(),
            _BODY_AS_SENT: _switched_on(),
        },
    }


def _live_route(path: RestPath, api: PublicApi, descriptor_set: bytes) -> dict[str, Any]:
    """Answer with server-sent events, each as soon as it is there."""
    route = _rest_route(path, _STREAM_MS_MAX)
    fresh = {"key": "cache-control", "value": "no-store"}
    return route | {
        "route": route["route"] | {"idle_timeout": _LIVE_IDLE},
        "response_headers_to_add": [{"header": fresh}],
        "typed_per_filter_config": route["typed_per_filter_config"]
        | {_TRANSCODER: _transcoder(api, descriptor_set, stream_sse_style_delimited=True)},
    }


def _wrong_media_type_route(path: RestPath) -> dict[str, Any]:
    return {
        "match": _path_match(path, _is_method(path), _IS_NOT_GRPC),
        "direct_response": {"status": 415},
        "typed_per_filter_config": {_TRANSCODER: _switched_off()},
    }


def _wrong_method_route(path: RestPath) -> dict[str, Any]:
    allow = {"key": "allow", "value": ", ".join(path.methods)}
    return {
        "match": _path_match(path, _IS_NOT_GRPC),
        "direct_response": {"status": 405},
        "response_headers_to_add": [{"header": allow}],
        "typed_per_filter_config": {_TRANSCODER: _switched_off()},
    }


_HAS_JSON_OR_NO_BODY: Final = {
    "name": "content-type",
    "treat_missing_header_as_empty": True,
    "string_match": {"safe_regex": {"regex": _JSON_OR_NONE}},
}
_IS_NOT_GRPC: Final = {
    "name": "content-type",
    "treat_missing_header_as_empty": True,
    "string_match": {"prefix": "application/grpc"},
    "invert_match": True,
}


def _is_method(path: RestPath) -> dict[str, Any]:
    return {
        "name": ":method",
        "string_match": {"safe_regex": {"regex": "|".join(path.methods)}},
    }


def _path_match(path: RestPath, *headers: dict[str, Any]) -> dict[str, Any]:
    return {"safe_regex": {"regex": path.regex}, "headers": list(headers)}


def _to_cluster(*, timeout: str) -> dict[str, Any]:
    """Send it once: whether to try again is the caller's decision, with the same request id."""
    return {"cluster": _CLUSTER, "timeout": timeout}


def _transcoder(api: PublicApi, descriptor_set: bytes, **print_options: bool) -> dict[str, Any]:
    return _typed(
        "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor_bin=base64.b64encode(descriptor_set).decode(),
        services=list(api.services),
        # The route was chosen by the REST path and carries its limits; keep it.
        match_incoming_request_route=True,
        convert_grpc_status=True,
        max_response_body_size=_ANSWER_BYTES_MAX,
        print_options={
            "always_print_primitive_fields": True,
            "preserve_proto_field_names": True,
            **print_options,
        },
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    )


def _body_limit() -> dict[str, Any]:
    # The transcoder's own limit counts what it still holds of a body, not the body.
    return _typed("extensions.filters.http.buffer.v3.Buffer", max_request_bytes=_BODY_BYTES_MAX)


# The transcoder drops what it does not know, so the app is shown what was sent: see decision 0030.
# The app refuses a REST call without this header, so a script that fails lets nothing through.
_SHOW_BODY_AS_SENT: Final = """
function envoy_on_request(handle)
  local body = handle:body()
  local sent = body and body:getBytes(0, body:length()) or ""
  local headers = handle:headers()
  headers:replace("x-reli-body-bin", handle:base64Escape(sent))
  headers:replace("x-reli-authority", headers:get(":authority"))
end
"""


def _body_as_sent() -> dict[str, Any]:
    return _typed(
        "extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": _SHOW_BODY_AS_SENT},
    )


def _tidy_response() -> dict[str, Any]:
    removals = [{"remove": name} for name in _GRPC_RESPONSE_HEADERS]
    return _typed(
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"response_mutations": removals},
    )


def _strip_internal_headers() -> dict[str, Any]:
    return _typed(
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            *({"remove": name} for name in _INTERNAL_HEADERS),
            *(
                {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}}
                for prefix in _INTERNAL_HEADER_PREFIXES
            ),
        ],
    )


def _failures_log() -> dict[str, Any]:
    """One line for each call that we failed; neither headers nor queries, they may be secret."""
    fields = {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "status": "%RESPONSE_CODE%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "duration_ms": "%DURATION%",
    }
    least = {"default_value": 500, "runtime_key": "reli.access_log.status_min"}
    return {
        "name": "reli.failures",
        "filter": {"status_code_filter": {"comparison": {"op": "GE", "value": least}}},
        "typed_config": _typed(
            "extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": fields},
        ),
    }


def _cluster(ports: tuple[int, ...]) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    http2 = {
        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
        "initial_stream_window_size": 1024 * 1024,
        "initial_connection_window_size": 8 * 1024 * 1024,
    }
    return {
        "name": _CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "load_assignment": {
            "cluster_name": _CLUSTER,
            "endpoints": [{"lb_endpoints": endpoints}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config={"http2_protocol_options": http2},
            )
        },
        "health_checks": [
            {
                "interval": "1s",
                "no_traffic_interval": "1s",
                "timeout": "1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "circuit_breakers": {
            "thresholds": [{"max_requests": 2_048, "max_pending_requests": 1_024}]
        },
    }


def _listener(name: str, port: int, manager: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "address": _address(port),
        "per_connection_buffer_limit_bytes": 32 * 1024,
        "filter_chains": [{"filters": [{"name": f"reli.{name}", "typed_config": manager}]}],
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": _LOOPBACK, "port_value": port}}


def _switched_off() -> dict[str, Any]:
    return _typed("config.route.v3.FilterConfig", disabled=True)


def _switched_on() -> dict[str, Any]:
    return _typed("config.route.v3.FilterConfig", config={})


def _typed(name: str, **fields: Any) -> dict[str, Any]:
    return {"@type": _TYPES + name, **fields}
