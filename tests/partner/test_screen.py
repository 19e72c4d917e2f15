"""What is shown to people: in columns, whole, and harmless to a terminal."""

import pytest
from rich.text import Text

from app.partner.screen import aligned, grouped, printable


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("BTC", "0.01000000"), ("NGN", "1,497,000.00", Text("held", style="dim")), ("x",)]

    lines = [line.plain for line in aligned(rows, right={1})]

    assert lines == [
        "BTC    0.01000000",
        "NGN  1,497,000.00  held",
        "x",
    ]


def test_a_column_of_wide_characters_is_measured_in_cells() -> None:
    assert [line.plain for line in aligned([("日本", "a"), ("abcd", "b")], right=())] == [
        "日本  a",
        "abcd  b",
    ]


def test_no_rows_are_no_lines() -> None:
    assert aligned([], right=()) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0"),
        ("999.99", "999.99"),
        ("1000", "1,000"),
        ("1513521.00", "1,513,521.00"),
        ("-2000000.00", "-2,000,000.00"),
        ("0.01000000", "0.01000000"),
        ("-123", "-123"),
    ],
)
def test_amounts_have_separators_before_the_point(value: str, shown: str) -> None:
    assert grouped(value) == shown


@pytest.mark.parametrize("others", ["\x1b[31mred", "a\nb", "a\rb", "\x9b1m", "a\u202eb", "\x07"])
def test_what_a_terminal_would_obey_is_not_printed(others: str) -> None:
    assert printable(others).isprintable()


def test_every_letter_stays_as_it_is() -> None:
    assert printable("Ọmọ Pay, 日本 (€)") == "Ọmọ Pay, 日本 (€)"
