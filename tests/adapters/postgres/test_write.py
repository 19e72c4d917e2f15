"""Rows of several kinds are written by one statement, each with its own parameters."""

from typing import Any

import pytest

from adapters.postgres.write import Write, _entering_statement, _statement, write_rows


class Driver:
    """Answers with a row that was made ahead, and remembers what it was asked."""

    def __init__(self, row: tuple[Any, ...] = ()) -> None:
        self.row = row
        self.asked: list[tuple[Any, ...]] = []

    async def fetchrow(self, *asked: Any) -> tuple[Any, ...]:
        self.asked.append(asked)
        return self.row


class Scope:
    tenant = "the tenant"

    def __init__(self, driver: Driver) -> None:
        self.driver = driver


def test_parameters_follow_each_other_and_the_tenant_is_one_for_all() -> None:
    parts = (("a AS (INSERT $1, $2, $3, $2)", "NULL"), ("b AS (INSERT $1, $2)", "SELECT 1"))

    assert _statement(parts) == (
        "WITH a AS (INSERT $1, $2, $3, $2), b AS (INSERT $1, $4) SELECT (NULL), (SELECT 1)"
    )


def test_rows_that_are_added_outside_of_a_transaction_get_their_tenant_from_where_it_is_set() -> (
    None
):
    parts = (("a AS (INSERT $1, $2, $11)", "NULL"), ("b AS (INSERT $1, $2)", "SELECT 1"))

    assert _entering_statement(parts).split("\n, ")[1] == (
        "a AS (INSERT (SELECT tenant_id FROM entered), $2, $11), "
        "b AS (INSERT (SELECT tenant_id FROM entered), $12) SELECT (NULL), (SELECT 1)"
    )


async def test_each_kind_is_checked_against_what_was_found_of_it() -> None:
    checked: dict[str, Any] = {}
    driver = Driver((None, 7))

    await write_rows(
        Scope(driver),  # type: ignore[arg-type]
        [
            Write("a AS (INSERT $1, $2)", ([1],), check=lambda found: checked.update(a=found)),
            Write("b AS (INSERT $1, $2)", ([2],), "x", lambda found: checked.update(b=found)),
        ],
    )

    assert [arguments for _, *arguments in driver.asked] == [["the tenant", [1], [2]]]
    assert checked == {"a": None, "b": 7}


async def test_nothing_to_write_asks_nothing() -> None:
    driver = Driver()

    await write_rows(Scope(driver), [])  # type: ignore[arg-type]

    assert driver.asked == []


async def test_what_a_check_raises_is_raised() -> None:
    def check(found: Any) -> None:
        raise LookupError(found)

    with pytest.raises(LookupError, match="0 rows"):
        await write_rows(
            Scope(Driver(("0 rows",))),  # type: ignore[arg-type]
            [Write("a AS (INSERT $1, $2)", ([1],), "x", check)],
        )
