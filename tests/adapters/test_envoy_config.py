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

DESCRIPTOR_SET = descriptor_set_path().read_bytes()
EDGE = Edge(
    rest_port=1,
    grpc_port=2,
    admin_port=3,
    upstream_ports=(4, 5),
    descriptor_set=DESCRIPTOR_SET,
)


def nodes(tree: Any, key: str) -> Iterator[Any]:
    """Find every value under `key`, however deep."""
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    if isinstance(tree, dict) and key in tree:
        yield tree[key]
    for child in children:
        yield from nodes(child, key)


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
    matches = [route["match"] for route in public_routes()]

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
