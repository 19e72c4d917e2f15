"""An audit record says who did what to which thing; a tenant's records are its audit log."""

from dataclasses import dataclass
from datetime import datetime

from domain.ids import ApiKeyId, AuditRecordId, TypedId


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAuditRecord:
    """A call and what it came to, to be recorded with its effect.

    Attributes:
        method: full name of the RPC.
        request_id: empty where the call came without.
        subject: the id of the thing that was made or changed; None for a refusal.
        before: the thing as it was, None where there was none.
        after: the thing as it is now, None for a refusal.
        refusal_reason: empty where the call had its effect.
    """

    id: AuditRecordId
    api_key_id: ApiKeyId
    is_operator: bool
    method: str
    request_id: str
    correlation_id: str
    subject: TypedId | None = None
    before: object | None = None
    after: object | None = None
    refusal_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A record as it was written; of the thing itself there are only hashes.

    Attributes:
        sequence: position among the tenant's records, from 1 and without gaps; 0 until it has one.
        before_hash, after_hash: SHA-256, or empty where there was or is none.
    """

    id: AuditRecordId
    sequence: int
    recorded_at: datetime
    api_key_id: ApiKeyId
    is_operator: bool
    method: str
    request_id: str
    correlation_id: str
    subject: str
    before_hash: bytes
    after_hash: bytes
    refusal_reason: str
