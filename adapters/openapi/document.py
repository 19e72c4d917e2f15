"""The OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1) of the REST face.

Everything follows from the descriptors: routes, schemas, scopes and, from the comments, the words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from adapters.openapi.contract import Contract, Field, Method, Route, Service
from adapters.openapi.examples import EXAMPLES
from adapters.openapi.limits import PRINTABLE
from adapters.openapi.reasons import Reason, read_reasons
from adapters.openapi.schema import STATUS, Schema, Schemas
from domain.tenant.api_key import Scope

INTRODUCTION: Final = Path(__file__).with_name("introduction.md")

_VARIABLE: Final = re.compile(r"\{(\w+)\}")
_REASON: Final = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
_WORD: Final = re.compile(r"[A-Z][a-z0-9]*")

_API_KEY: Final = "apiKey"
_AMOUNT: Final = "reli.type.v1.Amount"
_LIVE: Final = "text/event-stream"
_JSON: Final = "application/json"

_OF_ALL: Final = ("DUPLICATE_FIELD", "MALFORMED_REQUEST", "UNKNOWN_FIELD")
_OF_REQUEST_IDS: Final = (
    "REQUEST_ID_INVALID",
    "REQUEST_ID_MISMATCH",
    "REQUEST_ID_REUSED",
    "REQUEST_IN_PROGRESS",
)
_OF_AMOUNTS: Final = (
    "MALFORMED_AMOUNT",
    "TOO_MANY_DIGITS",
    "AMOUNT_TOO_LARGE",
    "UNKNOWN_ASSET",
)
_OF_TENANTS: Final = ("SCOPE_MISSING", "TENANT_SUSPENDED", "TENANT_CLOSED")
_MONEY_MOVES: Final = "since money moves"


def openapi_document(commented_set: bytes, *, for_operators: bool) -> dict[str, Any]:
    """Return the document, a tree for `json.dumps`: of partners, or of the platform's operators."""
    return _Document(Contract.read(commented_set)).of(for_operators=for_operators)


class _Document:
    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._reasons = read_reasons(contract)
        self._schemas = Schemas(contract)

    def of(self, *, for_operators: bool) -> dict[str, Any]:
        services = [
            service
            for service in self._contract.services
            if service.is_for_operators == for_operators
            and any(method.routes for method in service.methods)
        ]
        title = "Reli for its operators" if for_operators else "Reli"
        paths: dict[str, dict[str, Any]] = {}
        for service in services:
            for method in service.methods:
                for number, route in enumerate(method.routes, start=1):
                    operation = self._operation(service, method, route)
                    if number > 1:  # another way to the same method
                        operation["operationId"] += str(number)
                    paths.setdefault(route.path, {})[route.verb] = operation
        return {
            "openapi": "3.1.1",
            "info": {
                "title": title,
                "version": version("reli"),
                "description": INTRODUCTION.read_text(encoding="utf-8"),
            },
            "servers": [{"url": "/"}],
            "tags": [
                {"name": _tag(one), "description": one.comment}
                for one in sorted(services, key=_tag)
            ],
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": dict(
                    sorted((self._schemas.components | _status_schemas(self._reasons)).items())
                ),
                "responses": {"Refusal": _refusal("Any other refusal.", [])},
                "securitySchemes": {_API_KEY: _API_KEY_SCHEME},
            },
        }

    def _operation(self, service: Service, method: Method, route: Route) -> dict[str, Any]:
        scope = method.scope
        in_path = _VARIABLE.findall(route.path)
        operation: dict[str, Any] = {
            "operationId": method.name,
            "tags": [_tag(service)],
            "summary": _in_words(method.name),
            "description": method.comment,
            "x-grpc-method": f"{service.name}/{method.name}",
            "security": [{_API_KEY: [scope]}] if scope else [],
        }
        if method.is_deprecated:
            operation["deprecated"] = True
        if scope:
            operation["x-scope"] = f"SCOPE_{scope.name}"
        if parameters := [*self._parameters(method, route, in_path)]:
            operation["parameters"] = parameters
        if route.body:
            assert route.body == "*", f"{method.name}: a body is all that is not in the path"
            body = self._schemas.of_body(method.request, without=in_path)
            content: dict[str, Any] = {"schema": body}
            if example := EXAMPLES.get(method.name):
                content["example"] = example
            operation["requestBody"] = {"required": True, "content": {_JSON: content}}
        operation["responses"] = {
            "200": self._answer(method, route),
            **self._refusals(method),
            "default": {"$ref": "#/components/responses/Refusal"},
        }
        return operation

    def _parameters(
        self, method: Method, route: Route, in_path: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        for name in in_path:
            field, schema = self._schemas.of_path(method.request, name)
            yield _parameter("path", field, schema) | {"required": True}
        if not route.body:
            for field, schema in self._schemas.parameters(method.request, without=in_path):
                yield _parameter("query", field, schema)
        request_id = next((f for f in self._fields(method) if f.name == "request_id"), None)
        if request_id:
            yield _idempotency_key(moves_money=_MONEY_MOVES in request_id.comment)

    def _fields(self, method: Method) -> Sequence[Field]:
        return self._contract.messages[method.request].fields

    def _answer(self, method: Method, route: Route) -> dict[str, Any]:
        schema = self._schemas.of_answer(method.response)
        description = self._contract.messages[method.response].comment
        if route.is_live:
            events: Schema = {"type": "string", "contentMediaType": _JSON, "contentSchema": schema}
            told = "Server-sent events without end; the `data` of each is a message."
            return {"description": f"{description} {told}", "content": {_LIVE: {"schema": events}}}
        if method.answers_with_stream:
            schema = {"type": "array", "items": schema}
        return {"description": description, "content": {_JSON: {"schema": schema}}}

    def _refusals(self, method: Method) -> dict[str, Any]:
        """Return what the method is known to refuse, by HTTP status."""
        names = {*self._named(method), *self._implied(method)}
        reasons = [reason for name, reason in self._reasons.items() if name in names]
        reasons.sort(key=lambda reason: reason.http_status)
        return {
            str(status): _refusal(HTTPStatus(status).phrase, list(those))
            for status, those in groupby(reasons, key=lambda reason: reason.http_status)
        }

    def _named(self, method: Method) -> Iterator[str]:
        """Yield the reasons that the contract names where it speaks of the method."""
        texts = [method.comment, *(field.comment for field in self._fields(method))]
        for text in texts:
            yield from (name for name in _REASON.findall(text) if name in self._reasons)

    def _implied(self, method: Method) -> Iterator[str]:
        """Yield what every method of its kind refuses."""
        if method.scope is Scope.OPERATOR:
            yield "OPERATOR_ONLY"
        elif method.scope is not None:
            yield from _OF_TENANTS
        if method.scope is not None:
            yield from (one.name for one in self._reasons.values() if one.code == "UNAUTHENTICATED")
            yield "RATE_LIMITED"
        yield from _OF_ALL
        for field in self._fields(method):
            yield "INVALID_ARGUMENT"
            thing = field.name.removesuffix("_id").upper()
            if f"{thing}_NOT_FOUND" in self._reasons:
                yield from ("INVALID_ID", f"{thing}_NOT_FOUND")
            if field.name == "page_token":
                yield "INVALID_PAGE_TOKEN"
            if field.name == "request_id":
                yield from _OF_REQUEST_IDS
                if _MONEY_MOVES in field.comment:
                    yield "REQUEST_ID_REQUIRED"
            if field.type_name == _AMOUNT:
                yield from _OF_AMOUNTS


def _tag(service: Service) -> str:
    """Return `Lp settlement` for `reli.liquidity.v1.LpSettlementAdminService`."""
    name = service.name.rpartition(".")[2]
    return _in_words(name.removesuffix("Service").removesuffix("Admin"))


def _in_words(name: str) -> str:
    first, *rest = _WORD.findall(name)
    return " ".join([first, *(word.lower() for word in rest)])


def _parameter(place: str, field: Field, schema: Schema) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "name": field.name,
        "in": place,
        "description": field.comment,
        "schema": schema,
    }
    if field.is_required:
        parameter["required"] = True
    if field.is_deprecated:
        parameter["deprecated"] = True
    return parameter


