"""Rotating an API key."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from app.usecase.tenant.giving import require_may_give
from domain.ids import ApiKeyId
from domain.tenant.api_key import ApiKey, hint_of
from domain.tenant.errors import ApiKeyBeingRotated
from ports.ids import IdSource
from ports.secrets import SecretSource
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class RotatedApiKey:
    """A key that ends, and its successor with its secret, or without it on a replay."""

    rotated: ApiKey
    successor: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class RotateApiKey:
    """Gives a key a successor; the two live side by side until the overlap is over."""

    once: Once
    ids: IdSource
    announce: Announce
    secrets: SecretSource

    async def __call__(
        self,
        call: Call,
        api_key_id: ApiKeyId,
        *,
        overlap: timedelta,
        expires_at: datetime | None,
    ) -> RotatedApiKey:
        """Rotate a key of the tenant of `call`.

        Raises `ApiKeyNotFound`, `ApiKeyNotLive`, `ApiKeyBeingRotated`, or `ScopeMissing` for a key
        that may do more than the calling one.
        """
        successor_id = self.ids.new(ApiKeyId)
        secret = self.secrets.new_secret()

        async def effect(uow: UnitOfWork) -> Change[RotatedApiKey]:
            before = await uow.api_keys.get(api_key_id)
            require_may_give(call, before.scopes)
            now = await uow.now()
            rotated, successor = before.rotate(
                successor_id,
                hint=hint_of(secret),
                overlap=overlap,
                expires_at=expires_at,
                now=now,
            )
            if twin_id := await uow.api_keys.find_twin(before, now=now):
                raise ApiKeyBeingRotated(
                    "the key and the one that it was rotated to or from both live",
                    api_key_id=twin_id,
                )
            await uow.api_keys.save(rotated)
            await uow.api_keys.add(successor, secret_hash=self.secrets.hash(secret))
            for type, key in (("api_key.rotated", rotated), ("api_key.created", successor)):
                await self.announce(uow, type, key, correlation_id=call.correlation_id, now=now)
            made = RotatedApiKey(rotated, successor, secret)
            return Change(made, after=rotated, before=before)

        async def replay(uow: UnitOfWork, id: UUID) -> RotatedApiKey:
            successor = await uow.api_keys.get(ApiKeyId(id))
            assert successor.rotated_from_id is not None
            rotated = await uow.api_keys.get(successor.rotated_from_id)
            return RotatedApiKey(rotated, successor, "")

        return await self.once(call, successor_id, effect, replay)
