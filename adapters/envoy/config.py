"""Envoy's bootstrap: REST and gRPC for partners on one listener, all of gRPC on another.

Every route is named. What is not on the list does not exist for the outside.
"""

import base64
from dataclasses import dataclass
from typing import Any, Final

from adapters.envoy.access_log import access_log, failures_log, trace_id_filter
from adapters.envoy.cors import cors_filter, cors_policy, preflight_match
from adapters.envoy.documents import DOCUMENT_BYTES_MAX, Document, document_routes
from adapters.envoy.public_api import PublicApi, RestPath
from adapters.envoy.refusals import local_reply_config
from adapters.envoy.tls import Tls, transport_socket
from adapters.envoy.typed import typed

_LOOPBACK: Final = "127.0.0.1"
_CLUSTER: Final = "reli"

_BODY_BYTES_MAX: Final = 64 * 1024
_ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
_HEADERS_KIB_MAX: Final = 16
_HEAP_BYTES_MAX: Final = 1024 * 1024 * 1024
_STAY_ENCRYPTED_S: Final = 365 * 24 * 3_600

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
# HTTP allows more in a header's name than gRPC does, and reads nothing into it; gRPC decodes what
# these hold. The app's transport would fail the call before our code sees it.
_NOT_FOR_GRPC: Final = r".*[^0-9a-z:._-].*|.+-bin|grpc-previous-rpc-attempts"
# Whom we saw at the other end; an API key may be good for some addresses only.
_CLIENT_ADDRESS: Final = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
# The transport's remarks about the call we made of a REST request.
_GRPC_RESPONSE_HEADERS: Final = ("grpc-accept-encoding", "grpc-message", "grpc-status")

