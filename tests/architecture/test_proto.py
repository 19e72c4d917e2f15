"""The API: scopes, tenants, pages and exact numbers, on every method without exception."""

import re
from collections import Counter

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from adapters.envoy.descriptor import descriptor_set_path
from adapters.envoy.public_api import PublicApi
from app.rpc.stream import farewell_of
from tests.support.protos import MESSAGES, RPCS, SERVICES, Rpc

GRPC_ONLY = {"CreateEntries", "LoadEntries", "ExportBooks", "ExportTenantBooks"}
"""Too large for a request or an answer of REST."""

STREAMS = {"LoadEntries"}
STREAMS_OF_RESPONSES = {
    "ExportBooks",
    "ExportTenantBooks",
    "GetStatement",
    "GetTenantStatement",
    "StreamEvents",
    "StreamQuotes",
}

LOGS = {"ListEvents"}
"""Read on from a sequence, which stands for ever and in every view, and not from a page's token."""

PATHS = PublicApi.read(descriptor_set_path().read_bytes()).paths

PUBLIC = {"GetSigningKeys": "GET /.well-known/jwks.json"}
"""For everybody, at the place where the world looks for it."""

WITHOUT_TENANT = {
    "CreateTenant",
    "FetchStatement",
    "ListLps",
    "SetInstrumentTradingState",
    "SetLpTradingState",
    "ListTenants",
    *("ListLpPositions", "ListLpSettlements", "GetLpSettlement", "ProposeLpSettlement"),
    *("ApproveLpSettlement", "SettleLpSettlement", "CancelLpSettlement"),
}
"""What is of the house alone, or of all."""
ADMIN = [rpc for rpc in RPCS if rpc.service.endswith("AdminService")]
TENANT = [rpc for rpc in RPCS if not rpc.service.endswith("AdminService")]
LISTS = [rpc for rpc in RPCS if rpc.method.name.startswith("List") and rpc.method.name not in LOGS]
READS = [rpc for rpc in RPCS if rpc.method.name.startswith(("Get", "List", "Stream"))]
LIVE = {rpc.method.name for rpc in RPCS if rpc.method.name.startswith("Stream")}

each = pytest.mark.parametrize


def _name(rpc: object) -> str:
    return rpc.name if isinstance(rpc, Rpc) else str(rpc)


def test_there_are_services_for_tenants_and_for_the_operator() -> None:
    assert len(SERVICES) >= 8
    assert ADMIN
    assert TENANT


@each("rpc", RPCS, ids=_name)
def test_every_method_names_the_scope_that_it_needs(rpc: Rpc) -> None:
    assert (rpc.scope == "SCOPE_UNSPECIFIED") == rpc.is_public
    assert rpc.is_public == (rpc.method.name in PUBLIC)


@each("rpc", RPCS, ids=_name)
def test_every_method_names_the_limits_that_it_counts_against(rpc: Rpc) -> None:
    assert (rpc.cost_class == "COST_CLASS_UNSPECIFIED") == rpc.is_public
    assert not rpc.method.client_streaming or rpc.cost_class == "COST_CLASS_BULK"
    assert rpc not in READS or rpc.cost_class != "COST_CLASS_EXECUTE"


@each("rpc", RPCS, ids=_name)
def test_operator_services_are_exactly_those_that_need_the_operators_scope(rpc: Rpc) -> None:
    assert rpc.service.endswith("AdminService") == (rpc.scope == "SCOPE_OPERATOR")


@each("rpc", ADMIN, ids=_name)
def test_the_operator_names_the_tenant(rpc: Rpc) -> None:
    assert ("tenant_id" in rpc.request_fields) != (rpc.method.name in WITHOUT_TENANT)


@each("rpc", TENANT, ids=_name)
def test_a_tenant_never_names_itself(rpc: Rpc) -> None:
    assert not {name for name in rpc.request_fields if "tenant" in name}


@each("rpc", LISTS, ids=_name)
def test_every_list_is_paged(rpc: Rpc) -> None:
    assert {"page_size", "page_token"} <= rpc.request_fields
    assert "next_page_token" in {field.name for field in rpc.response.field}


@each("rpc", [rpc for rpc in RPCS if rpc.method.name not in GRPC_ONLY], ids=_name)
def test_every_method_has_a_rest_route(rpc: Rpc) -> None:
    verb, path = rpc.http.split(" ")

    assert path.startswith("/v1/") or rpc.http == PUBLIC.get(rpc.method.name)
    assert (verb == "GET") == (rpc in READS), "reads are GET, and nothing else is"


@each("rpc", RPCS, ids=_name)
def test_the_route_names_fields_of_the_request(rpc: Rpc) -> None:
    assert set(re.findall(r"{(\w+)}", rpc.http)) <= rpc.request_fields


def test_no_two_methods_share_a_route() -> None:
    routes = Counter(re.sub(r"{\w+}", "{}", rpc.http) for rpc in RPCS if rpc.http)

    assert [route for route, times in routes.items() if times > 1] == []


@each("rpc", RPCS, ids=_name)
def test_a_request_and_a_response_belong_to_one_method(rpc: Rpc) -> None:
    # Of two services that have a method of that name one puts its own before it.
    names = {rpc.method.name, rpc.service.rpartition(".")[2] + rpc.method.name}
    assert rpc.request.name in {f"{name}Request" for name in names}
    assert rpc.response.name == rpc.request.name.removesuffix("Request") + "Response"
    assert rpc.method.client_streaming == (rpc.method.name in STREAMS)
    assert rpc.method.server_streaming == (rpc.method.name in STREAMS_OF_RESPONSES)


@each("rpc", RPCS, ids=_name)
def test_a_stream_that_goes_on_until_somebody_ends_it_says_so_in_itself(rpc: Rpc) -> None:
    """Over REST a status behind the last message would be lost."""
    is_live = rpc.method.name in LIVE
    path = rpc.http.partition(" ")[2]

    assert (farewell_of(f"{rpc.service}/{rpc.method.name}") is not None) == is_live
    assert [one.is_live for one in PATHS if one.template == path] == [is_live] * bool(path)


@each("name", MESSAGES)
def test_no_field_is_inexact(name: str) -> None:
    inexact = {FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_FLOAT}

    assert [field.name for field in MESSAGES[name].field if field.type in inexact] == []
