"""A client that signs, written down once more and apart from what checks it."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.platform import Client

Key: TypeAlias = Ed25519PrivateKey | bytes
"""A private key, or the bytes of a shared secret."""


def sign(
    key: Key,
    key_id: str,
    components: Mapping[str, str],
    body: bytes = b"",
    *,
    created: int | None = None,
    nonce: str | None = None,
) -> tuple[dict[str, str], str]:
    """Return the headers that sign a request and its body, and the signature base."""
    headers: dict[str, str] = {}
    covered = dict(components)
    if body:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers["content-digest"] = covered["content-digest"] = f"sha-256=:{digest}:"
    names = " ".join(f'"{name}"' for name in covered)
    created = int(time.time()) if created is None else created
    nonce = secrets.token_urlsafe(16) if nonce is None else nonce
    algorithm = "hmac-sha256" if isinstance(key, bytes) else "ed25519"
    parameters = f'({names});created={created};keyid="{key_id}";alg="{algorithm}";nonce="{nonce}"'
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    signature = base64.b64encode(_made(key, base.encode())).decode()
    headers["signature-input"] = f"sig1={parameters}"
    headers["signature"] = f"sig1=:{signature}:"
    return headers, base


def _made(key: Key, base: bytes) -> bytes:
    return hmac.digest(key, base, "sha256") if isinstance(key, bytes) else key.sign(base)


async def a_signing_key_id(client: Client, key: Ed25519PrivateKey | None = None) -> str:
    """Register a public key and return its id."""
    key = key or Ed25519PrivateKey.generate()
    made = await client.signing_keys.CreateRequestSigningKey(
        tenant_pb.CreateRequestSigningKeyRequest(
            name="backend",
            algorithm=tenant_pb2.SIGNATURE_ALGORITHM_ED25519,
            public_key=key.public_key().public_bytes_raw(),
        )
    )
    return str(made.request_signing_key.id)


async def a_shared_secret(client: Client) -> tuple[str, bytes]:
    """Have a secret made and return its key's id and its bytes."""
    made = await client.signing_keys.CreateRequestSigningKey(
        tenant_pb.CreateRequestSigningKeyRequest(
            name="backend", algorithm=tenant_pb2.SIGNATURE_ALGORITHM_HMAC_SHA256
        )
    )
    return made.request_signing_key.id, key_bytes(made.secret)


def key_bytes(secret: str) -> bytes:
    """Return the key in a secret as the API shows it."""
    assert secret.startswith("reqsec_")
    return base64.b64decode(secret.removeprefix("reqsec_"), validate=True)
