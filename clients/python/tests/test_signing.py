"""Signatures are those of the vectors, byte for byte."""

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest

from reli_client import Ed25519Signer, HmacSigner, Signer

VECTORS: Final = json.loads(
    (Path(__file__).parents[3] / "docs" / "signing-vectors.json").read_text(encoding="utf-8")
)
CREATED: Final = 1_700_000_000
NONCE: Final = "b3VyLW93bi1ub25jZS0x"


def signer_of(vector: dict[str, Any]) -> Signer:
    key_id = vector["key_id"]
    key = VECTORS["keys"][key_id]
    if key["algorithm"] == "ed25519":
        seed = base64.b64decode(key["seed"])
        return Ed25519Signer(key_id, seed, clock=lambda: CREATED + 0.9, nonce=lambda: NONCE)
    return HmacSigner(key_id, key["secret"], clock=lambda: CREATED, nonce=lambda: NONCE)


def signed_by(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The signature bases that a signer signs from here on."""
    bases: list[str] = []
    sign = signer.sign

    def note_and_sign(base: bytes) -> bytes:
        bases.append(base.decode())
        return sign(base)

    monkeypatch.setattr(signer, "sign", note_and_sign)
    return bases


def name(vector: dict[str, Any]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", VECTORS["good"], ids=name)
def test_a_rest_request_is_signed_as_the_vector_says(
    vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = signer_of(vector)
    bases = signed_by(signer, monkeypatch)
    query = f"?{vector['query']}" if vector["query"] else ""
    sent = {k.title(): v for k, v in vector["headers"].items() if k == "idempotency-key"}

    added = signer.sign_request(
        vector["method"].lower(),
        f"https://{vector['authority']}{vector['path']}{query}",
        {"Authorization": "Bearer reli_…", **sent},
        vector["body"].encode(),
    )

    assert bases == [vector["signature_base"]]
    assert added | {k.lower(): v for k, v in sent.items()} == vector["headers"]


@pytest.mark.parametrize("vector", VECTORS["grpc"], ids=name)
def test_a_call_is_signed_as_the_vector_says(
    vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = signer_of(vector)
    bases = signed_by(signer, monkeypatch)
    key = vector["headers"].get("idempotency-key", "")

    added = signer.sign_call(vector["path"], base64.b64decode(vector["message"]), key)

    assert bases == [vector["signature_base"]]
    assert added | ({"idempotency-key": key} if key else {}) == vector["headers"]


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://API.example.com:443/v1/quotes", "api.example.com"),
        ("http://127.0.0.1:8080/v1/quotes", "127.0.0.1:8080"),
        ("http://api.example.com:443/v1/quotes", "api.example.com:443"),
        ("https://[::1]:8443/v1/quotes", "[::1]:8443"),
    ],
)
def test_the_authority_is_the_host_without_a_port_that_goes_without_saying(
    url: str, authority: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = signer_of(VECTORS["good"][0])
    bases = signed_by(signer, monkeypatch)

    signer.sign_request("GET", url, {})

    assert f'"@authority": {authority}' in bases[0].splitlines()


def test_each_signature_has_a_nonce_of_its_own() -> None:
    signer = Ed25519Signer("key", bytes(32))

    inputs = {signer.sign_call("/a/B", b"")["signature-input"] for _ in range(100)}

    assert len(inputs) == 100


def test_no_secret_is_printed() -> None:
    secret = VECTORS["keys"]["requestsigningkey_01h455vb4pex5vsknk084sn02r"]["secret"]

    assert repr(HmacSigner("the-key", secret)) == "HmacSigner('the-key')"
    with pytest.raises(ValueError, match="reqsec_") as raised:
        HmacSigner("the-key", secret.removeprefix("reqsec_"))
    assert secret[8:] not in str(raised.value)
