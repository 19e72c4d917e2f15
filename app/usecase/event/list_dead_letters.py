"""Finding events that consumers could not deal with."""

from dataclasses import dataclass

from domain.dead_letter import DeadLetter
from domain.ids import TenantId
from ports.page import Page, PageRequest
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ListDeadLetters:
    """The letters are the house's, whosever the events are."""

    units_of_work: UnitOfWorkFactory
    directory: TenantDirectory

    async def __call__(self, page: PageRequest, *, tenant_id: TenantId | None) -> Page[DeadLetter]:
        """Return letters, the newest first; of one tenant's events, or of all."""
        async with self.units_of_work.begin(self.directory.house_id) as uow:
            return await uow.dead_letters.list(page, source_tenant_id=tenant_id)
