"""The edge's configuration keeps its promises before any Envoy reads it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.api.annotations_pb2 import http
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from adapters.envoy.config import Edge, bootstrap
from adapters.envoy.descriptor import descriptor_set_path
from adapters.envoy.documents import Document
from adapters.envoy.public_api import PublicApi, RestPath
from adapters.envoy.refusals import REFUSALS, local_reply_config
from adapters.envoy.tls import Tls

DESCRIPTOR_SET = descriptor_set_path().read_bytes()
EDGE = Edge(
    rest_port=1,
    grpc_port=2,
    admin_port=3,
    upstream_ports=(4, 5),
    descriptor_set=DESCRIPTOR_SET,
)


ENCRYPTED = replace(EDGE, tls=Tls(port=6, certificate=Path("/a.pem"), key=Path("/b.pem")))


def nodes(tree: Any, key: str) -> Iterator[Any]:
    """Find every value under `key`, however deep."""
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    if isinstance(tree, dict) and key in tree:
        yield tree[key]
    for child in children:
        yield from nodes(child, key)


def managers(edge: Edge = ENCRYPTED) -> dict[str, dict[str, Any]]:
    """Return what manages the connections of each listener, by the listener's name."""
    found = {}
    for listener in bootstrap(edge)["static_resources"]["listeners"]:
        [chain] = listener["filter_chains"]
        [manager] = chain["filters"]
        found[listener["name"]] = manager["typed_config"]
    return found


def public_routes(edge: Edge = EDGE) -> list[dict[str, Any]]:
    [public] = (
        listener
        for listener in bootstrap(edge)["static_resources"]["listeners"]
        if listener["name"] == "public"
    )
    [routes] = nodes(public, "routes")
    assert isinstance(routes, list)
    return routes


def test_everything_listens_on_the_loopback_interface() -> None:
    addresses = list(nodes(bootstrap(EDGE), "socket_address"))

    assert sorted(address["port_value"] for address in addresses) == [1, 2, 3, 4, 5]
    assert {address["address"] for address in addresses} == {"127.0.0.1"}


def test_the_configuration_is_json() -> None:
    config = bootstrap(EDGE)

    assert json.loads(json.dumps(config)) == config


def test_nothing_is_tried_twice() -> None:
    assert not list(nodes(bootstrap(EDGE), "retry_policy"))


def test_the_public_listener_has_no_catch_all() -> None:
    matches = [route["match"] for route in public_routes() if "route" in route]

    for match in matches:
        if "prefix" in match:
            assert re.fullmatch(r"/reli\.[a-z]+\.v1\.[A-Za-z]+Service/", match["prefix"])
            assert match["grpc"] == {}
        elif "path" in match:
            assert match["path"] in PublicApi.read(DESCRIPTOR_SET).streams
            assert match["grpc"] == {}
        else:
            assert match["safe_regex"]["regex"].startswith(("/v1/", r"/\.well\-known/"))


def test_every_public_route_that_reaches_the_app_is_bounded_in_time() -> None:
    actions = [route["route"] for route in public_routes() if "route" in route]

    for action in actions:
        assert action["timeout"] != "0s" or action["max_stream_duration"]["grpc_timeout_header_max"]


def test_only_answers_of_any_length_take_longer_than_a_call() -> None:
    caps = {
        next(iter(route["match"].values())): route["route"]["max_stream_duration"]
        for route in public_routes()
        if "max_stream_duration" in route.get("route", {})
    }
    streams = PublicApi.read(DESCRIPTOR_SET).streams

    assert "/reli.ledger.v1.StatementService/GetStatement" in streams
    for match, cap in caps.items():
        longest = "3600s" if match in streams else "15s"
        assert cap == {"max_stream_duration": longest, "grpc_timeout_header_max": longest}


def test_the_public_services_are_those_with_an_http_form() -> None:
    annotated = {
        f"{file.package}.{service.name}"
        for file in FileDescriptorSet.FromString(DESCRIPTOR_SET).file
        for service in file.service
        if any(method.options.HasExtension(http) for method in service.method)
    }
    api = PublicApi.read(DESCRIPTOR_SET)

    assert set(api.services) == annotated
    for transcoded in nodes(bootstrap(EDGE), "services"):
        assert set(transcoded) == annotated


def test_live_streams_alone_are_server_sent_events() -> None:
    as_events = [
        route for route in public_routes() if [*nodes(route, "stream_sse_style_delimited")]
    ]

    assert [route["match"]["safe_regex"]["regex"] for route in as_events] == [
        re.escape(path.template) for path in PublicApi.read(DESCRIPTOR_SET).paths if path.is_live
    ]
    assert as_events
    for route in as_events:
        assert route["route"]["idle_timeout"] == "30s"


