"""The page about the books does not lie: its example is computed again, by what it describes."""

import json
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from adapters.system.signer import Ed25519Signer
from app.ledger import verify_books
from domain.canonical import canonical_json
from domain.ids import CustomerId, EntryId, TenantId
from domain.ledger.chain import NOTHING, chain_hashes, leaf_hash
from domain.ledger.entry import EntrySource
from domain.ledger.liability import (
    CustomerBalance,
    joined,
    leaf_node,
    leaf_text,
    salt_message,
    sum_root,
)
from domain.ledger.merkle import CompactRange
from domain.ledger.transfer import TransferKind
from domain.routing import RoutingRule
from domain.trade.evidence import Ask
from domain.trade.receipt import receipt_content
from domain.trade.trade import TradeState
from tests.support.builders import NOW, a_trade
from tests.support.golden import ROOT

PAGE: Final = (ROOT / "docs" / "books.md").read_text(encoding="utf-8")


def _block(name: str) -> str:
    (found,) = re.findall(rf"^```json {name}\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
    return str(found)


BOOKS: Final = _block("books")
LINES: Final = BOOKS.encode().splitlines()
TABLE: Final = dict(re.findall(r"^\| (.+) \| `([0-9a-f]{64})` \|$", PAGE, re.MULTILINE))


def test_the_page_has_every_name_in_a_receipt() -> None:
    trade = replace(a_trade(), state=TradeState.SETTLED, ended_at=NOW)
    ask = Ask(RoutingRule.BEST_PRICE, "", NOW, NOW, ())
    content = receipt_content(trade, ask, evidence=b"", key_id="")
    section = PAGE[PAGE.index("## Receipts") : PAGE.index("## An example")]

    assert _names(json.loads(content)) <= set(re.findall(r"`([a-z_]+)`", section))


def test_the_receipt_of_the_example_holds_with_its_evidence_and_with_no_other(
    tmp_path: Path,
) -> None:
    file, jwks = tmp_path / "receipt", tmp_path / "jwks"
    jwks.write_text(_block("jwks"))
    answer = json.loads(_block("receipt"))
    content = b64decode(answer["receipt"]["content"])
    evidence = {"evidence": {"content": b64encode(b"{}").decode()}}

    file.write_text(json.dumps(answer | evidence))
    assert verify_books.check(file, jwks, "") == f"what is signed is: {content.decode()}"
    assert canonical_json(json.loads(content)) == content
    evidence["evidence"]["content"] = b64encode(b"[]").decode()
    file.write_text(json.dumps(answer | evidence))
    with pytest.raises(verify_books.Wrong, match="evidence_digest"):
        verify_books.check(file, jwks, "")


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {name for inner in value.values() for name in _names(inner)}
    return {name for inner in value for name in _names(inner)} if isinstance(value, list) else set()


def test_the_example_holds_for_the_verifier(tmp_path: Path) -> None:
    (tmp_path / "books").write_text(BOOKS)
    (tmp_path / "jwks").write_text(_block("jwks"))
    (id,) = set(re.findall(r"--entry (entry_\w+)", PAGE))

    assert verify_books.check(tmp_path / "books", tmp_path / "jwks", "") == "2 entries hold"
    uuid = verify_books.uuid_of(id)
    assert f"`{id}` is `{uuid}`" in PAGE
    assert EntryId.parse(id).uuid.hex == uuid.replace("-", "")
    told = verify_books.check(tmp_path / "books", tmp_path / "jwks", uuid)
    assert told == f"2 entries hold; {uuid} is at position 1"


def test_the_hashes_of_the_example_are_those_of_the_domain() -> None:
    texts = [line[len(b'{"entry":') : line.index(b',"hash":"')] for line in LINES[1:3]]
    leaves = [leaf_hash(text) for text in texts]
    tree, _ = CompactRange().extended(leaves)
    signed = LINES[3][len(b'{"checkpoint":') : LINES[3].index(b',"signature"')]

    assert {
        "leaf(1)": leaves[0].hex(),
        "leaf(2)": leaves[1].hex(),
        "chain(1)": chain_hashes(NOTHING, leaves)[0].hex(),
        "chain(2)": chain_hashes(NOTHING, leaves)[1].hex(),
        "root": tree.root().hex(),
        "SHA-256 of the signed text": sha256(signed).hexdigest(),
    } == TABLE
    signer = Ed25519Signer(bytes(range(32)))
    assert json.loads(LINES[3])["signature"] == signer.sign(signed).hex()
    (key,) = json.loads(_block("jwks"))["keys"]
    assert key["kid"] == signer.key_id
    (seed,) = re.findall(r"bytes 0 to 31 \(`([\w-]+)`\)", PAGE)
    assert Ed25519Signer.from_text(seed).key_id == signer.key_id


@pytest.mark.parametrize("line", LINES)
def test_every_line_of_the_example_is_canonical(line: bytes) -> None:
    assert canonical_json(json.loads(line)) == line


def test_every_name_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", PAGE))

    assert {name for line in LINES for name in _names(json.loads(line))} <= explained | {
        *("checkpoint", "checkpoints", "entry", "format", "hash", "position", "signature")
    }
    assert {*EntrySource, *TransferKind} <= explained


def test_the_example_of_liabilities_is_computed_again(tmp_path: Path) -> None:
    proof = json.loads(_block("liability"))["proof"]
    signer, tenant = (
        Ed25519Signer(bytes(range(32))),
        TenantId(UUID(json.loads(LINES[0])["tenant_id"])),
    )
    secret = sha256(signer.sign(salt_message(tenant, "NGN", 1))).digest()
    first = CustomerId.parse(proof["customer_id"]).uuid.int
    balances = [
        CustomerBalance(str(CustomerId(UUID(int=first + place))), units)
        for place, units in enumerate((150_000, 0, 2_500))
    ]
    nodes = [leaf_node(balance, secret) for balance in balances]
    named = {f"node({place})": node for place, node in enumerate(nodes, start=1)}
    named |= {"node(1, 2)": joined(*nodes[:2]), "root": sum_root(nodes)}

    rows = re.findall(r"^\| (.+) \| `([0-9a-f]{64})` \| (\d+) \|$", PAGE, re.MULTILINE)
    assert {name: (hash, int(units)) for name, hash, units in rows} == {
        name: (node.hash.hex(), node.units) for name, node in named.items()
    }
    assert proof["leaf_text"] == leaf_text(balances[0], secret).decode()
    signed = proof["sheet"]["signed_text"]
    assert canonical_json(json.loads(signed)).decode() == signed
    assert json.loads(signed)["root"] == sum_root(nodes).hash.hex()
    assert b64decode(proof["sheet"]["signature"]) == signer.sign(signed.encode())
    names = {*json.loads(signed), *json.loads(proof["leaf_text"])}
    assert names <= set(re.findall(r"`([a-z_]+)`", PAGE))

    (tmp_path / "proof").write_text(_block("liability"))
    (tmp_path / "jwks").write_text(_block("jwks"))
    (customer,) = re.findall(r"--customer (customer_\w+)", PAGE)
    wanted = verify_books.uuid_of(customer)
    told = verify_books.check(tmp_path / "proof", tmp_path / "jwks", wanted)
    assert told.startswith(f"{customer} was owed 150000 of 152500 units of NGN at ")
