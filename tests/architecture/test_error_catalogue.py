"""The catalogue of errors is written from the registry, and what it adds is known to the code."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

from adapters.envoy.descriptor import commented_set_path
from adapters.openapi.contract import Contract
from adapters.openapi.reasons import Reason, read_reasons
from adapters.openapi.remedies import REMEDIES, remedy_of
from tests.support.errors import ERRORS
from tests.support.golden import ROOT, assert_golden

DOCUMENT: Final = ROOT / "docs" / "errors.md"
REASONS: Final = read_reasons(Contract.read(commented_set_path().read_bytes()))
PARTS: Final = {
    0: "The front door and every call",
    30: "Keys",
    40: "Request ids",
    50: "The platform at the moment",
    60: "Fields, ids, amounts and instruments",
    100: "Tenants and customers",
    200: "Quotes",
    300: "Trades",
    400: "The books",
    500: "Reconciliation and settlement with liquidity providers",
    600: "Events",
}
"""The registry numbers reasons by what they are about; each part begins at one of these."""


def _metadata_keys() -> Mapping[str, set[str]]:
    """Return for each reason the keys that the code gives along with it."""
    reason_of = {error.__name__: error.reason for error in ERRORS}
    keys: dict[str, set[str]] = defaultdict(set)
    for floor in ("domain", "ports", "adapters", "app"):
        for file in sorted((ROOT / floor).rglob("*.py")):
            for name, given in _raised(ast.parse(file.read_text(encoding="utf-8"))):
                if name in reason_of:
                    keys[reason_of[name]] |= given
    return keys


def _raised(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Yield each call of a name with the keywords that it is given."""
    tables = dict(_tables(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            name = function.id if isinstance(function, ast.Name) else name
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            spread = [
                k.value.id for k in node.keywords if isinstance(k.value, ast.Name) and not k.arg
            ]
            yield name, given.union(*(tables.get(one, ()) for one in spread))


def _tables(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Yield the name of each variable that is made of a literal table, with the table's keys."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Dict):
            keys = {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            yield from ((one.id, keys) for one in targets if isinstance(one, ast.Name))


METADATA: Final = _metadata_keys()


def _part(reason: Reason) -> str:
    return PARTS[max(start for start in PARTS if start <= reason.number)]


def _entry(reason: Reason) -> Iterator[str]:
    keys = [f"`{key}`" for key in ("retry", *sorted(METADATA[reason.name]))]
    yield f"### {reason.name}"
    yield ""
    yield f"`{reason.code}` · HTTP {reason.http_status} · retry `{reason.retry}`"
    yield ""
    yield f"- **Cause:** {reason.cause}"
    yield f"- **Remedy:** {remedy_of(reason.name, code=reason.code, retry=reason.retry)}"
    yield f"- **Metadata:** {', '.join(keys)}"
    yield ""


def test_the_catalogue_is_up_to_date() -> None:
    lines = [
        "# Errors",
        "",
        "Written by `make golden` from the registry of reasons,"
        " [error_reason.proto](../proto/reli/error/v1/error_reason.proto). How to deal with them:"
        " [the guide](guides/errors.md).",
        "",
    ]
    for part, reasons in groupby(REASONS.values(), key=_part):
        lines += [f"## {part}", "", *(line for reason in reasons for line in _entry(reason))]

    assert_golden(DOCUMENT, "\n".join(lines).rstrip("\n") + "\n")


def test_every_reason_is_in_the_catalogue_once() -> None:
    headings = [
        line.removeprefix("### ")
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("### ")
    ]

    assert headings == [*REASONS]
    assert {error.reason for error in ERRORS} <= {*headings}


def test_a_remedy_of_its_own_is_for_a_reason_that_exists() -> None:
    assert set(REMEDIES) <= set(REASONS)


def test_what_the_code_tells_along_is_found() -> None:
    assert METADATA["INSUFFICIENT_FUNDS"] >= {"available", "needed", "asset"}
    assert METADATA["PENDING_EXPIRED"]
    assert "field" in METADATA["INVALID_ARGUMENT"]
