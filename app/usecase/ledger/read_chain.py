"""Reading the chain of the books."""

from dataclasses import dataclass

from domain.ids import EntryId, TenantId
from domain.ledger.chain import InclusionProof, SignedCheckpoint, leaf_hash
from domain.ledger.errors import EntryNotInCheckpoint
from domain.ledger.merkle import Place, inclusion_path
from ports.page import Page, PageRequest
from ports.unit_of_work import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class ReadChain:
    """The chain of one tenant."""

    units_of_work: UnitOfWorkFactory

    async def checkpoints(self, tenant_id: TenantId, page: PageRequest) -> Page[SignedCheckpoint]:
        """Return a page of checkpoints, the newest first, or raise `TenantNotFound`."""
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            return await uow.chain.list_checkpoints(page)

    async def inclusion_proof(self, tenant_id: TenantId, entry_id: EntryId) -> InclusionProof:
        """Prove that an entry is in the newest checkpoint.

        Raises `EntryNotFound`, `EntryNotInCheckpoint` while none covers it, or `LinesArchived`. Of
        an entry that somebody changed it is no proof, and whoever verifies it sees that.
        """
        async with self.units_of_work.begin(tenant_id) as uow:
            entry = await uow.chain.find(entry_id)
            latest = await uow.chain.latest_checkpoint()
            covered = 0 if latest is None else latest.checkpoint.entries
            if latest is None or entry.position is None or entry.position > covered:
                raise EntryNotInCheckpoint(
                    "no checkpoint covers the entry yet", entry_id=entry_id, covered=covered
                )
            path = inclusion_path(entry.position - 1, covered)
            own = Place(0, entry.position - 1)
            roots = await uow.chain.roots([own, *path.places()])
            leaf = leaf_hash(entry.canonical)
            if leaf != roots[own]:
                await uow.ledger.get_entry(entry_id)  # raises where its transfers are archived
        return InclusionProof(
            entry_id=entry_id,
            position=entry.position,
            canonical=entry.canonical,
            leaf=leaf,
            path=path.hashes(roots.__getitem__),
            checkpoint=latest,
        )
