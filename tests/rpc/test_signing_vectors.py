"""The vectors for clients, judged by what judges calls."""

import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from adapters.system.clock import SystemClock
from adapters.system.request_verifier import RequestVerifiers
from adapters.system.secret_box import AesSecretBox
from adapters.wire.signature import read_signature
from app.rpc.signature import RequestSignatures
from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.request_signing import (
    RequestSigningKey,
    SharedSecretsNotConfigured,
    SignatureAlgorithm,
    SignatureInvalid,
    SignedMessage,
)
from ports.request_signing import RequestVerifier, RequestVerifierStore
from tests.support.builders import an_id
from tests.support.golden import ROOT
from tests.support.rate_limit import AnyTenant, NoNonces

VECTORS: Final[Any] = json.loads((ROOT / "docs" / "signing-vectors.json").read_text())
TENANT: Final = an_id(TenantId)
BOX: Final = AesSecretBox(
    ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"], SharedSecretsNotConfigured
)

each = pytest.mark.parametrize


class KeysOfTheVectors(RequestVerifierStore):
    async def find(self, tenant_id: TenantId, key_id: RequestSigningKeyId) -> RequestVerifier:
        told = VECTORS["keys"][str(key_id)]
        key = RequestSigningKey(
            id=key_id,
            tenant_id=tenant_id,
            name="backend",
            algorithm=SignatureAlgorithm(told["algorithm"]),
            public_key=b64decode(told.get("public_key", "")),
            created_at=datetime(2023, 1, 1, tzinfo=UTC),
        )
        sealed = BOX.seal(told["secret"], owner=key_id) if "secret" in told else None
        return RequestVerifiers(BOX).make(key, sealed)


class ClockOfTheVectors(SystemClock):
    def now(self) -> datetime:
        return datetime.fromtimestamp(1_700_000_000, UTC)


def derived_of(vector: Mapping[str, Any]) -> dict[str, str]:
    derived = {"@method": vector["method"], "@path": vector["path"]}
    if "message" not in vector:
        derived |= {"@authority": vector["authority"], "@query": "?" + vector["query"]}
    return derived


def body_of(vector: Mapping[str, Any]) -> bytes:
    return b64decode(vector["message"]) if "message" in vector else vector["body"].encode()


async def judge(vector: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    signatures = RequestSignatures(KeysOfTheVectors(), NoNonces(), AnyTenant(), ClockOfTheVectors())
    await signatures.require(TENANT, headers, derived_of(vector), body_of(vector))


@each("vector", VECTORS["good"] + VECTORS["grpc"], ids=lambda one: one["name"])
async def test_a_vector_is_taken(vector: Mapping[str, Any]) -> None:
    headers = vector["headers"]
    await judge(vector, headers)

    signature = read_signature(headers)
    assert signature is not None
    message = SignedMessage.of(derived_of(vector), headers, body_of(vector))
    assert signature.base(message).decode() == vector["signature_base"]


@each("vector", VECTORS["bad"], ids=lambda one: one["name"])
async def test_a_vector_that_must_be_refused_is_refused(vector: Mapping[str, Any]) -> None:
    with pytest.raises(SignatureInvalid):
        await judge(vector, vector["headers"])


@each("vector", VECTORS["good"], ids=lambda one: one["name"])
async def test_a_key_signs_as_it_was_registered_whatever_the_signature_says(
    vector: Mapping[str, Any],
) -> None:
    """A public key is known to many: it must not be taken for a secret."""
    said = vector["headers"]["signature-input"]
    swapped = {"ed25519": "hmac-sha256", "hmac-sha256": "ed25519"}
    algorithm = VECTORS["keys"][vector["key_id"]]["algorithm"]
    other = said.replace(f'alg="{algorithm}"', f'alg="{swapped[algorithm]}"')
    assert other != said

    with pytest.raises(SignatureInvalid) as caught:
        await judge(vector, vector["headers"] | {"signature-input": other})

    assert caught.value.metadata["field"] == "alg"
