"""Revoking an API key."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.ids import ApiKeyId
from domain.tenant.api_key import ApiKey
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class RevokeApiKey:
    """Within a second no process accepts the key any more."""

    once: Once
    announce: Announce

    async def __call__(self, call: Call, api_key_id: ApiKeyId) -> ApiKey:
        async def effect(uow: UnitOfWork) -> Change[ApiKey]:
            before = await uow.api_keys.get(api_key_id)
            now = await uow.now()
            revoked = before.revoke(now=now)
            if revoked is before:
                return Change(before, after=None)
            await uow.api_keys.save(revoked)
            await self.announce(
                uow, "api_key.revoked", revoked, correlation_id=call.correlation_id, now=now
            )
            return Change(revoked, after=revoked, before=before)

        async def replay(uow: UnitOfWork, id: UUID) -> ApiKey:
            return await uow.api_keys.get(ApiKeyId(id))

        return await self.once(call, api_key_id, effect, replay)
