"""Who did what, recorded in the transaction in which it was done."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from app.usecase.announce import Thing
from app.usecase.call import Call
from domain.audit_record import NewAuditRecord
from domain.errors import DomainError
from domain.ids import AuditRecordId
from domain.tenant.api_key import Scope
from ports.ids import IdSource

Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True, slots=True)
class Change(Generic[Result]):
    """What an effect came to: the answer of its call, and what it did to which thing.

    Attributes:
        after: the thing as it is now; None where nothing is to be recorded, because the effect had
            been there before or is recorded elsewhere.
        before: the thing as it was; None where it was made.
    """

    result: Result
    after: Thing | None
    before: Thing | None = None


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Makes the records of a tenant's audit log."""

    ids: IdSource

    def record(
        self, call: Call, after: Thing | None = None, before: Thing | None = None
    ) -> NewAuditRecord:
        """Return the record of a call that had its effect."""
        return self._record(call, after, before, "")

    def refusal(self, call: Call, refusal: DomainError) -> NewAuditRecord:
        """Return the record of a call that was refused for good."""
        return self._record(call, None, None, refusal.reason)

    def _record(
        self, call: Call, after: Thing | None, before: Thing | None, refusal_reason: str
    ) -> NewAuditRecord:
        return NewAuditRecord(
            id=self.ids.new(AuditRecordId),
            api_key_id=call.api_key_id,
            is_operator=Scope.OPERATOR in call.scopes,
            method=call.method,
            request_id=call.key.request_id if call.key else "",
            correlation_id=call.correlation_id,
            subject=None if after is None else after.id,
            before=before,
            after=after,
            refusal_reason=refusal_reason,
        )
