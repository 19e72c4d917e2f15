"""Sends what the OpenAPI document allows, and what it forbids, and judges every answer.

Whatever is sent, an answer is as the document says, a refusal has a reason that the registry knows,
5xx is only what the document names for the operation, and the other tenant's rows stay as they are.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.stack.stack import ReadyStack
from domain.errors import Retry
from tests.fuzz.rows import rows_of
from tests.fuzz.world import FILLS, STUCK, Known, Tenant, a_tenant

BY_THE_CLOCK: Final = frozenset({"liability_blocks", "liability_heads", "liability_sheets"})
"""What a worker writes of every tenant from time to time."""
SETTLES_S: Final = 30.0

_CHECKS: Final = [
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
_REFUSES: Final = ["400", "401", "404", "405", "409", "413", "415", "429", "431"]
_REMEMBERED: Final = 6
_LIVE: Final = "text/event-stream"
_FIT: Final[dict[str, Sequence[str]]] = {
    "asset": ["BTC", "NGN"],
    "base_asset": ["BTC"],
    "quote_asset": ["NGN"],
    "value": [FILLS, STUCK, "1000.00", "0.00007788"],
    "instrument": ["BTC-NGN"],
    "day": ["2026-03-02"],
}

Operation = Any
Case = Any
Response = Any


@dataclass
class Report:
    """Attributes:
    cases: requests that were sent.
    answers: how often each status, with the reason of a refusal, was heard.
    findings: what must never be, each once, with how to repeat it.
    undocumented: refusals that an operation's part of the document does not name.
    """

    cases: int = 0
    operations: int = 0
    seconds: float = 0
    answers: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)
    undocumented: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Campaign:
    """A stack with two tenants: one to send as, and one that must notice nothing."""

    stack: ReadyStack
    document: dict[str, Any]
    mine: Tenant
    other: Tenant
    before: Mapping[str, str]

    @classmethod
    def prepared(cls, stack: ReadyStack) -> "Campaign":
        mine, other = a_tenant(stack), a_tenant(stack, is_still=True)
        document = requests.get(f"{stack.rest_url}/openapi.json", timeout=10).json()
        return cls(stack, document, mine, other, _settled_rows(stack, other))

    def run(
        self,
        *,
        cases: int,
        seed: int,
        round_of: int = 40,
        document: dict[str, Any] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Report:
        """Send at least that many requests, `round_of` to each operation in turn."""
        report = Report()
        began = time.monotonic()
        judge = _Judge(self, document or self.document, report)
        turn = 0
        while report.cases < cases:
            for path, verb in judge.routes:
                judge.send(path, verb, round_of, seed + turn)
            turn += 1
            say(f"{report.cases:,} requests, {len(report.findings)} findings")
        after = _rows(self.stack, self.other)
        for table in self.before.keys() | after.keys():
            if self.before.get(table) != after.get(table):
                report.findings[f"rows of the other tenant changed: {table}"] = (
                    f"{self.before.get(table)} became {after.get(table)}"
                )
        report.seconds = time.monotonic() - began
        return report


class _Judge:
    """Sends in three ways: what the document allows, what it forbids, and what there is to name."""

    def __init__(self, campaign: Campaign, document: dict[str, Any], report: Report) -> None:
        info = document["components"]["schemas"]["ErrorInfo"]
        self._registry = {*info["properties"]["reason"]["enum"]}
        self._campaign = campaign
        self._document = document
        self._report = report
        self._known = {
            name: [*ids, *campaign.other.known[name]] for name, ids in campaign.mine.known.items()
        }
        self._made: dict[str, deque[str]] = {
            name: deque(maxlen=_REMEMBERED) for name in self._known
        }
        self._plain = _schema_of(document)
        self._naming: Any = None
        self.routes = [
            (path, verb)
            for path, item in document["paths"].items()
            for verb, operation in item.items()
            if _LIVE not in operation["responses"]["200"]["content"]
        ]
        report.operations = len(self.routes)

    def send(self, path: str, verb: str, cases: int, seed: int) -> None:
        """Send so many requests each way, and judge each answer."""
        plain = self._plain[path][verb]
        known = self._naming_what_there_is()[path][verb]
        for operation, mode in (
            (known, GenerationMode.POSITIVE),
            (plain, GenerationMode.POSITIVE),
            (plain, GenerationMode.NEGATIVE),
        ):
            self._send(operation, mode, cases, seed)

    def _naming_what_there_is(self) -> Any:
        if self._naming is None:
            named: dict[str, Sequence[str]] = {
                name: [*ids, *self._made[name]] for name, ids in self._known.items()
            }
            self._naming = _schema_of(with_known(self._document, named | _FIT))
        return self._naming

    def _send(self, operation: Operation, mode: GenerationMode, cases: int, seed: int) -> None:
        @seeded(seed)
        @settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Case) -> None:
            self._judge(operation, case)

        with suppress(Unsatisfiable):  # where nothing can be wrong
            one()

    def _judge(self, operation: Operation, case: Case) -> None:
        assume(_can_be_said(case.query or {}))
        assume(not _has_null_field(case.body))
        headers = {"Authorization": f"Bearer {self._campaign.mine.key}"}
        response = case.call(base_url=self._campaign.stack.rest_url, headers=headers)
        self._report.cases += 1
        for what in self._wrong(operation, case, response):
            command = case.as_curl_command(headers=headers)
            self._report.findings.setdefault(
                f"{operation.label}: {what}", f"{command}\n{response.text[:500]}"
            )

    def _wrong(self, operation: Operation, case: Case, response: Response) -> Iterator[str]:
        reason = ""
        if response.status_code != 200:
            details = response.json().get("details") or [{}]
            reason = details[0].get("reason", "")
            if reason not in self._registry:
                yield f"{response.status_code} with the reason {reason or 'none'}"
            elif details[0]["metadata"]["retry"] not in list(Retry):
                yield f"{reason} with no retry class"
            told = operation.definition.raw["responses"].get(str(response.status_code), {})
            if reason not in told.get("x-reasons", ()) and reason in self._registry:
                self._report.undocumented.add(f"{operation.label}: {response.status_code} {reason}")
                if response.status_code >= 500:
                    yield f"{response.status_code} {reason}"
        else:
            self._remember(response.json())
        self._report.answers[f"{response.status_code} {reason}".strip()] += 1
        if self._campaign.other.id in response.text:
            yield "an answer tells of the other tenant"
        try:
            case.validate_response(response, checks=_CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                yield f"{type(failure).__name__}: {str(failure).splitlines()[0]}"

    def _remember(self, answer: Any) -> None:
        """Know what was just made, so that it can be named: quotes do not live for long."""
        for name, thing in answer.items() if isinstance(answer, dict) else ():
            if isinstance(thing, dict) and f"{name}_id" in self._made:
                self._made[f"{name}_id"].append(thing["id"])
                self._naming = None


def _can_be_said(query: Mapping[str, Any]) -> bool:
    """Say whether what is wrong with a query is still there once it is written down.

    An empty list is not; and the front door overlooks a parameter without a name.
    """
    return all(name and value not in ([], {}) for name, value in query.items())


def _has_null_field(body: Any) -> bool:
    """Say whether a field is null, which in the JSON of Protobuf is a field left out."""
    if isinstance(body, dict):
        return any(value is None or _has_null_field(value) for value in body.values())
    return isinstance(body, list) and any(_has_null_field(one) for one in body)


def with_known(document: dict[str, Any], known: Known) -> dict[str, Any]:
    """Return a document whose requests name only what there is, and carry nothing unknown."""
    narrow = deepcopy(document)
    schemas = narrow["components"]["schemas"]
    for operation in (one for item in narrow["paths"].values() for one in item.values()):
        for parameter in operation.get("parameters", ()):
            name = parameter["name"].rpartition(".")[2]
            parameter["schema"] = _narrowed(name, parameter["schema"], schemas, known)
    for name in [name for name in schemas if name.endswith(("Request", "Input"))]:
        schemas[name] = _narrowed("", schemas[name], schemas, known)
    return narrow


def _narrowed(name: str, schema: Any, schemas: Any, known: Known) -> Any:
    if reference := schema.get("$ref"):
        target = schemas[reference.rpartition("/")[2]]
        return _narrowed(name, target, schemas, known) if "properties" in target else schema
    if schema.get("type") == "string" and name in known:
        return {"type": "string", "enum": [*known[name]]}
    if "items" in schema:
        return schema | {"items": _narrowed(name, schema["items"], schemas, known)}
    if "properties" in schema:
        inner = schema["properties"].items()
        return schema | {
            "properties": {key: _narrowed(key, one, schemas, known) for key, one in inner},
            "additionalProperties": False,
        }
    return schema


def _schema_of(document: dict[str, Any]) -> Any:
    schema = schemathesis.openapi.from_dict(document)
    # A finding must be there to be repeated; the key ends with the stack that it belongs to.
    schema.config.output.sanitization.enabled = False
    schema.config.checks.negative_data_rejection.expected_statuses = _REFUSES
    return schema


def _settled_rows(stack: ReadyStack, tenant: Tenant) -> Mapping[str, str]:
    """Wait until the workers are through with what the tenant did, and return its rows."""
    deadline = time.monotonic() + SETTLES_S
    before = _rows(stack, tenant)
    while time.monotonic() < deadline:
        time.sleep(3)
        after = _rows(stack, tenant)
        if after == before:
            return after
        before = after
    raise AssertionError(f"the rows of a tenant at rest go on changing after {SETTLES_S} s")


def _rows(stack: ReadyStack, tenant: Tenant) -> Mapping[str, str]:
    rows = rows_of(stack.database_url, tenant.id)
    return {table: rows for table, rows in rows.items() if table not in BY_THE_CLOCK}
