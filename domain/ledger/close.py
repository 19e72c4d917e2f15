"""The daily close: what was recorded in a book on one day (UTC), and what it adds up to.

A line belongs to the day on which it was recorded, whenever it counts: so a day that is over never
changes, its closing balances are the opening balances of the next day, and a close is made once.
Statements are by the time at which lines count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from domain.amount import Amount
from domain.asset import Asset
from domain.canonical import canonical_json
from domain.errors import InvalidArgument
from domain.ids import TenantId
from domain.ledger.account import AccountKey, AccountKind

TYPE: Final = "reli.daily_close.v1"
GRACE: Final = timedelta(minutes=5)
"""How long after a day it is closed: whoever was writing when it ended is done or was given up."""

POSITION_KINDS: Final = frozenset({AccountKind.LP, AccountKind.TREASURY, AccountKind.INVENTORY})
"""Accounts that a close names one by one."""

_FIRST_DAY: Final = date(1970, 1, 1)
_DAY: Final = timedelta(days=1)


def read_day(text: str) -> date:
    """Return a day since 1970 such as `2026-03-02`, or raise `InvalidArgument`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day < _FIRST_DAY or day == date.max or text != day.isoformat():
        raise InvalidArgument("day must be a date since 1970 such as 2026-03-02", field="day")
    return day


def ends_of(day: date) -> tuple[datetime, datetime]:
    """Return the first instant of a day, and the first of the next one."""
    start = datetime.combine(day, time(), UTC)
    return start, start + _DAY


def latest_closable(now: datetime) -> date:
    """Return the latest day that is over, grace included."""
    return (now - GRACE).date() - _DAY


class AccountDay(NamedTuple):
    """One account's day, in minor units.

    Attributes:
        lines: how many moved the posted balance.
    """

    account: AccountKey
    opening: int
    debits: int
    credits: int
    closing: int
    lines: int


class BooksUnbalanced(Exception):
    """What was recorded does not lead from the opening to the closing balances, or sums to zero in
    no asset; `reli audit` says more."""


class _Sum(NamedTuple):
    opening: int = 0
    debits: int = 0
    credits: int = 0
    closing: int = 0
    accounts: int = 0
    lines: int = 0

    def plus(self, other: AccountDay) -> "_Sum":
        return _Sum(
            self.opening + other.opening,
            self.debits + other.debits,
            self.credits + other.credits,
            self.closing + other.closing,
            self.accounts + 1,
            self.lines + other.lines,
        )


Key = tuple[AccountKind, Asset]


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """A book's day, account kind by account kind; the same value holds the positions."""

    sums: Mapping[Key, _Sum]
    positions: tuple[AccountDay, ...]

    @classmethod
    def empty(cls) -> "TrialBalance":
        return cls({}, ())

    def plus(self, accounts: Iterable[AccountDay]) -> "TrialBalance":
        """Return the balance with these accounts in it, or raise `BooksUnbalanced`."""
        sums, positions = dict(self.sums), list(self.positions)
        for one in accounts:
            if one.opening + one.credits - one.debits != one.closing:
                raise BooksUnbalanced(f"{one}")
            key = one.account.kind, one.account.asset
            sums[key] = sums.get(key, _Sum()).plus(one)
            if one.account.kind in POSITION_KINDS:
                positions.append(one)
        return TrialBalance(sums, tuple(positions))

    def check(self) -> None:
        """Raise `BooksUnbalanced` unless every column is right in every asset."""
        for asset in {asset for _, asset in self.sums}:
            mine = [found for key, found in self.sums.items() if key[1] == asset]
            if sum(one.opening for one in mine) or sum(one.closing for one in mine):
                raise BooksUnbalanced(f"the balances in {asset} do not sum to zero")
            if sum(one.debits - one.credits for one in mine):
                raise BooksUnbalanced(f"the debits in {asset} are not its credits")


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyClose:
    """A day's close as it is kept.

    Attributes:
        content: canonical JSON (RFC 8785); the bytes that are signed.
        digest: their SHA-256.
        key_id: the thumbprint (RFC 7638) of the key that signs, as the content names it; empty
            where nothing is signed.
        signature: Ed25519 (RFC 8032, pure) over the content, or empty.
    """

    day: date
    content: bytes
    digest: bytes
    closed_at: datetime
    key_id: str = ""
    signature: bytes = b""


def close_day(
    tenant_id: TenantId,
    day: date,
    balance: TrialBalance,
    *,
    closed_at: datetime,
    key_id: str = "",
) -> DailyClose:
    """Return the close of a day, to be signed with the key that is named, if any.

    Raises `BooksUnbalanced`.
    """
    balance.check()
    sums = sorted(balance.sums.items(), key=lambda one: (one[0][1].code, one[0][0]))
    positions = sorted(
        balance.positions,
        key=lambda one: (one.account.asset.code, one.account.kind, one.account.owner),
    )
    content = canonical_json(
        {
            "type": TYPE,
            "key_id": key_id,
            "tenant_id": str(tenant_id),
            "day": day.isoformat(),
            "trial_balance": [
                {
                    "kind": kind,
                    "asset": asset.code,
                    "opening": Amount(asset, one.opening).value,
                    "debits": Amount(asset, one.debits).value,
                    "credits": Amount(asset, one.credits).value,
                    "closing": Amount(asset, one.closing).value,
                    "accounts": one.accounts,
                    "lines": one.lines,
                }
                for (kind, asset), one in sums
            ],
            "fees": _earned(sums, AccountKind.PLATFORM_FEE),
            "markups": _earned(sums, AccountKind.TENANT_MARKUP),
            "positions": [
                {
                    "kind": one.account.kind,
                    "owner": one.account.owner,
                    "asset": one.account.asset.code,
                    "value": Amount(one.account.asset, one.closing).value,
                }
                for one in positions
            ],
            "accounts": sum(one.accounts for _, one in sums),
            "transfers": sum(one.lines for _, one in sums) // 2,
        }
    )
    return DailyClose(
        day=day,
        content=content,
        digest=sha256(content).digest(),
        closed_at=closed_at,
        key_id=key_id,
    )


def _earned(sums: Iterable[tuple[Key, _Sum]], kind: AccountKind) -> list[dict[str, str]]:
    return [
        {"asset": asset.code, "value": Amount(asset, one.credits - one.debits).value}
        for (of, asset), one in sums
        if of is kind
    ]
