"""Revoking a key for signing requests."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import RequestSigningKeyId
from domain.tenant.request_signing import RequestSigningKey
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class RevokeRequestSigningKey:
    """Within a second no process accepts a signature of the key any more.

    The last one may go too, even where signatures are required: a stolen key must not stay. The
    operator then lets the tenant in again.
    """

    once: Once
    announce: Announce

    async def __call__(self, call: Call, key_id: RequestSigningKeyId) -> RequestSigningKey:
        async def effect(uow: UnitOfWork) -> Change[RequestSigningKey]:
            before = await uow.request_signing_keys.get(key_id)
            now = await uow.now()
            revoked = before.revoke(now=now)
            if revoked is before:
                return Change(before, after=None)
            await uow.request_signing_keys.save(revoked)
            await self.announce(
                uow,
                "request_signing_key.revoked",
                revoked,
                correlation_id=call.correlation_id,
                now=now,
            )
            return Change(revoked, after=revoked, before=before)

        async def replay(uow: UnitOfWork, id: UUID) -> RequestSigningKey:
            return await uow.request_signing_keys.get(RequestSigningKeyId(id))

        return await self.once(call, key_id, effect, replay)
