"""Asking for a replay of an event that a consumer could not deal with."""

from dataclasses import dataclass
from uuid import UUID

from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from domain.dead_letter import DeadLetter, DeadLetterNotFound
from domain.ids import DeadLetterId, TenantId
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class RequestReplay:
    """A worker performs it: only workers have what consumers are made of."""

    once: Once
    directory: TenantDirectory

    async def __call__(self, call: Call, tenant_id: TenantId, id: DeadLetterId) -> DeadLetter:
        """Return the letter of that tenant's event, as it waits for a worker.

        Raises `DeadLetterNotFound` or `DeadLetterAlreadyReplayed`.
        """

        async def effect(uow: UnitOfWork) -> Change[DeadLetter]:
            letter = await uow.dead_letters.get(id, lock=True)
            if letter.source_tenant_id != tenant_id:
                raise DeadLetterNotFound("no such dead letter", dead_letter_id=id)
            requested = letter.request_replay(by=call.api_key_id, now=await uow.now())
            await uow.dead_letters.request_replay(requested)
            return Change(requested, after=requested, before=letter)

        async def replay(uow: UnitOfWork, _id: UUID) -> DeadLetter:
            return await uow.dead_letters.get(id)

        return await self.once(call.on(self.directory.house_id), id, effect, replay)
