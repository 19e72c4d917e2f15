"""Registering a key for signing requests."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import RequestSigningKeyId
from domain.tenant.request_signing import RequestSigningKey, SignatureAlgorithm
from ports.ids import IdSource
from ports.secrets import SecretBox, SecretSource
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class RequestSigningKeyAndSecret:
    """A key with its new secret, if it has one and the request was no replay."""

    key: RequestSigningKey
    secret: str


@dataclass(frozen=True, slots=True)
class CreateRequestSigningKey:
    """Of a key pair the tenant keeps the private half; a secret is shown with the answer, and never
    again. From the commit on it may sign with it."""

    once: Once
    ids: IdSource
    announce: Announce
    secrets: SecretSource
    box: SecretBox

    async def __call__(
        self, call: Call, *, name: str, algorithm: SignatureAlgorithm, public_key: bytes
    ) -> RequestSigningKeyAndSecret:
        """Raises `TooManyRequestSigningKeys` or, for a secret, `SharedSecretsNotConfigured`."""
        key_id = self.ids.new(RequestSigningKeyId)
        secret, sealed = "", None
        if algorithm is SignatureAlgorithm.HMAC_SHA256:
            secret = self.secrets.new_request_signing_secret()
            sealed = self.box.seal(secret, owner=key_id)

        async def effect(uow: UnitOfWork) -> Change[RequestSigningKeyAndSecret]:
            now = await uow.now()
            key = RequestSigningKey(
                id=key_id,
                tenant_id=call.tenant_id,
                name=name,
                algorithm=algorithm,
                public_key=public_key,
                created_at=now,
            )
            await uow.request_signing_keys.add(key, sealed_secret=sealed)
            await self.announce(
                uow,
                "request_signing_key.created",
                key,
                correlation_id=call.correlation_id,
                now=now,
            )
            return Change(RequestSigningKeyAndSecret(key, secret), after=key)

        async def replay(uow: UnitOfWork, id: UUID) -> RequestSigningKeyAndSecret:
            key = await uow.request_signing_keys.get(RequestSigningKeyId(id))
            return RequestSigningKeyAndSecret(key, "")

        return await self.once(call, key_id, effect, replay)
