"""The log of who did what."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.audit_record import AuditRecord, NewAuditRecord
from domain.ids import ApiKeyId
from ports.page import Page, PageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What is asked for: a record fits if it fits all that is given.

    Attributes:
        starts_at, ends_at: recorded from the one on and before the other.
        subject: id of the thing, as text; empty for any.
    """

    starts_at: datetime | None = None
    ends_at: datetime | None = None
    api_key_id: ApiKeyId | None = None
    subject: str = ""


class AuditLog(Protocol):
    """The log of one tenant; nothing in it is ever changed."""

    async def add(self, *records: NewAuditRecord) -> None:
        """Record calls, in the transaction of their effect."""
        ...

    async def list(self, page: PageRequest, wanted: AuditFilter) -> Page[AuditRecord]:
        """Return a page of records that fit, the newest first."""
        ...
