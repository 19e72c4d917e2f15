"""Books that leave the house: exported, and checked by a program that knows nothing of Reli."""

import base64
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.json_format import MessageToJson

from app.ledger import command, verify_books
from domain.ids import EntryId, TenantId
from domain.ledger.chain import NOTHING, chain_hashes, leaf_hash
from domain.ledger.entry import Entry
from reli.ledger.v1 import checkpoint_service_pb2 as chain_pb
from tests.support.chain import SIGNER, chain_books
from tests.support.ledger_rig import Rig, a_rig
from tests.support.platform import Platform

VERIFIER: Final = Path(verify_books.__file__)


@dataclass(frozen=True)
class Exported:
    """Books with three checkpoints, and what somebody outside has of them."""

    book: Rig
    entries: Sequence[Entry]
    content: bytes
    jwks: Path
    proof: str
    home: Path

    def check(self, content: bytes | str, *options: str) -> tuple[int, str]:
        """Run the verifier on its own, isolated from everything that is installed."""
        file = self.home / "books"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        ran = subprocess.run(
            [sys.executable, "-I", "-S", str(VERIFIER), str(file), str(self.jwks), *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran.returncode, ran.stdout + ran.stderr

    def verdict(self, content: bytes) -> str:
        """Return why it does not hold, in this process, which is quicker; or nothing."""
        keys = {SIGNER.key_id: SIGNER.public_key}
        try:
            verify_books.check_books(iter(content.splitlines(keepends=True)), keys, "")
        except verify_books.BROKEN as error:
            return str(error) or type(error).__name__
        return ""


async def export(platform: Platform, tenant_id: str) -> bytes:
    call = platform.operator.checkpoint_admin.ExportTenantBooks(
        chain_pb.ExportTenantBooksRequest(tenant_id=tenant_id), timeout=30
    )
    return b"".join([answer.chunk async for answer in call])


@pytest.fixture(scope="module")
async def exported(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    book = await a_rig(platform)
    entries: list[Entry] = []
    for sizes in ((1,), (30, 1, 7), (300, 2)):
        for size in sizes:
            new = [
                book.entry(book.transfer("lp", "ada", 1 + n), description=f'number "{n}" é')
                for n in range(size)
            ]
            await book.post(*new)
            entries += new
        await chain_books(platform)
    home = tmp_path_factory.mktemp("books")
    keys = await platform.container.signing_key_servicer().GetSigningKeys(
        chain_pb.GetSigningKeysRequest(), None
    )
    (home / "jwks.json").write_text(MessageToJson(keys, preserving_proto_field_name=True))
    proof = await platform.operator.checkpoint_admin.GetTenantInclusionProof(
        chain_pb.GetTenantInclusionProofRequest(
            tenant_id=str(book.tenant_id), entry_id=str(entries[200].id)
        )
    )
    return Exported(
        book=book,
        entries=entries,
        content=await export(platform, str(book.tenant_id)),
        jwks=home / "jwks.json",
        proof=MessageToJson(proof, preserving_proto_field_name=True),
        home=home,
    )


def test_the_verifier_is_short_and_needs_nothing() -> None:
    source = VERIFIER.read_text()

    assert len(source.splitlines()) < 200
    imported = {line.split()[1] for line in source.splitlines() if line.startswith(("from", "imp"))}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


def test_whole_books_hold(exported: Exported) -> None:
    assert exported.check(exported.content) == (0, "341 entries hold\n")


@pytest.mark.parametrize("number", [0, 1, 38, 340])
def test_an_entry_is_proved_from_the_whole_books(exported: Exported, number: int) -> None:
    id = exported.entries[number].id

    for name in (str(id), str(id.uuid)):
        assert exported.check(exported.content, "--entry", name) == (
            0,
            f"341 entries hold; {id.uuid} is at position {number + 1}\n",
        )


def test_an_entry_of_others_is_not_proved(exported: Exported) -> None:
    code, said = exported.check(
        exported.content, "--entry", str(exported.book.platform.ids.new(EntryId))
    )

    assert code == 1
    assert "no entry" in said


def test_an_entry_is_proved_alone(exported: Exported) -> None:
    id = exported.entries[200].id

    code, said = exported.check(exported.proof, "--entry", str(id))

    assert (code, said) == (
        0,
        f"entry {id.uuid} is at position 201 of the 341 in a signed checkpoint\n",
    )


def test_whatever_is_changed_in_a_proof_it_does_not_hold(exported: Exported) -> None:
    whole = json.loads(exported.proof)
    changes: list[tuple[str, Any]] = [
        ("position", "202"),
        ("position", "1"),
        ("entry_id", str(exported.entries[201].id)),
        ("entry_text", whole["proof"]["entry_text"].replace('"NGN"', '"USD"')),
        ("path", whole["proof"]["path"][1:]),
        ("path", [base64.b64encode(bytes(32)).decode(), *whole["proof"]["path"][1:]]),
        ("path", [*whole["proof"]["path"], base64.b64encode(bytes(32)).decode()]),
        ("checkpoint", whole["proof"]["checkpoint"] | {"entries": "340"}),
        ("checkpoint", whole["proof"]["checkpoint"] | {"signature": "AA=="}),
    ]
    for field, value in changes:
        changed = {"proof": whole["proof"] | {field: value}}
        assert changed != whole
        assert exported.check(json.dumps(changed))[0] == 1, field
    assert exported.check(exported.proof, "--entry", str(exported.entries[0].id))[0] == 1


def test_one_changed_byte_of_an_entry_names_it(exported: Exported) -> None:
    """Any byte of any line, in an order that is the same on every run."""
    lines = exported.content.splitlines(keepends=True)
    chance = random.Random(1)
    tried = 0
    while tried < 150:
        number = chance.randrange(1, len(lines))
        line = bytearray(lines[number])
        place = chance.randrange(len(line))
        line[place] ^= 1 << chance.randrange(8)
        changed = b"".join([*lines[:number], bytes(line), *lines[number + 1 :]])
        found = exported.verdict(changed)
        tried += 1

        assert found, (number, place, line)
        if lines[number].startswith(b'{"entry"') and line.startswith(b'{"entry":'):
            position = json.loads(lines[number])["position"]
            assert f"the entry at position {position} was changed" in found


@pytest.mark.parametrize("kind", [b'{"entry"', b'{"checkpoint"'])
def test_a_line_that_is_missing_doubled_or_elsewhere_is_found(
    exported: Exported, kind: bytes
) -> None:
    lines = exported.content.splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.startswith(kind)]
    for place in (places[0], places[1], places[-1]):
        assert exported.verdict(b"".join([*lines[:place], *lines[place + 1 :]]))
        assert exported.verdict(b"".join([*lines[: place + 1], *lines[place:]]))
        if place > 2:
            swapped = [*lines[: place - 1], lines[place], lines[place - 1], *lines[place + 1 :]]
            assert exported.verdict(b"".join(swapped))
    assert exported.verdict(b"".join(lines)) == ""


def test_a_file_that_was_cut_off_is_found(exported: Exported) -> None:
    for length in (0, 10, 200, len(exported.content) // 2, len(exported.content) - 1):
        assert exported.check(exported.content[:length])[0] == 1


def test_books_whose_hashes_were_made_again_are_signed_by_nobody(exported: Exported) -> None:
    lines = exported.content.splitlines(keepends=True)
    forged = lines[1].replace(b'"units":"1"', b'"units":"9"')
    assert forged != lines[1]
    text = forged[9:].rpartition(b',"hash":"')[0]
    leaf = leaf_hash(text)
    (hash,) = chain_hashes(NOTHING, [leaf])
    lines[1] = b'{"entry":%b,"hash":"%b","position":1}\n' % (text, hash.hex().encode())

    assert "checkpoint 1 covers something whose" in exported.verdict(b"".join(lines))


async def test_a_row_changed_by_the_owner_of_the_database_is_named(
    platform: Platform, exported: Exported
) -> None:
    entry = exported.entries[250]
    change = "UPDATE core.transfers SET units = units + $2 WHERE entry_id = $1"
    await platform.owner.execute(change, entry.id.uuid, 1)
    try:
        code, said = exported.check(await export(platform, str(exported.book.tenant_id)))
    finally:
        await platform.owner.execute(change, entry.id.uuid, -1)

    assert code == 1
    assert "the entry at position 251 was changed" in said
    assert str(entry.id.uuid) in said
    assert await export(platform, str(exported.book.tenant_id)) == exported.content


async def test_the_commands_export_and_verify(
    platform: Platform, exported: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    file, id = exported.home / "exported", exported.entries[7].id

    assert await command.export(platform.settings, str(exported.book.tenant_id), file) == ""

    assert file.read_bytes() == exported.content
    assert command.verify(file, exported.jwks, "") == 0
    assert command.verify(file, exported.jwks, str(id)) == 0
    assert f"{id.uuid} is at position 8" in capsys.readouterr().out
    file.write_bytes(exported.content.replace(b'"units":"5"', b'"units":"6"', 1))
    assert command.verify(file, exported.jwks, "") == 1
    assert "was changed" in capsys.readouterr().err
    assert command.verify(exported.home / "nowhere", exported.jwks, "") == 2
    nobody = str(platform.ids.new(TenantId))
    for tenant, wrong in (("x", "must be an id"), (nobody, "no such tenant")):
        assert wrong in await command.export(platform.settings, tenant, file)
    nowhere = exported.home / "nowhere" / "books"
    tenant = str(exported.book.tenant_id)
    assert "No such file" in await command.export(platform.settings, tenant, nowhere)


async def test_who_hangs_up_in_the_middle_of_an_export_leaves_no_transaction(
    platform: Platform, exported: Exported
) -> None:
    call = platform.operator.checkpoint_admin.ExportTenantBooks(
        chain_pb.ExportTenantBooksRequest(tenant_id=str(exported.book.tenant_id)), timeout=30
    )
    async for _ in call:
        call.cancel()
        break

    await platform.container.interceptor().drain()
    open_ones = await platform.owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE state LIKE 'idle in transaction%' AND application_name = 'test serve'"
    )
    assert open_ones == 0


@pytest.mark.parametrize("seed", range(8))
def test_signatures_are_those_of_ed25519(seed: int) -> None:
    from adapters.system.signer import Ed25519Signer

    signer = Ed25519Signer(bytes([seed]) * 32)
    message = bytes(seed * 37)
    signature = signer.sign(message)

    verify_books.check_signature(signer.public_key, message, signature, "it")
    for wrong in (message + b"x", b"x" + message):
        with pytest.raises(verify_books.Wrong):
            verify_books.check_signature(signer.public_key, wrong, signature, "it")
    for place in (0, 31, 32, 63):
        changed = bytearray(signature)
        changed[place] ^= 1
        with pytest.raises(verify_books.BROKEN):
            verify_books.check_signature(signer.public_key, message, bytes(changed), "it")
    beyond = int.from_bytes(signature[32:], "little") + verify_books.ORDER
    malleable = signature[:32] + beyond.to_bytes(32, "little")
    with pytest.raises(verify_books.Wrong):
        verify_books.check_signature(signer.public_key, message, malleable, "it")
