"""A REST request as it was sent, and that nothing of it was ignored on its way to the method.

Envoy makes a gRPC call of it and drops what it does not know; a misspelled `limit_price` would be
an order without a limit. So the body travels beside the call, and is read here once more.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import unquote_plus

from google.api.annotations_pb2 import http
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import Default

from app.rpc.errors import DuplicateField, MalformedRequest, UnknownField
from domain.errors import InvalidArgument

MAX_DEPTH: Final = 32
"""Objects and arrays inside one another."""

BODY_KEY: Final = "x-reli-body-bin"
AUTHORITY_KEY: Final = "x-reli-authority"
_METHOD_KEY: Final = "x-envoy-original-method"
_PATH_KEY: Final = "x-envoy-original-path"

_MAX_SHOWN: Final = 64
_PLAIN: Final = re.compile(rf"[A-Za-z_@][A-Za-z0-9_]{{0,{_MAX_SHOWN - 1}}}", re.ASCII)
_VARIABLE: Final = re.compile(r"\{([^}=]+)")
_DIGITS: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)

# They have a JSON form of their own, in which any name may stand.
_FREE: Final = frozenset(
    f"google.protobuf.{name}" for name in ("Any", "ListValue", "Struct", "Value")
)

Path = tuple[str, ...]
"""The names of a field and of all that it is in, from the outside in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """What a partner sent to Envoy, which nobody else can claim.

    Attributes:
        method: the HTTP method, such as `POST`.
        path: without the query, after Envoy's normalization.
        query: what is behind the question mark, still encoded.
        authority: the host that the request was sent to.
        body: the bytes as they came.
    """

    method: str
    path: str
    query: str
    authority: str
    body: bytes

    @classmethod
    def of(
        cls, metadata: Mapping[str, Any], is_front_door: Callable[[], bool]
    ) -> "RestRequest | None":
        """Return the request behind a call, or nothing if the call was made over gRPC itself.

        Whoever has it must be a front door, and Envoy takes these headers from those who come
        through it; from anybody else they are a lie about what was sent, or about what was signed.
        A request that Envoy did not show is a fault of ours, and not to be trusted.
        """
        target = metadata.get(_PATH_KEY)
        if target is None:
            return None
        if not is_front_door():
            raise MalformedRequest("only a front door says what was sent over REST")
        path, _, query = target.partition("?")
        return cls(
            method=metadata[_METHOD_KEY],
            path=path,
            query=query,
            authority=metadata[AUTHORITY_KEY],
            body=metadata[BODY_KEY],
        )


class RestForm:
    """What a request of one method may say: in its path, its query and its body.

    Attributes:
        in_path: the fields that the path says.
        takes_body: all others may be in the body.
    """

    def __init__(self, method: MethodDescriptor) -> None:
        rule: Any = method.GetOptions().Extensions[http]
        assert rule.body in ("", "*") and not rule.additional_bindings
        template = getattr(rule, rule.WhichOneof("pattern") or "get")
        self.in_path = frozenset(_VARIABLE.findall(template))
        self.takes_body = bool(rule.body)
        self._message = method.input_type

    @classmethod
    def of(cls, method: str) -> "RestForm":
        """Return the form of a method, such as `reli.quote.v1.QuoteService/CreateQuote`."""
        service, _, name = method.rpartition("/")
        return cls(Default().FindServiceByName(service).FindMethodByName(name))

    def require_understood(self, request: RestRequest) -> None:
        """Raise a refusal that names the first field which was not, or not alone, understood."""
        said = set(self.in_path)
        chosen: dict[str, str] = {}
        for name, value in _parameters(request.query):
            self._require_parameter(name, value, said, chosen)
        if not request.body:
            return
        if not self.takes_body:
            raise MalformedRequest("this method takes no body")
        body = _parse(request.body)
        if not isinstance(body, tuple):
            raise MalformedRequest("the body must be a JSON object")
        _require_message(self._message, body, (), said, chosen)

    def _require_parameter(
        self, name: str, value: str, said: set[str], chosen: dict[str, str]
    ) -> None:
        message, path = self._message, Path()
        *parents, last = name.split(".", MAX_DEPTH)
        for part in parents:
            field = _known_field(message, part, path)
            _require_choice(field, chosen, path)
            path += (field.name,)
            if field.message_type is None or field.is_repeated:
                raise _unknown(path, last, ())
            message = field.message_type
        field = _known_field(message, last, path)
        _require_choice(field, chosen, path)
        path += (field.name,)
        if not field.is_repeated:
            _require_once(".".join(path), said, path)
        if field.enum_type is not None:
            _require_enum(field, value, path)


def _require_message(
    message: Descriptor, members: Any, path: Path, said: set[str], chosen: dict[str, str]
) -> None:
    """Check the members of an object that stands for a message.

    `said` has the names of fields that were set elsewhere, `chosen` what was chosen of oneofs.
    """
    for name, value in members:
        field = _known_field(message, name, path)
        here = (*path, field.name)
        _require_once(field.name, said, here)
        if value is not None:
            _require_choice(field, chosen, path)
            _require_value(field, value, here)


