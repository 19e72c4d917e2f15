"""The OpenAPI documents say what the contract says, and say it as the standard wants it."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from adapters.envoy.descriptor import commented_set_path
from adapters.openapi.contract import Contract
from adapters.openapi.document import openapi_document
from adapters.openapi.limits import id_pattern, list_limits, number_limits, text_limits
from adapters.openapi.reasons import read_reasons
from tests.support.protos import ENUMS, FILES, MESSAGES, RPCS, Rpc

COMMENTED_SET: Final = commented_set_path().read_bytes()
PARTNERS: Final = openapi_document(COMMENTED_SET, for_operators=False)
OPERATORS: Final = openapi_document(COMMENTED_SET, for_operators=True)
DOCUMENTS: Final = [PARTNERS, OPERATORS]
OVER_REST: Final = [rpc for rpc in RPCS if rpc.http]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=["partners", "operators"])
each_rpc = pytest.mark.parametrize("rpc", OVER_REST, ids=lambda rpc: rpc.method.name)


def document_of(rpc: Rpc) -> dict[str, Any]:
    return OPERATORS if rpc.scope == "SCOPE_OPERATOR" else PARTNERS


def operation_of(rpc: Rpc) -> dict[str, Any]:
    verb, path = rpc.http.split(" ")
    operation: dict[str, Any] = document_of(rpc)["paths"][path][verb.lower()]
    return operation


def component(document: dict[str, Any], name: str) -> dict[str, Any]:
    schema: dict[str, Any] = document["components"]["schemas"][name]
    return schema


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(reference := tree.get("$ref"), str):
            yield reference
        tree = list(tree.values())
    for child in tree if isinstance(tree, list) else ():
        yield from references(child)


@each_document
def test_a_document_is_what_the_standard_calls_one(document: dict[str, Any]) -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert json.loads(json.dumps(document)) == document


@each_document
def test_nothing_is_described_that_nobody_refers_to(document: dict[str, Any]) -> None:
    known = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in document["components"][kind]
    }

    assert set(references(document)) == known


def test_every_route_is_in_the_document_of_those_who_may_call_it_and_in_no_other() -> None:
    routes = [
        {(verb.upper(), path) for path, item in document["paths"].items() for verb in item}
        for document in DOCUMENTS
    ]
    expected = [
        {tuple(rpc.http.split(" ")) for rpc in OVER_REST if document_of(rpc) is document}
        for document in DOCUMENTS
    ]

    assert routes == expected


@each_rpc
def test_an_operation_is_told_in_the_contracts_words_with_its_scope(rpc: Rpc) -> None:
    operation = operation_of(rpc)

    assert operation["operationId"] == rpc.method.name
    assert operation["x-grpc-method"] == rpc.name
    assert operation["description"]
    assert operation.get("x-scope", "SCOPE_UNSPECIFIED") == rpc.scope
    assert (operation["security"] == []) == rpc.is_public


@each_rpc
def test_every_field_of_a_request_has_its_place(rpc: Rpc) -> None:
    operation = operation_of(rpc)
    places = [
        parameter["name"].partition(".")[0]
        for parameter in operation.get("parameters", ())
        if parameter["in"] != "header"
    ]
    if "requestBody" in operation:
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        body = component(document_of(rpc), reference.rpartition("/")[2])
        places += body["properties"]

    assert set(places) == rpc.request_fields


@each_rpc
def test_an_operation_says_which_refusals_to_expect(rpc: Rpc) -> None:
    reasons = read_reasons(Contract.read(COMMENTED_SET))
    responses = operation_of(rpc)["responses"]
    told = {
        (name, int(status))
        for status, response in responses.items()
        for name in response.get("x-reasons", ())
    }

    assert told == {(name, reasons[name].http_status) for name, _ in told}
    assert "default" in responses
    assert rpc.is_public or {"401", "403"} <= responses.keys()
    assert "request_id" not in rpc.request_fields or ("REQUEST_ID_REUSED", 409) in told


def test_a_stream_is_an_array_or_events() -> None:
    contents = {
        rpc.method.name: next(iter(operation_of(rpc)["responses"]["200"]["content"].items()))
        for rpc in OVER_REST
        if rpc.method.server_streaming
    }

    assert contents["StreamQuotes"][0] == "text/event-stream"
    assert contents["GetStatement"][0] == "application/json"
    assert contents["GetStatement"][1]["schema"]["type"] == "array"


def test_numbers_bytes_and_times_are_as_envoy_writes_them() -> None:
    posting = component(PARTNERS, "Posting")["properties"]
    quote = component(PARTNERS, "Quote")["properties"]
    request = component(OPERATORS, "ImportStatementRequest")["properties"]

    assert posting["version"]["type"] == "string"
    assert posting["version"]["format"] == "int64"
    assert quote["create_time"]["format"] == "date-time"
    assert request["content"]["contentEncoding"] == "base64"


def test_what_an_answer_always_has_a_request_may_leave_out() -> None:
    told = component(PARTNERS, "InstrumentMarkup")
    sent = component(PARTNERS, "InstrumentMarkupInput")

    assert told["required"] == ["instrument", "bps"]
    assert "required" not in sent
    assert component(PARTNERS, "Amount")["required"] == ["value", "asset"]
    assert "AmountInput" not in PARTNERS["components"]["schemas"]


def test_of_alternatives_a_request_has_one_and_an_answer_at_most_one() -> None:
    request = component(PARTNERS, "CreateQuoteRequest")
    answer = component(PARTNERS, "StatementPart")

    assert request["required"] == ["side", "base_asset", "quote_asset"]
    assert request["properties"]["base_amount"]["description"].endswith(
        "One of `base_amount` and `quote_amount`."
    )
    accepts = Draft202012Validator(rules_of(request)).is_valid
    assert accepts({"base_amount": {}})
    assert accepts({"quote_amount": {}})
    assert not accepts({})
    assert not accepts({"base_amount": {}, "quote_amount": {}})
    accepts = Draft202012Validator(rules_of(answer)).is_valid
    assert accepts({})
    assert accepts({"lines": {}})
    assert not accepts({"opening": {}, "lines": {}})


def rules_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a schema says of its fields' being there together."""
    return {key: schema[key] for key in ("dependentSchemas", "if", "then") if key in schema}


