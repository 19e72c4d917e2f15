"""Exporting the books, so that anybody can check them: docs/books.md describes the file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from domain.canonical import canonical_json
from domain.ids import TenantId
from domain.ledger.chain import SignedCheckpoint, chain_hashes
from ports.chain import ChainPages
from ports.unit_of_work import UnitOfWorkFactory

FORMAT: Final = "reli.books.v1"
ENTRIES: Final = 1_000
"""Read at once, but for the rest of the last page."""
CHECKPOINTS: Final = 500
CHUNK_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class ExportBooks:
    """Holds a few thousand entries at a time, however many there are."""

    units_of_work: UnitOfWorkFactory

    async def __call__(self, tenant_id: TenantId) -> AsyncIterator[bytes]:
        """Yield the bytes of the file, or raise `TenantNotFound`."""
        chunk = bytearray()
        async for lines in self._lines(tenant_id):
            chunk += lines
            while len(chunk) >= CHUNK_BYTES:
                yield bytes(chunk[:CHUNK_BYTES])
                del chunk[:CHUNK_BYTES]
        if chunk:
            yield bytes(chunk)

    async def _lines(self, tenant_id: TenantId) -> AsyncIterator[bytes]:
        async with self.units_of_work.begin(tenant_id) as uow:
            await uow.tenants.get()
            latest = await uow.chain.latest_checkpoint()
        covered = latest.checkpoint.entries if latest else 0
        header = {
            "checkpoints": latest.checkpoint.number if latest else 0,
            "entries": covered,
            "format": FORMAT,
            "tenant_id": str(tenant_id.uuid),
        }
        yield canonical_json(header) + b"\n"
        checkpoints = self._checkpoints(tenant_id, latest.checkpoint.number if latest else 0)
        waiting = await anext(checkpoints, None)
        position = 1
        while position <= covered:
            async with self.units_of_work.begin(tenant_id) as uow:
                pages = await uow.chain.pages_from(position, limit=ENTRIES)
            lines = _entry_lines(pages)
            end = position + len(lines)
            # Each checkpoint follows the last entry that it covers.
            while waiting is not None and waiting.checkpoint.entries < end:
                last = waiting.checkpoint.entries - position + 1
                yield b"".join(lines[:last]) + _checkpoint_line(waiting)
                del lines[:last]
                position += last
                waiting = await anext(checkpoints, None)
            if waiting is None:
                return
            yield b"".join(lines)
            position = end

    async def _checkpoints(self, tenant_id: TenantId, last: int) -> AsyncIterator[SignedCheckpoint]:
        number = 0
        while number < last:
            async with self.units_of_work.begin(tenant_id) as uow:
                found = await uow.chain.checkpoints_after(
                    number, limit=min(CHECKPOINTS, last - number)
                )
            for checkpoint in found:
                yield checkpoint
            if not found:
                return
            number = found[-1].checkpoint.number


def _entry_lines(pages: ChainPages) -> list[bytes]:
    """Return a line for each entry: its text as it is now, its chain hash as it was made."""
    hashes = chain_hashes(pages.hash_before, pages.leaves)
    return [
        b'{"entry":%b,"hash":"%b","position":%d}\n'
        % (text or b"null", hash.hex().encode(), position)
        for position, (text, hash) in enumerate(
            zip(pages.canonical, hashes, strict=True), start=pages.first_position
        )
    ]


def _checkpoint_line(signed: SignedCheckpoint) -> bytes:
    return b'{"checkpoint":%b,"signature":"%b"}\n' % (
        signed.checkpoint.signed_text(),
        signed.signature.hex().encode(),
    )
