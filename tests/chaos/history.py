"""What the system said to its customers: every answer that decided something."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

SETTLED = "settled"
REJECTED = "rejected"
ENDED = frozenset({SETTLED, REJECTED})


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never be seen."""

    rule: str
    tenant_id: str
    id: str
    detail: str


@dataclass(slots=True, kw_only=True)
class DepositRecord:
    """One deposit and what it was answered.

    Attributes:
        id: of the deposit, empty until it was acknowledged.
    """

    tenant_id: str
    customer_id: str
    request_id: str
    asset: str
    value: Decimal
    id: str = ""


@dataclass(slots=True, kw_only=True)
class TradeRecord:
    """One accept and what it was answered.

    Attributes:
        trade_id: empty until the accept was acknowledged.
        state: the latest that was acknowledged.
        refusal: the reason, if the accept was refused for good.
    """

    tenant_id: str
    customer_id: str
    request_id: str
    quote_id: str
    side: str
    base: Decimal
    quote: Decimal
    trade_id: str = ""
    state: str = ""
    refusal: str = ""

    @property
    def is_decided(self) -> bool:
        return bool(self.trade_id or self.refusal)

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED


@dataclass(slots=True)
class History:
    """Everything of one run."""

    deposits: list[DepositRecord] = field(default_factory=list)
    trades: list[TradeRecord] = field(default_factory=list)
    canceled_quotes: set[str] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    replays: int = 0
    balances_compared: int = 0

    def violate(self, rule: str, tenant_id: str, id: str, detail: str) -> None:
        self.violations.append(Violation(rule, tenant_id, id, detail))

    def undecided(self) -> Iterator[tuple[str, str]]:
        """Yield tenant and request id of whatever was asked and never decided."""
        for deposit in self.deposits:
            if not deposit.id:
                yield deposit.tenant_id, deposit.request_id
        for trade in self.trades:
            if not trade.is_decided:
                yield trade.tenant_id, trade.request_id
