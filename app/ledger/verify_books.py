"""Checks an export of a tenant's books without trusting who made it; docs/books.md describes it.

    python -I verify_books.py FILE JWKS [--entry ID | --customer ID]

JWKS is what /.well-known/jwks.json says, fetched by whoever checks; FILE may also be an answer of
the API that has a proof, a close or a receipt. Needs Python 3.11. Ends with 1 if wrong.
"""

import argparse
import base64
import json
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any
from uuid import UUID

Wrong = RuntimeError
BROKEN = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# Ed25519: RFC 8032, section 5.1.7. A point is (X, Y, Z, T) in extended coordinates.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number: int, p: Point) -> Point:
    total = (0, 1, 1, 0)
    while number:
        total = add(total, p) if number & 1 else total
        p, number = add(p, p), number >> 1
    return total


def point(text: bytes) -> Point:
    sign, y = divmod(int.from_bytes(text, "little"), 1 << 255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        raise Wrong("a signature or a key is no point of the curve")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def check_signature(key: bytes, message: bytes, signature: bytes, name: str) -> None:
    s = int.from_bytes(signature[32:], "little")
    k = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % ORDER
    base = point(bytes.fromhex("58" + "66" * 31))
    left, right = times(s, base), add(point(signature[:32]), times(k, point(key)))
    differs = any((left[i] * right[2] - right[i] * left[2]) % P for i in (0, 1))
    if len(key) != 32 or len(signature) != 64 or s >= ORDER or differs:
        raise Wrong(f"{name}: the signature is not over its text")


def decoded(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


# Merkle trees: RFC 6962, section 2.1.
def parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


# Liabilities: a node of a tree of the same shape is a hash and the sum of the balances below it.
def sum_parent(left: tuple[bytes, int], right: tuple[bytes, int]) -> tuple[bytes, int]:
    text = b"".join([hash + units.to_bytes(16, "big") for hash, units in (left, right)])
    return sha256(b"\x05" + text).digest(), left[1] + right[1]


def root_from(leaf: Any, index: int, size: int, path: Sequence[Any], join: Any) -> Any:
    if size == 1 or not path:
        if size != 1 or path or index:
            raise Wrong("a path does not have the length that it must have")
        return leaf
    half = 1 << (size - 1).bit_length() >> 1
    if index < half:
        return join(root_from(leaf, index, half, path[:-1], join), path[-1])
    return join(path[-1], root_from(leaf, index - half, size - half, path[:-1], join))


def check_signed(text: bytes, mark: bytes, keys: dict[str, bytes], kind: str, **known: Any) -> None:
    said = json.loads(text)
    name = f"{kind} {said.get('day') or said.get('trade_id') or said['number']}"
    if said["key_id"] not in keys:
        raise Wrong(f"{name} is signed with a key that is not in the key set")
    check_signature(keys[said["key_id"]], text, mark, name)
    for field, value in {"type": f"reli.{kind}.v1", **known}.items():
        if said[field] != (value.hex() if isinstance(value, bytes) else value):
            raise Wrong(f"{name} covers something whose {field} is another")


def check_books(lines: Iterator[bytes], keys: dict[str, bytes], wanted: str) -> str:
    header = json.loads(next(lines, b""))
    size, number, covered, found, chain, previous = 0, 0, 0, 0, bytes(32), bytes(32)
    peaks: list[bytes] = []
    for line in lines:
        # What a line holds lies between parts that are always the same, as it was hashed or signed.
        if line.startswith(b'{"entry":'):
            text, hash, end = line[9:].rpartition(b',"hash":"')
            size, place, node = size + 1, size, sha256(b"\x00" + text).digest()
            chain = sha256(b"\x02" + chain + node).digest()
            if hash + end != b',"hash":"%b","position":%d}\n' % (chain.hex().encode(), size):
                raise Wrong(f"the entry at position {size} was changed: {line[:999]!r}")
            while place & 1:
                node, place = parent(peaks.pop(), node), place >> 1
            peaks.append(node)
            is_wanted = wanted and b'"id":"%b","recorded_at"' % wanted.encode() in text
            found = size if is_wanted else found
        elif line.startswith(b'{"checkpoint":'):
            text, _, end = line[14:].rpartition(b',"signature":"')
            number, covered = number + 1, size
            root = reduce(lambda right, left: parent(left, right), reversed(peaks))
            known = {"number": number, "entries": size, "tenant_id": header["tenant_id"]}
            known |= {"chain_hash": chain, "root": root, "previous": previous}
            check_signed(text, bytes.fromhex(end.decode()[:-3]), keys, "checkpoint", **known)
            previous = sha256(text).digest()
        else:
            raise Wrong(f"after position {size} comes a line that is no entry and no checkpoint")
    if [header["format"], header["entries"]] != ["reli.books.v1", covered] or covered != size:
        raise Wrong(f"the file ends at position {size} and checkpoint {number}, not as it says")
    if wanted and not found:
        raise Wrong(f"no entry {wanted} in this file")
    return f"{size} entries hold" + (f"; {wanted} is at position {found}" if wanted else "")


def check_proof(proof: Any, keys: dict[str, bytes], wanted: str) -> str:
    text, signed = proof["entry_text"], proof["checkpoint"]
    entry, position = json.loads(text)["id"], int(proof["position"])
    if uuid_of(proof["entry_id"]) != entry or wanted not in ("", entry):
        raise Wrong(f"the proof is of entry {entry}")
    leaf = sha256(b"\x00" + text.encode()).digest()
    size, path = int(signed["entries"]), [decoded(step) for step in proof["path"]]
    known = {"entries": size, "root": root_from(leaf, position - 1, size, path, parent)}
    signature, checkpoint = decoded(signed["signature"]), signed["signed_text"].encode()
    check_signed(checkpoint, signature, keys, "checkpoint", **known)
    return f"entry {entry} is at position {position} of the {size} in a signed checkpoint"


def check_liability(proof: Any, keys: dict[str, bytes], wanted: str) -> str:
    text, signed = proof["leaf_text"], proof["sheet"]["signed_text"]
    said, sheet, position = json.loads(text), json.loads(signed), int(proof["position"])
    customer, size = said["customer_id"], sheet["customers"]
    if proof["customer_id"] != customer or wanted not in ("", uuid_of(customer)):
        raise Wrong(f"the proof is of customer {customer}")
    path = [(decoded(node["hash"]), int(node["units"])) for node in proof.get("path", ())]
    leaf = sha256(b"\x04" + text.encode()).digest(), int(said["units"])
    if min(units for _, units in [leaf, *path]) < 0:
        raise Wrong("a balance is below zero")
    root, total = root_from(leaf, position - 1, size, path, sum_parent)
    mark, known = decoded(proof["sheet"]["signature"]), {"root": root, "total": str(total)}
    check_signed(signed.encode(), mark, keys, "liabilities", **known)
    return f"{customer} was owed {leaf[1]} of {total} units of {sheet['asset']} at {sheet['as_of']}"


def uuid_of(text: str) -> str:
    """Return a UUID, also of entry_01h455vb4pex5vsknk084sn02q, whose digits are one in base 32."""
    digits = ["0123456789abcdefghjkmnpqrstvwxyz-".index(digit) for digit in text[-1:-27:-1]]
    number = sum(digit << 5 * place for place, digit in enumerate(digits))
    return text if "-" in text else str(UUID(int=number))


def check(file: Path, jwks: Path, wanted: str) -> str:
    keys = {key["kid"]: decoded(key["x"] + "=") for key in json.loads(jwks.read_bytes())["keys"]}
    with file.open("rb") as lines:
        if lines.peek().startswith(b'{"checkpoints"'):
            return check_books(lines, keys, wanted)
        answer = json.load(lines)
    for answered, kind, name in ("close", "daily_close", "day"), ("receipt", "receipt", "trade_id"):
        if signed := answer.get(answered):
            text, known = decoded(signed["content"]), {name: signed[name]}
            if evidence := answer.get("evidence"):
                known["evidence_digest"] = sha256(decoded(evidence["content"])).digest()
            check_signed(text, decoded(signed["signature"]), keys, kind, **known)
            return f"what is signed is: {text.decode()}"
    is_liability = "sheet" in answer["proof"]
    return (check_liability if is_liability else check_proof)(answer["proof"], keys, wanted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("jwks", type=Path)
    parser.add_argument("--entry", "--customer", type=uuid_of)
    asked = parser.parse_args()
    try:
        print(check(asked.file, asked.jwks, asked.entry or ""))
    except BROKEN as error:
        sys.exit(f"it does not hold: {error if str(error) else type(error).__name__}")
