"""What people read: aligned, colored on a terminal, plain in a pipe; and what programs read."""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.text import Text

from reli.type.v1.amount_pb2 import Amount

Json = dict[str, Any]
Cell = str | Text

_GAP: Final = "  "


class Screen:
    """Where one command says what there is to say.

    What it was asked for goes to standard output: for programs as JSON, named as the REST face has
    it, and nothing else. Everything beside that goes to standard error.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._beside = Console(
            highlight=False, soft_wrap=True, markup=False, emoji=False, stderr=True
        )

    def document(self, document: Mapping[str, Any]) -> None:
        """Print one JSON document over several lines."""
        self._out.out(json.dumps(document, indent=2), highlight=False)

    def line(self, document: Mapping[str, Any]) -> None:
        """Print one JSON document on a line of its own, at once."""
        self._out.out(json.dumps(document), highlight=False)
        sys.stdout.flush()

    def say(self, *parts: Cell) -> None:
        """Print a line for people."""
        self._out.print(Text.assemble(*parts))
        sys.stdout.flush()

    def note(self, *parts: Cell) -> None:
        """Say something to people beside what was asked for."""
        if not self.as_json:
            self._beside.print(Text.assemble(*parts))

    def note_document(self, document: Mapping[str, Any]) -> None:
        """Say something to programs beside what was asked for, on a line of its own."""
        if self.as_json:
            self._beside.out(json.dumps(document), highlight=False)

    def table(
        self,
        rows: Sequence[Sequence[Cell]],
        *,
        indent: int = 0,
        right: Collection[int] = frozenset(),
    ) -> None:
        """Print rows in columns; `right` has the numbers, from 0, of those that end in line."""
        for line in aligned(rows, right=right):
            self._out.print(Text.assemble(" " * indent, line))


def aligned(rows: Sequence[Sequence[Cell]], *, right: Collection[int]) -> list[Text]:
    """Return a line for each row, never cut: what is in it may be pasted elsewhere."""
    texts = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    count = max(map(len, texts), default=0)
    widths = [
        max((row[number].cell_len for row in texts if number < len(row)), default=0)
        for number in range(count)
    ]
    lines = []
    for row in texts:
        line = Text()
        for number, cell in enumerate(row):
            padding = " " * (widths[number] - cell.cell_len)
            parts = (padding, cell) if number in right else (cell, padding)
            line.append_text(Text.assemble(*parts, _GAP))
        line.rstrip()
        lines.append(line)
    return lines


def as_dict(message: Message) -> Json:
    """Return a message as the REST face answers it."""
    document: Json = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return document


def printable(text: str) -> str:
    """Return what others wrote without anything that a terminal would obey."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def grouped(value: str) -> str:
    """Return a decimal number with separators, such as 1,513,521.00."""
    whole, point, fraction = value.partition(".")
    digits = whole.lstrip("-")
    groups = [digits[max(end - 3, 0) : end] for end in range(len(digits), 0, -3)]
    return whole[: len(whole) - len(digits)] + ",".join(reversed(groups)) + point + fraction


def words_of(name: str, prefix: str) -> str:
    """Return an enumerated name of the contract as people say it."""
    return name.removeprefix(prefix).lower().replace("_", " ")


def state_of(name: str, prefix: str) -> Text:
    """Return a state in words, in the color of what it means."""
    word = words_of(name, prefix)
    return Text(word, style=_STYLES.get(word, ""))


def amount(of: Amount) -> str:
    return f"{grouped(of.value)} {of.asset}"


def clock(at: Timestamp) -> str:
    """Return a time of day in UTC, to the second."""
    return at.ToDatetime().strftime("%H:%M:%S")


def date_and_clock(at: Timestamp) -> str:
    return at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")


def dim(text: str) -> Text:
    return Text(text, style="dim")


def bold(text: str) -> Text:
    return Text(text, style="bold")


GOOD: Final = Text("✓ ", style="green")
BAD: Final = Text("✗ ", style="red")

_STYLES: Final[Mapping[str, str]] = {
    "settled": "green",
    "filled": "green",
    "used": "green",
    "rejected": "red",
    "refused": "red",
    "failed": "red",
    "pending": "yellow",
    "outcome unknown": "yellow",
    "unknown": "yellow",
    "suspended": "yellow",
}
