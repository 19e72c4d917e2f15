"""Reasons: every refusal has one stable name, known to partners, for ever."""

import re

import pytest
from google.rpc.code_pb2 import Code

from adapters.envoy.refusals import REFUSALS, Refusal
from app.rpc.errors import CODE, code_of
from domain.errors import RETRY_OF_KIND, DomainError, Kind
from reli.error.v1 import error_reason_pb2
from tests.support.errors import ERRORS
from tests.support.golden import GOLDEN, REWRITES, ROOT, assert_golden

REGISTRY = GOLDEN / "error_reasons.txt"
PROTO = ROOT / "proto" / "reli" / "error" / "v1" / "error_reason.proto"
PREFIX = "ERROR_REASON_"

CODE_OF_KIND = {
    Kind.INVALID: "INVALID_ARGUMENT",
    Kind.UNAUTHENTICATED: "UNAUTHENTICATED",
    Kind.FORBIDDEN: "PERMISSION_DENIED",
    Kind.MISSING: "NOT_FOUND",
    Kind.EXISTS: "ALREADY_EXISTS",
    Kind.REFUSED: "FAILED_PRECONDITION",
    Kind.CONFLICT: "ABORTED",
    Kind.EXHAUSTED: "RESOURCE_EXHAUSTED",
    Kind.UPSTREAM: "UNAVAILABLE",
}


NUMBERS = {
    name.removeprefix(PREFIX): number
    for name, number in error_reason_pb2.ErrorReason.items()
    if number
}


def _explained() -> dict[str, tuple[str, str, str]]:
    """Return text, code and retry class of each value, from the comments of the file."""
    source = PROTO.read_text(encoding="utf-8")
    values = re.findall(rf"((?:  // .*\n)+)  {PREFIX}(\w+) = [1-9]", source)
    comments = {name: " ".join(re.findall(r"// (.*)", lines)) for lines, name in values}
    found = {
        name: re.fullmatch(r"(.+) Code ([A-Z_]+), retry (\w+)\.", comment)
        for name, comment in comments.items()
    }
    return {name: (m[1], m[2], m[3]) for name, m in found.items() if m}


EXPLAINED = _explained()


def test_every_reason_is_unique_and_in_upper_snake_case() -> None:
    reasons = [error.reason for error in ERRORS]

    assert len(reasons) > 60
    assert len(set(reasons)) == len(reasons)
    assert [reason for reason in reasons if not re.fullmatch(r"[A-Z]+(_[A-Z]+)*", reason)] == []


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_refusal_is_registered_with_its_code_and_retry_class(
    error: type[DomainError],
) -> None:
    _, code, retry = EXPLAINED[error.reason]

    assert error.reason in NUMBERS
    assert (code, retry) == (code_of(error("")).name, error("").retry)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_a_class_is_named_as_its_reason_says_and_explained(error: type[DomainError]) -> None:
    words = re.findall(r"[A-Z][a-z]*", error.__name__)

    assert "_".join(words).upper() == error.reason
    assert error.__doc__
    assert error.__doc__ != DomainError.__doc__


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.http_status))
def test_what_the_front_door_refuses_is_registered_too(refusal: Refusal) -> None:
    _, code, retry = EXPLAINED[refusal.reason]

    assert refusal.reason in NUMBERS
    assert (code, retry) == (Code.Name(refusal.code), refusal.retry)


def test_every_value_says_what_it_means_with_code_and_retry_class() -> None:
    assert set(EXPLAINED) == set(NUMBERS)


def test_every_kind_has_its_code_and_a_retry_class() -> None:
    assert {kind: code.name for kind, code in CODE.items()} == CODE_OF_KIND
    assert set(CODE_OF_KIND) == set(RETRY_OF_KIND) == set(Kind)


def test_no_reason_is_ever_removed_or_renumbered() -> None:
    lines = [f"{number:>3} {name}" for name, number in sorted(NUMBERS.items(), key=lambda i: i[1])]
    known = REGISTRY.read_text(encoding="utf-8").splitlines() if REGISTRY.exists() else []

    assert set(known) <= set(lines), "a reason that partners may know is gone"
    assert REWRITES or known
    assert_golden(REGISTRY, "".join(f"{line}\n" for line in lines))
