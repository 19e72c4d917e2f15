"""Registering a public key for signing requests."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import RequestSigningKeyId
from domain.tenant.request_signing import RequestSigningKey, SignatureAlgorithm
from ports.ids import IdSource
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class CreateRequestSigningKey:
    """The tenant keeps the private half; from the commit on it may sign with it."""

    once: Once
    ids: IdSource
    announce: Announce

    async def __call__(
        self, call: Call, *, name: str, algorithm: SignatureAlgorithm, public_key: bytes
    ) -> RequestSigningKey:
        """Register a key, or raise `TooManyRequestSigningKeys`."""
        key_id = self.ids.new(RequestSigningKeyId)

        async def effect(uow: UnitOfWork) -> Change[RequestSigningKey]:
            now = await uow.now()
            key = RequestSigningKey(
                id=key_id,
                tenant_id=call.tenant_id,
                name=name,
                algorithm=algorithm,
                public_key=public_key,
                created_at=now,
            )
            await uow.request_signing_keys.add(key)
            await self.announce(
                uow,
                "request_signing_key.created",
                key,
                correlation_id=call.correlation_id,
                now=now,
            )
            return Change(key, after=key)

        async def replay(uow: UnitOfWork, id: UUID) -> RequestSigningKey:
            return await uow.request_signing_keys.get(RequestSigningKeyId(id))

        return await self.once(call, key_id, effect, replay)
