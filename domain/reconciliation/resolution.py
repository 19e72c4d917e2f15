"""What explains a break: a link, an adjustment that two keys decided, or a line that came later."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.errors import DomainError, Kind
from domain.ids import AccountId, ApiKeyId, BreakId, BreakResolutionId, EntryId, TransferId


class BreakSecondKeyRequired(DomainError):
    """Who proposed an adjustment cannot approve it: two persons decide."""

    kind = Kind.REFUSED
    reason = "BREAK_SECOND_KEY_REQUIRED"


class ResolutionKind(StrEnum):
    """How a break is explained."""

    MATCH = "match"
    """By a line that came later and matches."""
    LINK = "link"
    """By an entry of the book or by another break, as an operator says."""
    ADJUSTMENT = "adjustment"
    """By an entry made for it, which a second key approves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """The entry that sets the book right.

    Attributes:
        counter_account_id: the other account of its one transfer.
        entry_id, transfer_id: None until it is approved: a proposal may wait for longer than a new
            id may be used.
    """

    counter_account_id: AccountId
    entry_id: EntryId | None = None
    transfer_id: TransferId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakResolution:
    """Attributes:
    proposed_by: None where a later line did it.
    approved_by: the second key; None unless an adjustment was approved.
    linked_entry_id, linked_break_id: what a link leads to, one of them.
    """

    id: BreakResolutionId
    break_id: BreakId
    kind: ResolutionKind
    proposed_by: ApiKeyId | None
    proposed_at: datetime
    note: str = ""
    linked_entry_id: EntryId | None = None
    linked_break_id: BreakId | None = None
    adjustment: Adjustment | None = None
    approved_by: ApiKeyId | None = None
    approved_at: datetime | None = None

    def __post_init__(self) -> None:
        assert (self.kind is ResolutionKind.ADJUSTMENT) == (self.adjustment is not None)
        assert (self.kind is ResolutionKind.LINK) == (
            (self.linked_entry_id is None) != (self.linked_break_id is None)
        )

    @property
    def is_effective(self) -> bool:
        """Whether it explains the break, and is no mere proposal."""
        return self.kind is not ResolutionKind.ADJUSTMENT or self.approved_by is not None

    @property
    def resolved_at(self) -> datetime | None:
        return (self.approved_at or self.proposed_at) if self.is_effective else None

    def approve(
        self, *, by: ApiKeyId, now: datetime, entry_id: EntryId, transfer_id: TransferId
    ) -> "BreakResolution":
        """Return the approved adjustment, or raise `BreakSecondKeyRequired`."""
        assert self.adjustment is not None
        if by == self.proposed_by:
            raise BreakSecondKeyRequired(
                "another operator key must approve", break_resolution_id=self.id
            )
        adjustment = replace(self.adjustment, entry_id=entry_id, transfer_id=transfer_id)
        return replace(self, adjustment=adjustment, approved_by=by, approved_at=now)