def _idempotency_key(*, moves_money: bool) -> dict[str, Any]:
    must = "One of the two is required, since money moves." if moves_money else "Optional here."
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": f"Makes the call safe to repeat, as `request_id` in the body does. {must}",
        "schema": {"type": "string", "maxLength": 64, "pattern": PRINTABLE},
    }


def _refusal(title: str, reasons: Sequence[Reason]) -> dict[str, Any]:
    meanings = [f"- `{one.name}`: {one.cause} Retry: `{one.retry}`." for one in reasons]
    response: dict[str, Any] = {
        "description": "\n".join([title, *([""] if meanings else []), *meanings]),
        "content": {_JSON: {"schema": {"$ref": f"#/components/schemas/{STATUS}"}}},
    }
    if reasons:
        response["x-reasons"] = {one.name: one.retry for one in reasons}
    return response


_API_KEY_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "Your API key; each operation names the scope that it needs.",
}


def _status_schemas(reasons: Mapping[str, Reason]) -> dict[str, Schema]:
    types = "type.googleapis.com/google.rpc."
    return {
        STATUS: {
            "type": "object",
            "description": "Why a call was refused: google.rpc.Status.",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "integer", "description": "The gRPC code."},
                "message": {"type": "string", "description": "For people; it may change."},
                "details": {
                    "type": "array",
                    "description": "An ErrorInfo, and a RetryInfo where waiting helps.",
                    "minItems": 1,
                    "prefixItems": [{"$ref": "#/components/schemas/ErrorInfo"}],
                    "items": {"$ref": "#/components/schemas/RetryInfo"},
                },
            },
        },
        "ErrorInfo": {
            "type": "object",
            "description": "What to build on: the reason and its metadata.",
            "required": ["@type", "reason", "domain", "metadata"],
            "properties": {
                "@type": {"const": f"{types}ErrorInfo"},
                "reason": {
                    "type": "string",
                    "enum": [*reasons],
                    "description": "A stable name; new ones may come.",
                },
                "domain": {"const": "reli.dev"},
                "metadata": {
                    "type": "object",
                    "description": "Every number and name of the message again.",
                    "required": ["retry"],
                    "properties": {
                        "retry": {
                            "type": "string",
                            "enum": ["never", "same_request", "later"],
                            "description": "What may be done about it.",
                        }
                    },
                    "additionalProperties": {"type": "string"},
                },
            },
        },
        "RetryInfo": {
            "type": "object",
            "description": "How long to wait.",
            "required": ["@type", "retry_delay"],
            "properties": {
                "@type": {"const": f"{types}RetryInfo"},
                "retry_delay": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?s$"},
            },
        },
    }
