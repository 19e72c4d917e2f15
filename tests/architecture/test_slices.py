"""Slices: one word names a slice on every floor of the house."""

import ast
from pathlib import Path

import pytest

from tests.support.golden import ROOT
from tests.support.protos import SERVICES

SLICES = sorted({path.parents[1].name for path in (ROOT / "proto/reli").rglob("*_service.proto")})
# What the others offer is not the books' own: the audit log, events, reference data and play money
# have no domain folder.
WITH_A_DOMAIN = ["ledger", "liquidity", "quote", "reconciliation", "tenant", "trade", "webhook"]

RIM = ["app/rpc/{}.py", "adapters/wire/{}.py", "proto/reli/{}/v1"]
FLOORS = [
    "domain/{}",
    "domain/{}/errors.py",
    "ports/{}.py",
    "adapters/postgres/{}.py",
    "app/usecase/{}",
    "tests/domain/{}",
]


def test_the_slices_are_those_with_a_service() -> None:
    assert SLICES == [
        "audit",
        "event",
        "ledger",
        "liquidity",
        "market",
        "quote",
        "reconciliation",
        "sandbox",
        "tenant",
        "trade",
        "webhook",
    ]
    folders = {path.parent.name for path in (ROOT / "domain").glob("*/__init__.py")}
    assert folders == set(WITH_A_DOMAIN), "a domain folder without a service, or the reverse"


@pytest.mark.parametrize("floor", RIM)
@pytest.mark.parametrize("slice_name", SLICES)
def test_every_slice_is_on_every_floor_of_the_rim(slice_name: str, floor: str) -> None:
    assert (ROOT / floor.format(slice_name)).exists()


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("slice_name", WITH_A_DOMAIN)
def test_a_slice_of_the_core_is_on_every_floor(slice_name: str, floor: str) -> None:
    assert (ROOT / floor.format(slice_name)).exists()


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_served_by_the_file_of_its_slice(service: str) -> None:
    _, slice_name, _, name = service.split(".")
    bases = _bases(ROOT / "app" / "rpc" / f"{slice_name}.py")

    assert f"{name}Servicer" in bases


def _bases(path: Path) -> set[str]:
    """Return the last name of every base class in the file."""
    classes = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    return {ast.unparse(base).split(".")[-1] for node in classes for base in node.bases}
