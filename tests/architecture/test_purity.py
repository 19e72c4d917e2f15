"""Purity: the domain computes, exactly, and does nothing else."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.golden import ROOT

DOMAIN = sorted((ROOT / "domain").rglob("*.py"))

# Clocks, chance, the outside world, and numbers that round by themselves.
BANNED_MODULES = {
    *("time", "random", "secrets", "os", "io", "pathlib", "tempfile", "shutil", "sqlite3"),
    *("socket", "ssl", "http", "urllib", "select", "selectors", "signal", "subprocess"),
    *("asyncio", "threading", "multiprocessing", "concurrent", "logging"),
    *("decimal", "fractions", "statistics", "numbers", "math", "cmath"),
}
BANNED_NAMES = {"float", "complex", "Decimal", "round", "print", "open", "input", "eval", "exec"}
BANNED_ATTRIBUTES = {"now", "utcnow", "today", "timestamp", "total_seconds", "uuid1", "uuid4"}


def _sins(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for sin in _sins_of(node):
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {sin}"


def _sins_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (_import_sin(alias.name) for alias in names if _import_sin(alias.name))
        case ast.ImportFrom(module=module, level=level):
            if level:
                yield "a relative import"
            elif _import_sin(module or ""):
                yield _import_sin(module or "")
        case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
            yield "the domain never awaits"
        case ast.Constant(value=float() | complex()):
            yield f"the inexact number {node.value!r}"
        case ast.Div():
            yield "a true division, which makes a float"
        case ast.Name(id=name) if name in BANNED_NAMES:
            yield f"the name {name}"
        case ast.Attribute(attr=name) if name in BANNED_ATTRIBUTES and _is_foreign(node):
            yield f"the attribute {name}"
        case ast.ClassDef(name=name, decorator_list=decorators) if _is_mutable(decorators):
            yield f"the dataclass {name}, which is not frozen with slots"
        case ast.Global() | ast.Nonlocal():
            yield "state outside of any value"


def _import_sin(module: str) -> str:
    root = module.split(".")[0]
    if root == "domain" or (root in sys.stdlib_module_names and root not in BANNED_MODULES):
        return ""
    return f"an import of {module}"


def _is_mutable(decorators: list[ast.expr]) -> bool:
    made = [text for text in map(ast.unparse, decorators) if text.startswith("dataclass")]
    return any("frozen=True" not in text or "slots=True" not in text for text in made)


def _is_foreign(node: ast.Attribute) -> bool:
    """`books.now` is an input; `datetime.now` asks the machine."""
    is_input = isinstance(node.value, ast.Name) and node.value.id in {"self", "books"}
    return not is_input


def test_the_domain_is_pure() -> None:
    assert len(DOMAIN) > 25
    assert [sin for path in DOMAIN for sin in _sins(path)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from random import choice",
        "from decimal import Decimal",
        "import sqlalchemy",
        "from ports.clock import Clock",
        "from . import amount",
        "x = 0.5",
        "x = float('1')",
        "x = 1 / 2",
        "x /= 2",
        "x: float",
        "x = round(y)",
        "now = datetime.now(UTC)",
        "async def f(): ...",
        "def f():\n    global x",
        "@dataclass\nclass A: ...",
        "@dataclass(frozen=True)\nclass A: ...",
    ],
)
def test_a_planted_impurity_is_found(source: str) -> None:
    assert any(sin for node in ast.walk(ast.parse(source)) for sin in _sins_of(node))


@pytest.mark.parametrize(
    "source",
    ["from domain.ids import QuoteId", "import re", "x = 7 // 2", "x = books.now", "x = 10**30"],
)
def test_exact_and_closed_code_is_pure(source: str) -> None:
    assert not any(sin for node in ast.walk(ast.parse(source)) for sin in _sins_of(node))
