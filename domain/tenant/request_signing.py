"""Requests that a tenant signs: its keys, and what a signature of RFC 9421 must say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.errors import DomainError, Kind
from domain.ids import RequestSigningKeyId, TenantId, milliseconds

WINDOW_S: Final = 60
"""How far the time of a signature may be from ours, either way."""
MAX_LIVE_KEYS: Final = 16

MIN_NONCE: Final = 16
MAX_NONCE: Final = 64

_MAY_BE_COVERED: Final = frozenset({"authorization", "content-digest", "idempotency-key"})
"""The headers that reach us as they were sent."""


class SignatureAlgorithm(StrEnum):
    """By its name in the IANA registry of HTTP signature algorithms."""

    ED25519 = "ed25519"
    HMAC_SHA256 = "hmac-sha256"


class RequestSigningKeyNotFound(DomainError):
    """No such key of that tenant."""

    kind = Kind.MISSING
    reason = "REQUEST_SIGNING_KEY_NOT_FOUND"


class TooManyRequestSigningKeys(DomainError):
    """The tenant has as many live keys as it may have; revoke one first."""

    kind = Kind.REFUSED
    reason = "TOO_MANY_REQUEST_SIGNING_KEYS"


class RequestSigningKeyRequired(DomainError):
    """Nobody could sign: register a key before signatures are required."""

    kind = Kind.REFUSED
    reason = "REQUEST_SIGNING_KEY_REQUIRED"


class SharedSecretsNotConfigured(DomainError):
    """This installation has no key to seal secrets with, so it can share none."""

    kind = Kind.REFUSED
    reason = "SHARED_SECRETS_NOT_CONFIGURED"


class SignatureMissing(DomainError):
    """The tenant requires signatures, and the call has none."""

    kind = Kind.UNAUTHENTICATED
    reason = "SIGNATURE_MISSING"


class SignatureInvalid(DomainError):
    """The signature is malformed, covers too little, or is not that of what came."""

    kind = Kind.UNAUTHENTICATED
    reason = "SIGNATURE_INVALID"


class SignatureKeyUnknown(DomainError):
    """The key that the signature names is none of the tenant's, or was revoked."""

    kind = Kind.UNAUTHENTICATED
    reason = "SIGNATURE_KEY_UNKNOWN"


class SignatureExpired(DomainError):
    """The signature was made too long ago, or its time is still to come."""

    kind = Kind.UNAUTHENTICATED
    reason = "SIGNATURE_EXPIRED"


class SignatureReplayed(DomainError):
    """A request with that nonce came before; sign again, with a new one."""

    kind = Kind.UNAUTHENTICATED
    reason = "SIGNATURE_REPLAYED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSigningKey:
    """A key with which a tenant signs its requests.

    Attributes:
        name: what people call it.
        public_key: of Ed25519 the 32 bytes of RFC 8032; empty where a secret is shared.
    """

    id: RequestSigningKeyId
    tenant_id: TenantId
    name: str
    algorithm: SignatureAlgorithm
    public_key: bytes
    created_at: datetime
    revoked_at: datetime | None = None

    def revoke(self, *, now: datetime) -> "RequestSigningKey":
        """Return the revoked key; revoking twice keeps the first instant."""
        return self if self.revoked_at else replace(self, revoked_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedMessage:
    """What a signature is about.

    Attributes:
        components: the value of each component that can be covered, by its name.
        body: the bytes as they were sent.
    """

    components: Mapping[str, str]
    body: bytes

    @classmethod
    def of(
        cls, derived: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> "SignedMessage":
        """Put together what is derived of the request and those headers that count."""
        sent = {name: headers[name].strip() for name in _MAY_BE_COVERED if name in headers}
        return cls(components={**derived, **sent}, body=body)

    def required(self) -> frozenset[str]:
        """Return what a signature must cover: all of it, but for the API key and an empty body."""
        optional = {"authorization"} if self.body else {"authorization", "content-digest"}
        required = frozenset(self.components) - optional
        return required | {"content-digest"} if self.body else required


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSignature:
    """What `Signature-Input` and `Signature` say.

    Attributes:
        components: the names of what is covered, in order.
        parameters: all that was signed beside it, serialized.
        created, expires: in seconds since 1970.
        algorithm: empty where the signature does not name it.
    """

    components: tuple[str, ...]
    parameters: str
    created: int
    expires: int | None
    key_id: str
    nonce: str
    algorithm: str
    value: bytes

    def __post_init__(self) -> None:
        if not (MIN_NONCE <= len(self.nonce) <= MAX_NONCE):
            raise SignatureInvalid(
                f"nonce must have {MIN_NONCE} to {MAX_NONCE} characters", field="nonce"
            )

    def require_fresh(self, now: datetime) -> None:
        """Raise `SignatureExpired` unless it was made in the minute before or after `now`."""
        now_ms = milliseconds(now)
        if abs(now_ms - self.created * 1000) > WINDOW_S * 1000:
            raise SignatureExpired(
                f"created must be within {WINDOW_S} s of now",
                created=self.created,
                now=now_ms // 1000,
            )
        if self.expires is not None and now_ms > self.expires * 1000:
            raise SignatureExpired("expires is over", expires=self.expires, now=now_ms // 1000)

    def base(self, message: SignedMessage) -> bytes:
        """Return the signature base (RFC 9421, section 2.5).

        Raises `SignatureInvalid` where it covers too little, or what is not there.
        """
        lines = []
        for name in self.components:
            value = message.components.get(name)
            if value is None:
                raise SignatureInvalid(
                    f"{name[:64]} is not there, or cannot be covered", component=name[:64]
                )
            lines.append(f'"{name}": {value}')
        covered = set(self.components)
        if len(covered) < len(self.components):
            raise SignatureInvalid("a component is covered twice", field="signature-input")
        for name in sorted(message.required() - covered):
            raise SignatureInvalid(f"{name} must be covered", component=name)
        lines.append(f'"@signature-params": {self.parameters}')
        try:
            return "\n".join(lines).encode("ascii")
        except UnicodeEncodeError:
            raise SignatureInvalid(
                "what is covered must be ASCII", field="signature-input"
            ) from None