@pytest.mark.parametrize("header", ["forwarded", "x-real-ip", "x-request-id", "x-tenant-id"])
def test_an_internal_header_is_stripped_on_every_listener(header: str) -> None:
    for listener in bootstrap(EDGE)["static_resources"]["listeners"]:
        [extensions] = nodes(listener, "early_header_mutation_extensions")
        removed = list(nodes(extensions, "remove"))
        prefixes = list(nodes([*nodes(extensions, "key_matcher")], "prefix"))

        assert header in removed
        assert set(prefixes) == {"x-envoy-", "x-forwarded-", "x-reli-"}


def test_the_caller_is_known_by_the_address_that_envoy_saw() -> None:
    for manager in managers().values():
        assert manager["use_remote_address"] is True
        assert "xff_num_trusted_hops" not in manager


def test_paths_are_tidied_before_anything_is_decided() -> None:
    for manager in managers().values():
        assert manager["normalize_path"] is True
        assert manager["merge_slashes"] is True
        assert manager["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
        options = manager["common_http_protocol_options"]
        assert options["headers_with_underscores_action"] == "REJECT_REQUEST"


def test_every_connection_is_bounded() -> None:
    for listener in bootstrap(ENCRYPTED)["static_resources"]["listeners"]:
        assert listener["per_connection_buffer_limit_bytes"] == 32 * 1024
    for manager in managers().values():
        assert manager["http2_protocol_options"] == {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        }
        assert manager["max_request_headers_kb"] == 16
        assert manager["common_http_protocol_options"]["max_headers_count"] == 64
        assert manager["common_http_protocol_options"]["idle_timeout"] == "300s"
        assert manager["stream_idle_timeout"] == "300s"
        assert manager["request_headers_timeout"] == "5s"
    for name in ("public", "public_tls"):
        assert managers()[name]["request_timeout"] == "10s"


def test_all_connections_together_are_bounded() -> None:
    overload = bootstrap(EDGE)["overload_manager"]
    limits = {one["name"].rpartition(".")[2]: one for one in overload["resource_monitors"]}
    [connections] = nodes(limits["global_downstream_max_connections"], "typed_config")
    [heap] = nodes(limits["fixed_heap"], "typed_config")

    assert connections["max_active_downstream_connections"] == 10_000
    assert heap["max_heap_size_bytes"] == 2**30
    assert "envoy.overload_actions.stop_accepting_requests" in {
        action["name"] for action in overload["actions"]
    }


def test_streams_that_are_reset_at_once_are_counted() -> None:
    [layer] = nodes(bootstrap(EDGE), "static_layer")

    assert layer == {
        "overload.premature_reset_total_stream_count": 500,
        "overload.premature_reset_min_stream_lifetime_seconds": 1,
        "http.max_requests_per_io_cycle": 10,
    }


def test_bodies_and_answers_are_bounded() -> None:
    assert set(nodes(bootstrap(ENCRYPTED), "max_request_bytes")) == {64 * 1024}
    assert set(nodes(bootstrap(ENCRYPTED), "max_response_body_size")) == {4 * 1024 * 1024}
    for route in public_routes():
        if "safe_regex" in route["match"] and "route" in route:
            assert route["typed_per_filter_config"]["reli.body_limit"]["config"] == {}


def test_no_filter_sends_a_request_to_another_route_than_was_chosen() -> None:
    assert not list(nodes(bootstrap(ENCRYPTED), "clear_route_cache"))
    assert set(nodes(bootstrap(ENCRYPTED), "match_incoming_request_route")) == {True}


def test_what_the_transcoder_would_drop_is_shown_on_every_rest_route() -> None:
    for name in ("public", "public_tls"):
        filters = [one["name"] for one in managers()[name]["http_filters"]]

        assert filters.index("reli.body_limit") < filters.index("reli.body_as_sent")
        assert filters.index("reli.body_as_sent") < filters.index("reli.transcoder")
    for route in public_routes():
        if "safe_regex" in route["match"] and "route" in route:
            assert route["typed_per_filter_config"]["reli.body_as_sent"]["config"] == {}
    for options in nodes(bootstrap(ENCRYPTED), "request_validation_options"):
        assert set(options.values()) == {True}


def test_the_encrypted_listener_serves_what_the_other_one_serves() -> None:
    plain, encrypted = managers()["public"], managers()["public_tls"]
    differing = {key for key in plain if plain[key] != encrypted[key]}

    assert plain.keys() == encrypted.keys()
    assert differing == {"http_filters"}  # which asks callers to stay encrypted
    assert "strict-transport-security" in json.dumps(encrypted)
    assert "strict-transport-security" not in json.dumps(plain)


def test_encryption_is_modern() -> None:
    [context] = nodes(bootstrap(ENCRYPTED), "common_tls_context")
    parameters = context["tls_params"]

    assert parameters["tls_minimum_protocol_version"] == "TLSv1_2"
    assert parameters["tls_maximum_protocol_version"] == "TLSv1_3"
    assert context["alpn_protocols"] == ["h2", "http/1.1"]
    for cipher in parameters["cipher_suites"]:
        assert re.fullmatch(r"ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-.+|CHACHA20-POLY1305)", cipher)
    assert list(nodes(bootstrap(ENCRYPTED), "transport_socket_connect_timeout")) == ["5s"]


def test_every_public_call_is_logged_and_nothing_that_may_be_secret() -> None:
    for name, manager in managers().items():
        [log] = manager["access_log"]
        [fields] = nodes(log, "json_format")

        assert ("filter" in log) == (name == "internal")
        assert {"request_id", "method", "path", "status", "peer", "duration_ms"} <= fields.keys()
        said = {header for text in fields.values() for header in re.findall(r"REQ\(([^)]+)", text)}
        assert said == {"X-REQUEST-ID", "X-ENVOY-ORIGINAL-METHOD?:METHOD"}
        assert "NQ" in fields["path"]


def test_no_page_may_call_unless_it_is_listed() -> None:
    assert "cors" not in json.dumps(bootstrap(EDGE))

    [policy] = nodes(bootstrap(replace(EDGE, cors_origins=("https://a.example",))), "reli.cors")
    assert policy["allow_origin_string_match"] == [{"exact": "https://a.example"}]
    assert "allow_credentials" not in policy


@pytest.mark.parametrize("foreign", ["x-a!b", "x|y", "trace-bin", "grpc-previous-rpc-attempts"])
@pytest.mark.parametrize("header", [":path", "authorization", "x-b3-traceid", "grpc-timeout"])
def test_what_grpc_cannot_carry_is_stripped_and_nothing_else(foreign: str, header: str) -> None:
    for listener in bootstrap(EDGE)["static_resources"]["listeners"]:
        [extensions] = nodes(listener, "early_header_mutation_extensions")
        [pattern] = nodes([*nodes(extensions, "key_matcher")], "regex")

        assert re.fullmatch(pattern, foreign)
        assert not re.fullmatch(pattern, header)


def test_a_document_is_handed_out_without_the_app(tmp_path: Path) -> None:
    document = Document(path="/docs", media_type="text/html", file=tmp_path / "docs.html")

    [route] = (
        route
        for route in public_routes(replace(EDGE, documents=(document,)))
        if route["match"].get("path") == document.path
    )

    assert route["direct_response"]["body"] == {"filename": str(document.file)}
    assert "route" not in route


@pytest.mark.parametrize(
    ("template", "accepted", "refused"),
    [
        ("/v1/quotes", "/v1/quotes", "/v1/quotes/a"),
        ("/v1/quotes/{quote_id}", "/v1/quotes/quote_01h", "/v1/quotes/quote_01h:accept"),
        ("/v1/quotes/{quote_id}:accept", "/v1/quotes/a:accept", "/v1/quotes/a/b:accept"),
        ("/v1/a/{b}/c", "/v1/a/b/c", "/v1/a/b/c/d"),
        ("/v1/{name=tenants/*}", "/v1/tenants/a", "/v1/tenants/a/b"),
        ("/v1/{name=files/**}", "/v1/files/a/b", "/v1/folders/a"),
        ("/v1.0/a", "/v1.0/a", "/v1x0/a"),
    ],
)
def test_a_path_template_matches_what_it_says(template: str, accepted: str, refused: str) -> None:
    regex = RestPath(template=template, methods=("GET",)).regex

    assert re.fullmatch(regex, accepted)
    assert not re.fullmatch(regex, refused)


def test_every_refusal_has_a_mapper_and_a_status_of_its_own() -> None:
    statuses = [refusal.http_status for refusal in REFUSALS]
    mapped = [
        filter_["comparison"]["value"]["default_value"]
        for filter_ in nodes(local_reply_config(), "status_code_filter")
    ]

    assert len(statuses) == len(set(statuses))
    assert set(mapped) == set(statuses)


def test_an_unknown_outcome_is_never_called_final() -> None:
    for refusal in REFUSALS:
        if refusal.http_status >= 500:
            assert refusal.retry == "same_request"


def test_reasons_look_like_all_reasons() -> None:
    for refusal in REFUSALS:
        assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", refusal.reason)


def test_the_descriptor_set_is_found_in_a_checkout() -> None:
    assert descriptor_set_path() == Path(__file__).parents[2] / "gen" / "reli.binpb"