_TRANSCODER: Final = "reli.transcoder"
_BODY_LIMIT: Final = "reli.body_limit"
_BODY_AS_SENT: Final = "reli.body_as_sent"
_POSITION_AS_ID: Final = "reli.position_as_id"
_TIDY_RESPONSE: Final = "reli.tidy_response"
_SAFE_ANSWER: Final = "reli.safe_answer"
_SWITCHED_ON: Final = typed("config.route.v3.FilterConfig", config={})
_SWITCHED_OFF: Final = typed("config.route.v3.FilterConfig", disabled=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Where Envoy listens and what lies behind it; everything on the loopback interface.

    Attributes:
        tls: where the same API is served encrypted, if anywhere.
        cors_origins: the pages that may call from a browser, such as `https://app.example`.
        headers_within_ms: how long the headers of a request, or a TLS handshake, may take.
        request_within_ms: how long a whole request may take, whatever it is: against clients that
            trickle.
        connections_max: of all listeners together.
    """

    rest_port: int
    grpc_port: int
    admin_port: int
    upstream_ports: tuple[int, ...]
    descriptor_set: bytes
    documents: tuple[Document, ...] = ()
    rest_timeout_ms: int = 5_000
    tls: Tls | None = None
    cors_origins: tuple[str, ...] = ()
    headers_within_ms: int = 5_000
    request_within_ms: int = 10_000
    connections_max: int = 10_000


def bootstrap(edge: Edge) -> dict[str, Any]:
    """Build the configuration, a tree that `json.dumps` turns into Envoy's file."""
    api = PublicApi.read(edge.descriptor_set)
    return {
        "admin": {"address": _address(edge.admin_port)},
        "static_resources": {
            "listeners": [
                _listener("public", edge.rest_port, _public_manager(api, edge)),
                *([_tls_listener(api, edge, edge.tls)] if edge.tls else []),
                _listener("internal", edge.grpc_port, _internal_manager(edge)),
            ],
            "clusters": [_cluster(edge.upstream_ports)],
        },
        "overload_manager": _overload_manager(edge),
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
    }


_RUNTIME: Final = {
    # Against streams that are opened only to be reset (CVE-2023-44487).
    "overload.premature_reset_total_stream_count": 500,
    "overload.premature_reset_min_stream_lifetime_seconds": 1,
    "http.max_requests_per_io_cycle": 10,
}


def _public_manager(api: PublicApi, edge: Edge, *, is_tls: bool = False) -> dict[str, Any]:
    routes: list[dict[str, Any]] = [
        _TWO_HOSTS_ROUTE,
        *([_preflight_route(edge)] if edge.cors_origins else []),
        *(
            route | {"typed_per_filter_config": {_TRANSCODER: _SWITCHED_OFF}}
            for route in document_routes(edge.documents)
        ),
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
        *([cors_filter()] if edge.cors_origins else []),
        trace_id_filter(),
        {"name": _SAFE_ANSWER, "typed_config": _safe_answer(is_tls)},
        {"name": _TIDY_RESPONSE, "disabled": True, "typed_config": _tidy_response()},
        {"name": _BODY_LIMIT, "disabled": True, "typed_config": _body_limit()},
        {"name": _BODY_AS_SENT, "disabled": True, "typed_config": _lua(_SHOW_BODY_AS_SENT)},
        {"name": _POSITION_AS_ID, "disabled": True, "typed_config": _lua(_SAY_POSITION_AS_ID)},
        {"name": _TRANSCODER, "typed_config": _transcoder(api, edge.descriptor_set)},
    ]
    manager = _manager("public", edge, routes, filters, access_log())
    if edge.cors_origins:
        [host] = manager["route_config"]["virtual_hosts"]
        host["typed_per_filter_config"] = cors_policy(edge.cors_origins)
    return manager | {"request_timeout": _duration(edge.request_within_ms)}


def _internal_manager(edge: Edge) -> dict[str, Any]:
    """For our own processes and tools: every service, streams of any length."""
    match = {"prefix": "/", "grpc": {}, "headers": [_IS_POST]}
    everything = {"match": match, "route": _to_cluster(timeout="0s")}
    return _manager("internal", edge, [everything], [], failures_log())


def _manager(
    name: str,
    edge: Edge,
    routes: list[dict[str, Any]],
    filters: list[dict[str, Any]],
    log: dict[str, Any],
) -> dict[str, Any]:
    router = typed("extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    return typed(
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
        request_headers_timeout=_duration(edge.headers_within_ms),
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
        access_log=[log],
        local_reply_config=local_reply_config(),
        route_config={
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
            "max_direct_response_body_size_bytes": DOCUMENT_BYTES_MAX,
            "request_headers_to_add": [
                _told("x-reli-client-address", _CLIENT_ADDRESS),
                _told("x-reli-listener", name),
            ],
        },
        http_filters=[*filters, {"name": "reli.router", "typed_config": router}],
    )


def _told(name: str, value: str) -> dict[str, Any]:
    """Tell what only we know, whatever the caller said under that name."""
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _grpc_route(match: dict[str, str], longest: str) -> dict[str, Any]:
    cap = {"max_stream_duration": longest, "grpc_timeout_header_max": longest}
    return {
        "match": {**match, "grpc": {}, "headers": [_IS_POST]},
        "route": _to_cluster(timeout="0s") | {"max_stream_duration": cap},
        "typed_per_filter_config": {_TRANSCODER: _SWITCHED_OFF},
    }


def _rest_route(path: RestPath, timeout_ms: int) -> dict[str, Any]:
    return {
        "match": _path_match(path, _is_method(path), _HAS_JSON_OR_NO_BODY),
        "route": _to_cluster(timeout=_duration(timeout_ms)),
        "request_headers_to_add": [
            _told("grpc-timeout", f"{timeout_ms + _DEADLINE_MARGIN_MS}m"),
        ],
        "typed_per_filter_config": {
            _TIDY_RESPONSE: _SWITCHED_ON,
            _BODY_LIMIT: _SWITCHED_ON,
            _BODY_AS_SENT: _SWITCHED_ON,
        },
    }


def _live_route(path: RestPath, api: PublicApi, descriptor_set: bytes) -> dict[str, Any]:
    """Answer with server-sent events, each as soon as it is there."""
    route = _rest_route(path, _STREAM_MS_MAX)
    return route | {
        "route": route["route"] | {"idle_timeout": _LIVE_IDLE},
        "typed_per_filter_config": route["typed_per_filter_config"]
        | {
            _TRANSCODER: _transcoder(api, descriptor_set, stream_sse_style_delimited=True),
            _POSITION_AS_ID: _SWITCHED_ON,
        },
    }


def _preflight_route(edge: Edge) -> dict[str, Any]:
    return {"match": preflight_match(edge.cors_origins), "route": _to_cluster(timeout="1s")}


def _wrong_media_type_route(path: RestPath) -> dict[str, Any]:
    return {
        "match": _path_match(path, _is_method(path), _IS_NOT_GRPC),
        "direct_response": {"status": 415},
        "typed_per_filter_config": {_TRANSCODER: _SWITCHED_OFF},
    }


def _wrong_method_route(path: RestPath) -> dict[str, Any]:
    allow = {"key": "allow", "value": ", ".join(path.methods)}
    return {
        "match": _path_match(path, _IS_NOT_GRPC),
        "direct_response": {"status": 405},
        "response_headers_to_add": [{"header": allow}],
        "typed_per_filter_config": {_TRANSCODER: _SWITCHED_OFF},
    }


# Envoy makes one of several hosts, and nobody could say which of them was called.
_TWO_HOSTS_ROUTE: Final = {
    "match": {
        "prefix": "/",
        "headers": [{"name": ":authority", "string_match": {"contains": ","}}],
    },
    "direct_response": {"status": 400, "body": {"inline_string": "more than one host"}},
    "typed_per_filter_config": {_TRANSCODER: _SWITCHED_OFF},
}
_IS_POST: Final = {"name": ":method", "string_match": {"exact": "POST"}}
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
    return typed(
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
        # The app refuses what is ignored here, and can say what may be meant.
        ignore_unknown_query_parameters=True,
        request_validation_options={
            "reject_unknown_method": True,
            "reject_binding_body_field_collisions": True,
        },
    )


def _body_limit() -> dict[str, Any]:
    # The transcoder's own limit counts what it still holds of a body, not the body.
    return typed("extensions.filters.http.buffer.v3.Buffer", max_request_bytes=_BODY_BYTES_MAX)


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


# Who reads server-sent events asks again with the last id that he was told. The transcoder writes
# none; each message it writes in one piece, and `position` is the last of its fields.
_SAY_POSITION_AS_ID: Final = """
local with_position = '(data: [^\\n]*"position":"([1-9]%d*)"}\\n\\n)'
function envoy_on_response(handle)
  for chunk in handle:bodyChunks() do
    local told, found = chunk:getBytes(0, chunk:length()):gsub(with_position, "id: %2\\n%1")
    if found > 0 then
      chunk:setBytes(told)
    end
  end
end
"""


def _lua(script: str) -> dict[str, Any]:
    return typed(
        "extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": script}
    )


