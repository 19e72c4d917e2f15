"""Stories as text: one command per line, what became of it last, the balances at the end."""

import re
from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path

from domain.errors import DomainError
from domain.ledger.account import Account
from tests.support.book import Book
from tests.support.golden import assert_golden

_RESULT = " | "
_END = "---"


def assert_story(path: Path, tell: Callable[[str], str], balances: Callable[[], str]) -> None:
    """Run every command of the file and assert its result and the balances at the end."""
    commands = path.read_text(encoding="utf-8").split(f"\n{_END}\n")[0].rstrip().splitlines()
    commands = [command.split(_RESULT)[0].rstrip() for command in commands]
    width = max(len(command) for command in commands if not command.startswith("#"))
    told = [
        command
        if not command or command.startswith("#")
        else f"{command.ljust(width)}{_RESULT}{_outcome(tell, command)}"
        for command in commands
    ]
    assert_golden(path, "\n".join([*told, "", _END, balances()]) + "\n")


def balance_table(book: Book, names: dict[str, Account]) -> str:
    """Return one line per account: what is final, held, incoming and available."""
    rows = [["account", "posted", "held", "incoming", "available", "asset"]]
    for name, opened in names.items():
        account = book.accounts[opened.id]
        columns = (account.balance, account.held, account.credits_pending, account.available)
        values = [account.amount(units).value for units in columns]
        rows.append([name, *values, str(account.asset)])
    return _aligned(rows)


def words(command: str) -> list[str]:
    return re.split(r"\s+", command.strip())


def _outcome(tell: Callable[[str], str], command: str) -> str:
    try:
        return tell(command)
    except DomainError as refusal:
        return refusal.reason


def _aligned(rows: Iterable[list[str]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    lines = []
    for first, *numbers, last in rows:
        middle = "  ".join(n.rjust(w) for n, w in zip(numbers, widths[1:-1], strict=True))
        lines.append(f"{first.ljust(widths[0])}  {middle}  {last}")
    return "\n".join(lines)
