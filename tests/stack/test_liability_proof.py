"""What somebody outside makes of a proof of liabilities, with a verifier that imports nothing."""

import json
import random
import subprocess
import sys
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.json_format import MessageToDict, MessageToJson

from app.ledger import verify_books
from reli.ledger.v1 import checkpoint_service_pb2 as chain_pb
from tests.support.chain import SIGNER, chain_books
from tests.support.platform import Platform

VERIFIER: Final = Path(verify_books.__file__)
KEYS: Final = {SIGNER.key_id: SIGNER.public_key}
CUSTOMERS: Final = 5


@dataclass(frozen=True)
class Proved:
    """Proofs of all customers of a tenant, and the key set, as files."""

    proofs: list[Any]
    jwks: Path
    home: Path

    def check(self, proof: Any, *options: str) -> tuple[int, str]:
        file = self.home / "checked"
        file.write_text(json.dumps({"proof": proof}))
        ran = subprocess.run(
            [sys.executable, "-I", "-S", str(VERIFIER), str(file), str(self.jwks), *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran.returncode, ran.stdout + ran.stderr


def holds(proof: Any) -> bool:
    """Say so in this process, which is quicker."""
    try:
        verify_books.check_liability(proof, KEYS, "")
    except verify_books.BROKEN:
        return False
    return True


@pytest.fixture(scope="module")
async def proved(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Proved:
    tenant_id, client = await platform.a_tenant()
    ids = []
    for place in range(CUSTOMERS):
        customer = await client.create_customer()
        await client.deposit(customer.id, f"{place + 1}.50", "NGN")
        ids.append(customer.id)
    await chain_books(platform)
    home = tmp_path_factory.mktemp("liabilities")
    keys = await platform.container.signing_key_servicer().GetSigningKeys(
        chain_pb.GetSigningKeysRequest(), None
    )
    (home / "jwks.json").write_text(MessageToJson(keys, preserving_proto_field_name=True))
    proofs = []
    for id in ids:
        own = await client.checkpoints.GetLiabilityProof(
            chain_pb.GetLiabilityProofRequest(customer_id=id, asset="NGN")
        )
        told = await platform.operator.checkpoint_admin.GetTenantLiabilityProof(
            chain_pb.GetTenantLiabilityProofRequest(
                tenant_id=tenant_id, customer_id=id, asset="NGN"
            )
        )
        assert told.proof == own.proof
        proofs.append(MessageToDict(own.proof, preserving_proto_field_name=True))
    return Proved(proofs, home / "jwks.json", home)


def test_every_customer_finds_the_own_balance_in_the_same_total(proved: Proved) -> None:
    for place, proof in enumerate(proved.proofs):
        id = proof["customer_id"]
        said = json.loads(proof["sheet"]["signed_text"])

        code, told = proved.check(proof, "--customer", id)

        owed, total = 100 * (place + 1) + 50, 1750
        assert said["total"] == str(total)
        assert (code, told) == (
            0,
            f"{id} was owed {owed} of {total} units of NGN at {said['as_of']}\n",
        )
        assert proof["sheet"]["total"] == {"value": "17.50", "asset": "NGN"}
    sheets = [proof["sheet"] for proof in proved.proofs]
    assert sheets == sheets[:1] * CUSTOMERS


def test_the_proof_of_another_customer_is_refused(proved: Proved) -> None:
    mine, theirs = proved.proofs[:2]

    code, told = proved.check(theirs, "--customer", mine["customer_id"])

    assert (code, theirs["customer_id"] in told) == (1, True)


def test_whatever_is_changed_in_a_proof_it_does_not_hold(proved: Proved) -> None:
    whole = proved.proofs[1]
    sheet, path = whole["sheet"], whole["path"]
    less = [path[0] | {"units": str(int(path[0]["units"]) - 1)}, *path[1:]]
    below = [path[0] | {"units": str(-int(path[0]["units"]))}, *path[1:]]
    other = proved.proofs[2]
    changes: list[dict[str, Any]] = [
        {"position": str(int(whole["position"]) % CUSTOMERS + 1)},
        {"position": "0"},
        {"position": "6"},
        {"customer_id": other["customer_id"]},
        {"customer_id": other["customer_id"], "leaf_text": other["leaf_text"]},
        {"leaf_text": whole["leaf_text"].replace('"units":"250"', '"units":"249"')},
        {"leaf_text": whole["leaf_text"].replace('"units":"250"', '"units":"-250"')},
        {"path": path[1:]},
        {"path": [*path, path[0]]},
        {"path": []},
        {"path": less},
        {"path": below},
        {"sheet": sheet | {"signature": other["sheet"]["signature"][::-1]}},
        {"sheet": sheet | {"signed_text": sheet["signed_text"].replace("1750", "1749")}},
        {"sheet": {}},
    ]
    for change in changes:
        changed = whole | change
        assert changed != whole
        assert not holds(changed), change
        code, told = proved.check(changed)
        assert (code, "does not hold" in told) == (1, True), change
    assert holds(whole)


def test_one_changed_byte_of_what_is_hashed_or_signed_is_refused(proved: Proved) -> None:
    """Any byte of them, in an order that is the same on every run."""
    chance = random.Random(1)
    whole = json.dumps(proved.proofs[3])
    for _ in range(150):
        changed: Any = json.loads(whole)
        part, name = chance.choice(
            [
                (changed, "leaf_text"),
                (changed, "customer_id"),
                (changed["sheet"], "signed_text"),
                (changed["sheet"], "signature"),
                *((node, "hash") for node in changed["path"]),
            ]
        )
        text = bytearray(part[name].rstrip("="), "ascii")
        # The last digit of base64 has bits that are no part of the bytes.
        place = chance.randrange(len(text) - 1)
        text[place] ^= 1 << chance.randrange(7)
        part[name] = text.decode("ascii") + "=" * part[name].count("=")

        assert not holds(changed), (name, place, text)


def test_a_total_below_zero_holds_for_nobody_even_if_it_was_signed() -> None:
    id = "customer_01h455vb4pex5vsknk084sn02q"
    leaf = f'{{"customer_id":"{id}","salt":"00","units":"-5"}}'
    sheet = {
        "customers": 1,
        "key_id": SIGNER.key_id,
        "number": 1,
        "root": sha256(b"\x04" + leaf.encode()).hexdigest(),
        "total": "-5",
        "type": "reli.liabilities.v1",
    }
    text = json.dumps(sheet)
    proof = {
        "customer_id": id,
        "position": "1",
        "leaf_text": leaf,
        "sheet": {
            "signed_text": text,
            "signature": b64encode(SIGNER.sign(text.encode())).decode(),
        },
    }

    with pytest.raises(verify_books.Wrong, match="below zero"):
        verify_books.check_liability(proof, KEYS, "")