def _require_value(field: FieldDescriptor, value: Any, path: Path) -> None:
    if isinstance(value, list):
        for number, one in enumerate(value):
            here = (*path[:-1], f"{path[-1]}[{number}]")
            if one is None:
                raise MalformedRequest(f"{_shown(here)} is null", field=_shown(here))
            _require_one(field, one, here)
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        _require_map(field.message_type.fields_by_name["value"], value, path)
    else:
        _require_one(field, value, path)


def _require_map(value_field: FieldDescriptor, value: Any, path: Path) -> None:
    keys: set[str] = set()
    for key, one in value if isinstance(value, tuple) else ():
        here = (*path, key)
        _require_once(key, keys, here)
        _require_value(value_field, one, here)


def _require_one(field: FieldDescriptor, value: Any, path: Path) -> None:
    """Check a single value; the transcoder has refused those of a wrong kind."""
    if field.enum_type is not None:
        _require_enum(field, value, path)
    elif field.message_type is None:
        return
    elif field.message_type.full_name in _FREE:
        _require_no_duplicates(value, path)
    elif isinstance(value, tuple):
        _require_message(field.message_type, value, path, set(), {})


def _require_no_duplicates(value: Any, path: Path) -> None:
    """Check what may hold any names."""
    if isinstance(value, tuple):
        names: set[str] = set()
        for name, one in value:
            here = (*path, name)
            _require_once(name, names, here)
            _require_no_duplicates(one, here)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            _require_no_duplicates(one, (*path[:-1], f"{path[-1]}[{number}]"))


def _require_once(name: str, said: set[str], path: Path) -> None:
    if name in said:
        shown = _shown(path)
        raise DuplicateField(f"{shown} is said more than once", field=shown)
    said.add(name)


def _require_choice(field: FieldDescriptor, chosen: dict[str, str], path: Path) -> None:
    """Of a oneof the transcoder takes the last; all that is said must be meant."""
    if field.containing_oneof is None:
        return
    oneof = ".".join((*path, field.containing_oneof.name))
    if chosen.setdefault(oneof, field.name) != field.name:
        shown, other = _shown((*path, field.name)), _shown((*path, chosen[oneof]))
        raise DuplicateField(f"only one of {other} and {shown} may be set", field=shown)


def _require_enum(field: FieldDescriptor, value: Any, path: Path) -> None:
    enum = field.enum_type
    assert enum is not None
    if isinstance(value, str) and value in enum.values_by_name:
        return
    is_number = isinstance(value, int) or bool(_DIGITS.fullmatch(str(value)))
    if value is None or (is_number and int(value) in enum.values_by_number):
        return
    shown = _shown(path)
    raise InvalidArgument(f"{shown} must be a value of {enum.name}", field=shown)


def _known_field(message: Descriptor, name: str, path: Path) -> FieldDescriptor:
    fields = _fields(message)
    field = fields.get(name)
    if field is None:
        raise _unknown(path, name, fields)
    return field


@cache
def _fields(message: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Return the fields of a message by both of their names."""
    by_json_name = {field.json_name: field for field in message.fields}
    return by_json_name | {field.name: field for field in message.fields}


def _unknown(path: Path, name: str, known: Iterable[str]) -> UnknownField:
    shown = _shown((*path, name))
    nearest = difflib.get_close_matches(name[:_MAX_SHOWN], known, n=1)
    if not nearest:
        return UnknownField(f"there is no field {shown}", field=shown)
    meant = _shown((*path, *nearest))
    return UnknownField(f"there is no field {shown}; is it {meant}?", field=shown, nearest=meant)


def _shown(path: Path) -> str:
    """Return a path such as `price.limit`; what a name of ours cannot be is quoted, and cut."""
    return ".".join(
        part if _PLAIN.fullmatch(part.partition("[")[0]) else json.dumps(part[:_MAX_SHOWN])
        for part in path
    )


def _parameters(query: str) -> Iterable[tuple[str, str]]:
    for parameter in query.split("&"):
        if parameter:
            name, _, value = parameter.partition("=")
            yield unquote_plus(name), unquote_plus(value)


def _parse(body: bytes) -> Any:
    """Return arrays as lists, objects as tuples of pairs, and numbers with a point as text."""
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=tuple, parse_float=str, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise MalformedRequest("the body is not JSON as RFC 8259 has it") from None
    # Whoever opens fewer brackets need not be measured.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _require_depth(value, MAX_DEPTH)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _require_depth(value: Any, levels: int) -> None:
    if not isinstance(value, list | tuple):
        return
    if not levels:
        raise _too_deep()
    for one in value:
        _require_depth(one[1] if isinstance(value, tuple) else one, levels - 1)


def _too_deep() -> MalformedRequest:
    return MalformedRequest(f"the body is nested deeper than {MAX_DEPTH} levels")
