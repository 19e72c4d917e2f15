"""Types of events: what the code announces, what a filter takes and what `docs/events.md` lists."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Final

from app.usecase import announce
from app.usecase.trade.execute_trade import _TOLD as TOLD_STATES
from domain.event_type import EVENT_TYPES, NOUNS
from domain.tenant.customer import TRANSITIONS as CUSTOMER_TRANSITIONS
from domain.tenant.tenant import TRANSITIONS as TENANT_TRANSITIONS
from domain.webhook.endpoint import TESTED
from reli.event.v1 import event_pb2
from tests.support.golden import ROOT, assert_golden

DOCUMENT: Final = ROOT / "docs" / "events.md"
HEAD: Final = "| type | data | when it is told |\n| --- | --- | --- |\n"

TYPE: Final = re.compile(r"[a-z_]+\.[a-z_]+")

STATES: Final[Mapping[str, set[StrEnum]]] = {
    "customer.": set(CUSTOMER_TRANSITIONS.values()),
    "tenant.": set(TENANT_TRANSITIONS.values()),
    "trade.": set(TOLD_STATES),
}
"""What a type is named after where the code has only its beginning: a state that was reached."""

DATA: Final = {
    "tenant": "tenant",
    "api_key": "api_key",
    "webhook_endpoint": "webhook_endpoint",
    "request_signing_key": "request_signing_key",
    "customer": "customer",
    "deposit": "deposit",
    "quote": "quote",
    "trade": "trade",
    "entry": "entry",
    "entries": "committed_entries",
    "break": "reconciliation_break",
    "trading_state": "trading_state_change",
    "lp": "lp",
    "dead_letter": "dead_letter",
}
"""Which field of an event holds the thing, by the noun of its type."""


def announcing() -> Iterator[tuple[Path, ModuleType]]:
    """Yield every module that announces something."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        source = path.read_text(encoding="utf-8")
        if module == announce.__name__ or f"from {announce.__name__} import" in source:
            yield path, importlib.import_module(module)


def announced(path: Path) -> Iterator[str]:
    """Yield what looks like a type of event in a module, one for each state if it says no more."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            head = str(node.values[0].value)
            yield from (f"{head}{state}" for state in STATES.get(head, ()))
        elif isinstance(node, ast.Constant) and TYPE.fullmatch(str(node.value)):
            yield str(node.value)


def test_what_is_announced_are_the_types_that_are_known() -> None:
    found = {type for path, _ in announcing() for type in announced(path)}

    assert len(list(announcing())) > 15
    assert found | {TESTED} == EVENT_TYPES.keys()


def test_a_type_is_a_noun_that_has_data_and_what_happened_to_it() -> None:
    fields = {field.name for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["data"].fields}

    assert DATA.keys() == NOUNS
    assert set(DATA.values()) == fields
    assert all(TYPE.fullmatch(type) for type in EVENT_TYPES)
    assert all(text.endswith(".") for text in EVENT_TYPES.values())


def test_the_document_lists_every_type() -> None:
    before, head, rest = DOCUMENT.read_text(encoding="utf-8").partition(HEAD)
    _, blank, after = rest.partition("\n\n")
    rows = "\n".join(
        f"| `{type}` | `{DATA[type.partition('.')[0]]}` | {when} |"
        for type, when in EVENT_TYPES.items()
    )

    assert head, "the table is there"
    assert_golden(DOCUMENT, f"{before}{head}{rows}{blank}{after}")
