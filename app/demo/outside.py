"""Somebody outside: has a file of books and the public keys, and trusts nobody."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import grpc

import app.ledger.verify_books
from app.demo.descriptor import message_class
from app.demo.partner import Json
from domain.ids import EntryId

_TIMEOUT_S = 30.0

_ADD_UNITS = """
UPDATE core.transfers AS t SET units = units + $2::int FROM core.entries AS e
WHERE e.id = $1 AND t.tenant_id = e.tenant_id AND t.id = e.transfer_ids[1]
"""


async def export_books(target: str, key: str) -> bytes:
    """Return the books of the tenant whose key it is, as the platform streams them."""
    answer_class = message_class("reli.ledger.v1.ExportBooksResponse")
    async with grpc.aio.insecure_channel(target) as channel:
        untyped: Any = channel
        export = untyped.unary_stream("/reli.ledger.v1.CheckpointService/ExportBooks")
        metadata = (("authorization", f"Bearer {key}"),)
        answers = export(b"", metadata=metadata, timeout=_TIMEOUT_S)
        return b"".join([answer_class.FromString(one).chunk async for one in answers])


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row of the books that is not what it was.

    Attributes:
        entry_uuid: the entry that it belongs to, as the books name it.
    """

    entry_uuid: str


@asynccontextmanager
async def changed_row(database_url: str, entry_id: str) -> AsyncIterator[ChangedRow]:
    """Have the database's owner add a unit to a transfer of the entry, for the while."""
    entry = EntryId.parse(entry_id).uuid
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_ADD_UNITS, entry, 1)
        yield ChangedRow(str(entry))
        await connection.execute(_ADD_UNITS, entry, -1)
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier says."""

    holds: bool
    text: str


async def verify(books: bytes, jwks: Json, options: Sequence[str] = ()) -> Verdict:
    """Run the verifier on its own: an isolated Python that sees nothing of the platform."""
    with TemporaryDirectory(prefix="reli-verify-") as directory:
        file, keys = Path(directory, "books.jsonl"), Path(directory, "jwks.json")
        file.write_bytes(books)
        keys.write_text(json.dumps(jwks))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(app.ledger.verify_books.__file__)),
            *(str(file), str(keys), *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_TIMEOUT_S):
            said, complaint = await process.communicate()
    return Verdict(process.returncode == 0, (said + complaint).decode().strip())
