"""An account is one balance in one asset, kept in four columns."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

from domain.amount import Amount
from domain.asset import Asset
from domain.ids import AccountId

MAX_COLUMN: Final = 10**38 - 1
"""The largest value of one balance column."""


class AccountKind(StrEnum):
    """What an account is for; with an owner and an asset it names one account of a book."""

    CUSTOMER = "customer"
    TREASURY = "treasury"
    TRADE_CLEARING = "trade_clearing"
    LP = "lp"
    PLATFORM_FEE = "platform_fee"
    TENANT_MARKUP = "tenant_markup"
    SLIPPAGE = "slippage"
    EXTERNAL = "external"
    INVENTORY = "inventory"


UNLIMITED_KINDS: Final = frozenset(
    {AccountKind.LP, AccountKind.EXTERNAL, AccountKind.SLIPPAGE, AccountKind.INVENTORY}
)
"""Accounts that may go below zero without bound: they mirror somebody else's books, or our loss,
or what an LP executed for us that nobody had decided to trade."""


@dataclass(frozen=True, slots=True)
class AccountKey:
    """The natural name of an account inside a book.

    Attributes:
        owner: the customer's id, the LP's name, the rail's name, or empty where the kind says all.
    """

    kind: AccountKind
    asset: Asset
    owner: str = ""


@dataclass(frozen=True, slots=True)
class HeldFor:
    """What open holds of one purpose reserve on an account, in minor units.

    Attributes:
        holds: how many there are.
    """

    purpose: str
    units: int
    holds: int


class Account(NamedTuple):
    """One balance; credits raise it, debits lower it.

    Two are made for each transfer, which as frozen dataclasses would cost five times as much.

    Attributes:
        overdraft_limit: how far below zero it may go, in minor units; None is without bound.
        version: how many postings have touched it.
        recorded_at: when the latest of them was recorded; None before the first.
    """

    id: AccountId
    key: AccountKey
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    overdraft_limit: int | None = 0
    version: int = 0
    recorded_at: datetime | None = None

    @property
    def asset(self) -> Asset:
        return self.key.asset

    @property
    def balance(self) -> int:
        """What is final: posted credits less posted debits."""
        return self.credits_posted - self.debits_posted

    @property
    def held(self) -> int:
        """What pending debits reserve."""
        return self.debits_pending

    @property
    def available(self) -> int:
        """What may be spent, the overdraft not counted. Pending credits are not there yet."""
        return self.balance - self.debits_pending

    @property
    def is_within_limit(self) -> bool:
        limit = self.overdraft_limit
        return (
            limit is None
            or self.credits_posted - self.debits_posted - self.debits_pending + limit >= 0
        )

    @property
    def overflows(self) -> bool:
        return (
            self.debits_posted > MAX_COLUMN
            or self.credits_posted > MAX_COLUMN
            or self.debits_pending > MAX_COLUMN
            or self.credits_pending > MAX_COLUMN
        )

    def debited(
        self, pending: int = 0, posted: int = 0, recorded_at: datetime | None = None
    ) -> "Account":
        id, key, held, debits, coming, credits, limit, version, latest = self
        held, debits, at = held + pending, debits + posted, recorded_at or latest
        return _account((id, key, held, debits, coming, credits, limit, version + 1, at))

    def credited(
        self, pending: int = 0, posted: int = 0, recorded_at: datetime | None = None
    ) -> "Account":
        id, key, held, debits, coming, credits, limit, version, latest = self
        coming, credits, at = coming + pending, credits + posted, recorded_at or latest
        return _account((id, key, held, debits, coming, credits, limit, version + 1, at))

    def amount(self, units: int) -> Amount:
        return Amount(self.asset, units)


_account: Final[Callable[[tuple[Any, ...]], Account]] = partial(tuple.__new__, Account)
"""Makes an account of all its fields in their order, at about half of what it costs by name."""