def test_two_messages_of_one_name_are_told_apart_by_their_slices() -> None:
    assert {"LedgerStatementFormat", "ReconciliationStatementFormat"} <= {
        *OPERATORS["components"]["schemas"]
    }


def test_another_way_to_a_method_is_an_operation_of_its_own() -> None:
    files = FileDescriptorSet.FromString(COMMENTED_SET)
    for file in files.file:
        for service in file.service:
            for method in service.method:
                if method.name == "GetQuote":
                    http: Any = annotations_pb2.http
                    rule = method.options.Extensions[http].additional_bindings.add()
                    rule.get = "/v1/offers/{quote_id}"

    document = openapi_document(files.SerializeToString(), for_operators=False)

    assert document["paths"]["/v1/quotes/{quote_id}"]["get"]["operationId"] == "GetQuote"
    assert document["paths"]["/v1/offers/{quote_id}"]["get"]["operationId"] == "GetQuote2"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_what_is_about_to_go_is_shown_so() -> None:
    files = FileDescriptorSet.FromString(COMMENTED_SET)
    for file in files.file:
        for message in file.message_type:
            for field in message.field:
                field.options.deprecated = (message.name, field.name) == ("Quote", "lp")
        for service in file.service:
            for method in service.method:
                method.options.deprecated = method.name == "GetQuote"

    document = openapi_document(files.SerializeToString(), for_operators=False)

    quotes = document["paths"]["/v1/quotes/{quote_id}"]["get"]
    properties = component(document, "Quote")["properties"]
    assert quotes["deprecated"] is True
    assert [name for name, schema in properties.items() if "deprecated" in schema] == ["lp"]


@pytest.mark.parametrize(
    ("comment", "limits"),
    [
        ("Name for people, 1 to 64 characters.", {"minLength": 1, "maxLength": 64}),
        ("Words for people, at most 200 characters.", {"minLength": 1, "maxLength": 200}),
        ("2 to 40 lower-case letters, digits and hyphens.", {"minLength": 2, "maxLength": 40}),
        (
            "1 to 64 printable ASCII characters.",
            {"minLength": 1, "maxLength": 64, "pattern": "^[\\x20-\\x7e]*$"},
        ),
        ('Asset code such as "BTC".', {"examples": ["BTC"]}),
        ("At most 5 digits after the point and 18 in all.", {}),
    ],
)
def test_the_limits_of_a_text_are_read_from_its_comment(
    comment: str, limits: dict[str, Any]
) -> None:
    assert text_limits("field", comment, is_required=True) == limits
    without_least = {name: value for name, value in limits.items() if name != "minLength"}
    assert text_limits("field", comment, is_required=False) == without_least


def test_so_are_those_of_numbers_and_lists() -> None:
    assert number_limits("bps", "Basis points, 0 to 1,000.") == {"minimum": 0, "maximum": 1000}
    assert number_limits("page_size", "") == {"minimum": 0, "maximum": 200}
    assert list_limits("Transfers, 1 to 100.", is_required=True) == {
        "minItems": 1,
        "maxItems": 100,
    }
    assert list_limits("Transfers, 1 to 100.", is_required=False) == {"maxItems": 100}


@pytest.mark.parametrize(
    ("field", "prefix"),
    [
        ("quote_id", "quote"),
        ("debit_account_id", "account"),
        ("lp_settlement_id", "lpsettlement"),
        ("external_id", ""),
        ("venue_order_id", ""),
    ],
)
def test_a_field_of_an_id_is_known_by_its_name(field: str, prefix: str) -> None:
    pattern = id_pattern(field, is_required=True)

    assert bool(re.search(pattern, f"{prefix}_01h455vb4pex5vsknk084sn02q") and pattern) == bool(
        prefix
    )


def test_every_comment_of_the_contract_is_read() -> None:
    contract = Contract.read(COMMENTED_SET)
    ours = [one for name, one in contract.messages.items() if name in MESSAGES]
    silent = [
        f"{message.name}.{field.name}"
        for message in ours
        if not message.is_map_entry
        for field in message.fields
        if not field.comment
    ]

    assert silent == []
    assert len(contract.services) == sum(len(file.service) for file in FILES)
    assert all(value.comment for name in ENUMS for value in contract.enums[name].values)
