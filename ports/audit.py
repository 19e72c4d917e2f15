"""The audit: what must hold in the books of all tenants, looked at from above.

An audit trusts nothing that the code above the tables believes, nor the tables' own constraints:
it adds everything up again.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from domain.amount import Amount
from domain.ids import AttemptId, TenantId
from domain.side import Side
from domain.trade.attempt import AttemptState

SHOWN: Final = 20
"""How many violations of one check are named; all of them are counted."""


class AuditImpossible(Exception):
    """The books could not be looked at, so nothing is said about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One statement that must hold.

    Attributes:
        id: the invariant's number and one word, such as `I2.columns`.
        source: where the statement comes from.
    """

    id: str
    statement: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One row that breaks a check.

    Attributes:
        tenant_id: None where the row is not ours, as one of a venue's book.
        table: the table, or the venue's book.
        id: the row's id as people read it.
    """

    tenant_id: TenantId | None
    table: str
    id: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one check.

    Attributes:
        looked_at: how many rows were examined.
        broken: how many violations there are.
        violations: the first `SHOWN` of them.
        note: what was left out, and why.
    """

    check: Check
    looked_at: int
    broken: int = 0
    violations: tuple[Violation, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution as the venue's own book has it; both amounts are in the venue's words.

    Attributes:
        client_order_id: what the venue knows the order by; see `order_keys`.
    """

    order_id: str
    client_order_id: str
    side: Side
    base: Amount
    quote: Amount
    executed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedLateFill:
    """What a break says that an LP executed although its order had been concluded absent."""

    order_id: str
    base: Amount
    quote: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedAttempt:
    """An attempt with what its execution must look like.

    Attributes:
        lp_reference: the LP's quote that was executed.
        filled: what we believe the LP took or paid; None unless the attempt is filled.
        late_fill: what a break says of it; None unless one was raised for the attempt.
    """

    tenant_id: TenantId
    id: AttemptId
    state: AttemptState
    lp_reference: str
    venue_order_id: str
    side: Side
    base: Amount
    filled: Amount | None
    late_fill: AuditedLateFill | None


def order_keys(id: AttemptId, lp_reference: str) -> tuple[str, ...]:
    """Return all that a venue may know an order by: our id as it takes it, or its own quote."""
    return str(id), str(id.uuid), id.uuid.hex, lp_reference


class Probe(Protocol):
    """One pass over the books that answers one or more checks."""

    @property
    def checks(self) -> Sequence[Check]: ...


class BooksSnapshot(Protocol):
    """The rows of all tenants as they were at one instant."""

    @property
    def probes(self) -> Sequence[Probe]:
        """Return what there is to examine, in the order in which it is best begun."""
        ...

    @property
    def readers(self) -> int:
        """Return how many probes can be examined at the same time."""
        ...

    async def examine(self, probe: Probe) -> Sequence[Finding]:
        """Return one finding for each check of the probe."""
        ...

    async def lps(self) -> Sequence[str]:
        """Return the names of all LPs that were ever sent an order."""
        ...

    def attempts(self, lp: str) -> AsyncIterator[AuditedAttempt]:
        """Stream every attempt at an LP."""
        ...


class AuditableBooks(Protocol):
    """Where a snapshot comes from."""

    def snapshot(self) -> AbstractAsyncContextManager[BooksSnapshot]:
        """Open a snapshot that stays the same while it is open, or raise `AuditImpossible`."""
        ...


class VenueBook(Protocol):
    """What a venue itself says that it executed; every method may raise `AuditImpossible`."""

    @property
    def name(self) -> str: ...

    async def now(self) -> datetime:
        """Return the venue's clock."""
        ...

    async def executions(self) -> Sequence[Execution]:
        """Return every execution of the venue, in its order."""
        ...