def _tidy_response() -> dict[str, Any]:
    removals = [{"remove": name} for name in _GRPC_RESPONSE_HEADERS]
    return _response_headers(removals)


def _safe_answer(is_tls: bool) -> dict[str, Any]:
    """An answer is one caller's alone and never a page; who came encrypted is to stay so."""
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if is_tls:
        headers["strict-transport-security"] = f"max-age={_STAY_ENCRYPTED_S}"
    return _response_headers(
        [
            {
                "append": {
                    "header": {"key": key, "value": value},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            }
            for key, value in headers.items()
        ]
    )


def _response_headers(mutations: list[dict[str, Any]]) -> dict[str, Any]:
    return typed(
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"response_mutations": mutations},
    )


def _strip_internal_headers() -> dict[str, Any]:
    return typed(
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            *({"remove": name} for name in _INTERNAL_HEADERS),
            *(
                {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}}
                for prefix in _INTERNAL_HEADER_PREFIXES
            ),
            {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": _NOT_FOR_GRPC}}}},
        ],
    )


def _overload_manager(edge: Edge) -> dict[str, Any]:
    """Refuse what is new before memory or connections run out."""
    monitors = {
        "global_downstream_max_connections": typed(
            "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            max_active_downstream_connections=edge.connections_max,
        ),
        "fixed_heap": typed(
            "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
            max_heap_size_bytes=_HEAP_BYTES_MAX,
        ),
    }
    actions = {"shrink_heap": 0.9, "disable_http_keepalive": 0.92, "stop_accepting_requests": 0.95}
    return {
        "resource_monitors": [
            {"name": f"envoy.resource_monitors.{name}", "typed_config": config}
            for name, config in monitors.items()
        ],
        "actions": [
            {
                "name": f"envoy.overload_actions.{name}",
                "triggers": [
                    {
                        "name": "envoy.resource_monitors.fixed_heap",
                        "threshold": {"value": share},
                    }
                ],
            }
            for name, share in actions.items()
        ],
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
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
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


def _tls_listener(api: PublicApi, edge: Edge, tls: Tls) -> dict[str, Any]:
    listener = _listener("public_tls", tls.port, _public_manager(api, edge, is_tls=True))
    [chain] = listener["filter_chains"]
    chain["transport_socket"] = transport_socket(tls)
    chain["transport_socket_connect_timeout"] = _duration(edge.headers_within_ms)
    return listener


def _duration(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g}s"


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": _LOOPBACK, "port_value": port}}
