"""Nothing that a partner types is ignored: what a REST request may say, and what it may not."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson, ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from app.rpc.errors import DuplicateField, MalformedRequest, UnknownField
from app.rpc.rest import MAX_DEPTH, RestForm, RestRequest
from domain.errors import DomainError, InvalidArgument
from tests.support.rpc import RPCS

FORMS: Final = {name: RestForm(rpc.descriptor) for name, rpc in RPCS.items() if rpc.has_route}
WITH_A_BODY: Final = [name for name, form in FORMS.items() if form.takes_body]
WITH_FIELDS: Final = [
    name
    for name in WITH_A_BODY
    if {field.name for field in RPCS[name].descriptor.input_type.fields} > FORMS[name].in_path
]
OFTEN: Final = settings(max_examples=8 * len(WITH_A_BODY), deadline=None)

CREATE_QUOTE: Final = "QuoteService/CreateQuote"
ACCEPT_QUOTE: Final = "QuoteService/AcceptQuote"
CREATE_ENTRY: Final = "LedgerAdminService/CreateEntry"
CREATE_TENANT: Final = "TenantAdminService/CreateTenant"
GET_PRICE: Final = "QuoteService/GetIndicativeQuote"

SPECIAL: Final[Mapping[str, Any]] = {
    "google.protobuf.Timestamp": "2026-02-28T12:00:00.5Z",
    "google.protobuf.Duration": "1.5s",
    "google.protobuf.Struct": {"color": "#0B6E4F", "deep": [{"any": None}, 1.5]},
}
"""Messages whose JSON is not made of their fields."""


@dataclass(frozen=True)
class JsonObject:
    """A JSON object as a list of members, so that one may be there twice."""

    members: list[tuple[str, Any]]

    def __str__(self) -> str:
        return "{" + ", ".join(f"{json.dumps(k)}: {text_of(v)}" for k, v in self.members) + "}"


def text_of(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(text_of(one) for one in value) + "]"
    return str(value) if isinstance(value, JsonObject) else json.dumps(value)


def single(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            assert field.message_type is not None
            if field.message_type.full_name in SPECIAL:
                return st.just(SPECIAL[field.message_type.full_name])
            return objects(field.message_type)
        case FieldDescriptor.CPPTYPE_ENUM:
            assert field.enum_type is not None
            values = field.enum_type.values
            return st.sampled_from([v.name for v in values] + [v.number for v in values])
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return st.just("aGVsbG8=")
        case FieldDescriptor.CPPTYPE_STRING:
            return st.text(max_size=5)
        case FieldDescriptor.CPPTYPE_BOOL:
            return st.booleans()
        case _:
            return st.integers(0, 1_000)


@st.composite
def objects(draw: st.DrawFn, message: Descriptor) -> JsonObject:
    """Draw the JSON of a message in which each field has one of its two names."""
    chosen = {draw(st.sampled_from([f.name for f in one.fields])) for one in message.oneofs}
    members: list[tuple[str, Any]] = []
    for field in message.fields:
        if (field.containing_oneof and field.name not in chosen) or draw(st.booleans()):
            continue
        if field.is_repeated:
            value = draw(st.lists(single(field), max_size=2))
        else:
            value = draw(st.one_of(single(field), st.none()))
        members.append((draw(st.sampled_from([field.name, field.json_name])), value))
    return JsonObject(draw(st.permutations(members)))


def places(
    message: Descriptor, value: JsonObject, path: Sequence[str] = ()
) -> Iterator[tuple[JsonObject, int, str]]:
    """Yield each member of each object that stands for a message, with its path in our names."""
    names = {field.json_name: field for field in message.fields}
    names |= {field.name: field for field in message.fields}
    for number, (name, inner) in enumerate(value.members):
        field = names[name]
        yield value, number, ".".join((*path, field.name))
        if field.message_type is None:
            continue
        if isinstance(inner, JsonObject):
            yield from places(field.message_type, inner, (*path, field.name))
        elif isinstance(inner, list):
            for at, one in enumerate(inner):
                if isinstance(one, JsonObject):
                    here = (*path, f"{field.name}[{at}]")
                    yield from places(field.message_type, one, here)


def asked(body: str | bytes = b"", query: str = "") -> RestRequest:
    content = body.encode() if isinstance(body, str) else body
    return RestRequest(method="POST", path="/", query=query, authority="", body=content)


def refusal(name: str, body: str | bytes = b"", query: str = "") -> DomainError:
    with pytest.raises(DomainError) as caught:
        FORMS[name].require_understood(asked(body, query))
    return caught.value


@st.composite
def bodies(draw: st.DrawFn, name: str) -> JsonObject:
    """Draw a body of a method, without what its path says."""
    message = RPCS[name].descriptor.input_type
    drawn = draw(objects(message))
    in_path = {form for field in FORMS[name].in_path for form in both_names(message, field)}
    return JsonObject([member for member in drawn.members if member[0] not in in_path])


def both_names(message: Descriptor, name: str) -> tuple[str, str]:
    return name, message.fields_by_name[name].json_name


@OFTEN
@given(name=st.sampled_from(WITH_A_BODY), data=st.data())
def test_any_message_as_json_is_understood(name: str, data: st.DataObject) -> None:
    form = FORMS[name]
    body = str(data.draw(bodies(name)))

    form.require_understood(asked(body))
    message = ParseDict(json.loads(body), RPCS[name].request())
    for names in (True, False):
        for numbers in (True, False):
            printed = MessageToJson(
                message, preserving_proto_field_name=names, use_integers_for_enums=numbers
            )
            form.require_understood(asked(printed))


@OFTEN
@given(name=st.sampled_from(WITH_FIELDS), data=st.data())
def test_a_misspelled_field_is_named_with_its_path(name: str, data: st.DataObject) -> None:
    body = data.draw(bodies(name).filter(lambda made: bool(made.members)))
    place, number, path = data.draw(
        st.sampled_from([*places(RPCS[name].descriptor.input_type, body)])
    )
    key, value = place.members[number]
    place.members[number] = (f"{key}x", value)

    refused = refusal(name, str(body))

    assert isinstance(refused, UnknownField)
    inside = path.rpartition(".")[0]
    assert refused.metadata["field"] == (f"{inside}.{key}x" if inside else f"{key}x")
    assert refused.metadata["nearest"] in (path, f"{inside}.{key}".lstrip("."))


@OFTEN
@given(name=st.sampled_from(WITH_FIELDS), data=st.data())
def test_a_field_said_twice_is_named_with_its_path(name: str, data: st.DataObject) -> None:
    body = data.draw(bodies(name).filter(lambda made: bool(made.members)))
    place, number, path = data.draw(
        st.sampled_from([*places(RPCS[name].descriptor.input_type, body)])
    )
    key, value = place.members[number]
    place.members.append((key, value))

    refused = refusal(name, str(body))

    assert isinstance(refused, DuplicateField)
    assert refused.metadata["field"] == path


@pytest.mark.parametrize(
    ("name", "body", "field", "nearest"),
    [
        (CREATE_QUOTE, '{"sid": "SIDE_BUY"}', "sid", "side"),
        (CREATE_QUOTE, '{"base_amount": {"valeu": "1"}}', "base_amount.valeu", "base_amount.value"),
        (CREATE_QUOTE, '{"qouteAsset": "NGN"}', "qouteAsset", "quoteAsset"),
        (
            CREATE_ENTRY,
            '{"transfers": [{"amount": {}}, {"amuont": {}}]}',
            "transfers[1].amuont",
            "transfers[1].amount",
        ),
        (
            CREATE_ENTRY,
            '{"transfers": {"amuont": {}}}',
            "transfers.amuont",
            "transfers.amount",
        ),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_what_may_be_meant(
    name: str, body: str, field: str, nearest: str
) -> None:
    refused = refusal(name, body)

    assert isinstance(refused, UnknownField)
    assert refused.metadata == {"field": field, "nearest": nearest}
    assert field in refused.message and nearest in refused.message


def test_what_resembles_nothing_has_no_hint() -> None:
    assert refusal(CREATE_QUOTE, '{"zzz": 1}').metadata == {"field": "zzz"}


@pytest.mark.parametrize("key", ["a\\u0000b", "\\ud800", "a.b", "a b", "é", "", "x" * 70])
def test_a_name_that_could_be_none_of_ours_is_quoted_and_cut(key: str) -> None:
    refused = refusal(CREATE_QUOTE, f'{{"{key}": 1}}')

    assert isinstance(refused, UnknownField)
    shown = refused.metadata["field"]
    assert shown == json.dumps(json.loads(f'"{key}"')[:64])
    assert shown.isascii() and shown.isprintable()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"side": 1, "side": 2}', "side"),
        ('{"side": null, "side": 2}', "side"),
        ('{"base_asset": "a", "baseAsset": "a"}', "base_asset"),
        ('{"base_amount": {}, "quote_amount": {}}', "quote_amount"),
        ('{"base_amount": {"value": "1", "value": "1"}}', "base_amount.value"),
    ],
)
def test_what_is_said_twice_is_refused(body: str, field: str) -> None:
    refused = refusal(CREATE_QUOTE, body)

    assert isinstance(refused, DuplicateField)
    assert refused.metadata == {"field": field}


def test_of_two_that_exclude_each_other_one_may_be_null() -> None:
    FORMS[CREATE_QUOTE].require_understood(asked('{"base_amount": {}, "quote_amount": null}'))


def test_the_path_cannot_be_said_again() -> None:
    for body, query in (('{"quote_id": "b"}', ""), ('{"quoteId": "b"}', ""), ("", "quote_id=b")):
        refused = refusal(ACCEPT_QUOTE, body, query)

        assert isinstance(refused, DuplicateField)
        assert refused.metadata == {"field": "quote_id"}


def test_the_query_cannot_say_what_the_body_says() -> None:
    assert isinstance(refusal(CREATE_QUOTE, '{"side": 1}', "side=SIDE_BUY"), DuplicateField)


@pytest.mark.parametrize(
    "branding", ['{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', '{"a": [{"b": 1, "b": 2}]}']
)
def test_what_may_have_any_names_has_each_but_once(branding: str) -> None:
    assert isinstance(refusal(CREATE_TENANT, f'{{"branding": {branding}}}'), DuplicateField)
    FORMS[CREATE_TENANT].require_understood(asked('{"branding": {"a": {"a": [null, 1.5]}}}'))


@pytest.mark.parametrize("value", ["9", "-1", '"9"', '"side_buy"', "1.0", '""', "{}", "9" * 400])
def test_a_value_that_an_enum_does_not_have_is_refused(value: str) -> None:
    refused = refusal(CREATE_QUOTE, f'{{"side": {value}}}')

    assert isinstance(refused, InvalidArgument)
    assert refused.metadata == {"field": "side"}


def test_nothing_in_a_list_is_lost() -> None:
    refused = refusal(CREATE_ENTRY, '{"transfers": [{}, null]}')

    assert isinstance(refused, MalformedRequest)
    assert refused.metadata == {"field": "transfers[1]"}


@pytest.mark.parametrize(
    "body",
    [
        "{side: 1}",
        "{'side': 1}",
        '{"side": 1,}',
        '{"side": NaN}',
        '{"side": Infinity}',
        '{"side": 01}',
        '{"side": 1} {}',
        '\ufeff{"side": 1}',
        f'{{"side": {"9" * 5_000}}}',
        "[]",
        "null",
        '"side"',
        " ",
        '{"side": 1'.encode("utf-16"),
        b'{"base_asset": "\xff"}',
        "[" * 60_000,
        '{"a":' * 10_000,
    ],
)
def test_what_the_standard_does_not_call_a_json_object_is_refused(body: str | bytes) -> None:
    assert isinstance(refusal(CREATE_QUOTE, body), MalformedRequest)


def test_a_body_may_be_nested_as_deep_as_allowed_and_no_deeper() -> None:
    def branding(levels: int) -> str:
        return '{"branding": ' + '{"a": ' * levels + "1" + "}" * levels + "}"

    FORMS[CREATE_TENANT].require_understood(asked(branding(MAX_DEPTH - 1)))
    refused = refusal(CREATE_TENANT, branding(MAX_DEPTH))

    assert isinstance(refused, MalformedRequest)
    assert str(MAX_DEPTH) in refused.message


def test_what_takes_no_body_is_sent_none() -> None:
    assert isinstance(refusal(GET_PRICE, "{}"), MalformedRequest)


@pytest.mark.parametrize(
    ("query", "error", "field"),
    [
        ("base_aset=BTC", UnknownField, "base_aset"),
        ("base_amount.valeu=1", UnknownField, "base_amount.valeu"),
        ("base_asset.value=1", UnknownField, "base_asset.value"),
        ("base_amount=1&base_amount=2", DuplicateField, "base_amount"),
        ("base_asset=BTC&base_asset=ETH", DuplicateField, "base_asset"),
        ("base_asset=BTC&baseAsset=ETH", DuplicateField, "base_asset"),
        ("base%5Fasset=BTC&base_asset=ETH", DuplicateField, "base_asset"),
        ("base_amount.value=1&quote_amount.value=2", DuplicateField, "quote_amount"),
        ("side=7", InvalidArgument, "side"),
        (".".join("a" * 5_000) + "=1", UnknownField, "a"),
    ],
)
def test_a_query_is_read_as_strictly(query: str, error: type[DomainError], field: str) -> None:
    refused = refusal(GET_PRICE, query=query)

    assert isinstance(refused, error)
    assert refused.metadata["field"] == field


@pytest.mark.parametrize(
    "query",
    [
        "",
        "&side=SIDE_BUY&&base_asset=BTC&",
        "baseAmount.value=0.01&base_amount.asset=BTC&side=1",
    ],
)
def test_a_query_that_is_understood_passes(query: str) -> None:
    FORMS[GET_PRICE].require_understood(asked(query=query))


def is_no_front_door() -> bool:
    return False


def test_a_grpc_call_has_no_rest_request_behind_it() -> None:
    assert RestRequest.of({"authorization": "Bearer key"}, is_no_front_door) is None


def test_a_rest_request_is_what_envoy_tells_of_it() -> None:
    shown = {
        "x-envoy-original-method": "POST",
        "x-envoy-original-path": "/v1/quotes?a=%20b?c",
        "x-reli-authority": "api.reli.dev",
        "x-reli-body-bin": b"{}",
    }

    assert RestRequest.of(shown, lambda: True) == RestRequest(
        method="POST", path="/v1/quotes", query="a=%20b?c", authority="api.reli.dev", body=b"{}"
    )


def test_a_rest_request_that_is_not_shown_is_not_trusted() -> None:
    shown = {"x-envoy-original-method": "POST", "x-envoy-original-path": "/v1/quotes"}

    with pytest.raises(KeyError):
        RestRequest.of(shown, lambda: True)
