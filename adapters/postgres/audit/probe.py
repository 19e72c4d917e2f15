"""Probes: statements that return the rows which break their checks, and what takes more."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from adapters.system.signer import is_signed, thumbprint
from domain.ids import (
    AccountId,
    ApiKeyId,
    AttemptId,
    AuditRecordId,
    BreakId,
    BreakResolutionId,
    CustomerId,
    DeadLetterId,
    DepositId,
    EntryId,
    EventId,
    LineId,
    LpQuoteRequestId,
    LpSettlementId,
    QuoteId,
    RequestSigningKeyId,
    ResolutionId,
    StatementId,
    TenantId,
    TradeId,
    TradingStateChangeId,
    TransferId,
    TypedId,
    WebhookDeliveryId,
    WebhookEndpointId,
)
from ports.audit import SHOWN, Check, Finding, Violation

ID_OF: Final[dict[str, type[TypedId]]] = {
    "account_lines": AccountId,
    "accounts": AccountId,
    "api_keys": ApiKeyId,
    "attempts": AttemptId,
    "audit_heads": TenantId,
    "audit_records": AuditRecordId,
    "break_resolutions": BreakResolutionId,
    "breaks": BreakId,
    "chain_heads": TenantId,
    "checkpoints": TenantId,
    "consumer_positions": TenantId,
    "customers": CustomerId,
    "daily_closes": TenantId,
    "dated_lines": AccountId,
    "dead_letters": DeadLetterId,
    "entries": EntryId,
    "entry_pages": TenantId,
    "event_heads": TenantId,
    "expiring_holds": TransferId,
    "inbox": EventId,
    "late_checks": TradeId,
    "liability_sheets": TenantId,
    "lp_answers": LpQuoteRequestId,
    "lp_settlement_legs": LpSettlementId,
    "lp_settlements": LpSettlementId,
    "outbox": EventId,
    "quotes": QuoteId,
    "receipts": TradeId,
    "reconciled_accounts": AccountId,
    "reconciliation_lines": LineId,
    "request_signing_keys": RequestSigningKeyId,
    "resolutions": TransferId,
    "reversals": EntryId,
    "sandbox_deposits": DepositId,
    "statement_balances": StatementId,
    "statements": StatementId,
    "tenants": TenantId,
    "trade_queue": TradeId,
    "trade_resolutions": ResolutionId,
    "trade_transitions": TradeId,
    "trades": TradeId,
    "trading_state_changes": TradingStateChangeId,
    "transfers": TransferId,
    "webhook_attempts": WebhookDeliveryId,
    "webhook_deliveries": WebhookDeliveryId,
    "webhook_endpoints": WebhookEndpointId,
    "webhook_queues": WebhookEndpointId,
}
"""What the id of a violation in a table is an id of; elsewhere it is shown as it is."""


@dataclass(slots=True)
class Tally:
    """What is wrong with one check so far, and how much was looked at."""

    looked_at: int = 0
    broken: int = 0
    violations: list[Violation] = field(default_factory=list)

    def add(self, tenant: UUID, table: str, id: str, *, expected: str, found: str) -> None:
        """Count a violation, and keep it while there is room to show it."""
        self.broken += 1
        if len(self.violations) < SHOWN:
            self.violations.append(
                Violation(
                    tenant_id=TenantId(tenant),
                    table=table,
                    id=id,
                    expected=expected,
                    found=found,
                )
            )

    def finding(self, check: Check) -> Finding:
        return Finding(
            check=check,
            looked_at=self.looked_at,
            broken=self.broken,
            violations=tuple(self.violations),
        )


class ConnectionProbe(ABC):
    """A pass that does more than one statement can.

    Attributes:
        checks: what it answers, a finding each.
    """

    checks: Sequence[Check]

    @abstractmethod
    async def examine(self, connection: Any) -> Sequence[Finding]:
        """Look at what the connection's snapshot sees."""


def distrusted(row: Any, text: bytes, *, public_key: bytes | None) -> tuple[str, str] | None:
    """Return what was expected of a row's signature over a text and what was found.

    None if it is that of the key which the row names, with which the text was signed.
    """
    if public_key is None or thumbprint(public_key) != row["key_id"]:
        return f"a key with the thumbprint {row['key_id']}", "none"
    if not is_signed(public_key, text, row["signature"]):
        return "a signature over what it says", "another signature"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlProbe:
    """Attributes:
    sql: returns `check_id, tenant_id, in_table, id, part, expected, found` for each violation.
        `:now` stands for the instant of the snapshot, `:house` for the operator's own tenant.
    counted: the tables whose rows were looked at.
    """

    checks: tuple[Check, ...]
    sql: str
    counted: tuple[str, ...]


_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS: Final = 26
_BITS: Final = 5


def typeid(kind: type[TypedId], column: str) -> str:
    """Return SQL for the text of an id, as `domain.ids` writes it."""
    return f"('{kind.prefix}_' || {' || '.join(_digit(n, column) for n in range(_DIGITS))})"


def _digit(number: int, column: str) -> str:
    # 26 digits are 130 bits, so the first digit begins two bits before the first byte.
    first = number * _BITS - 2
    byte, last = max(first, 0) // 8, first + _BITS - 1
    two_bytes = f"(get_byte(uuid_send({column}), {byte}) << 8"
    if byte + 1 < 16:
        two_bytes += f" | get_byte(uuid_send({column}), {byte + 1})"
    value = f"{two_bytes}) >> {byte * 8 + 15 - last} & 31"
    if number == 0:
        value = f"get_byte(uuid_send({column}), 0) >> 5"
    return f"substr('{_ALPHABET}', 1 + ({value}), 1)"


def texts(values: Iterable[str]) -> str:
    """Return a list of words of our own for `IN`."""
    words = sorted(values)
    assert all(word.replace("_", "").isalnum() for word in words)
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


def rows(values: Iterable[tuple[str | int, ...]]) -> str:
    """Return `VALUES` of words and numbers of our own."""
    return "VALUES " + ", ".join(
        "(" + ", ".join(str(v) if isinstance(v, int) else f"'{v}'" for v in row) + ")"
        for row in values
    )
