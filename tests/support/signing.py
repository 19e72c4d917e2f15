"""A client that signs, written down once more and apart from what checks it."""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from tests.support.platform import Client


def sign(
    key: Ed25519PrivateKey,
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
    parameters = f'({names});created={created};keyid="{key_id}";alg="ed25519";nonce="{nonce}"'
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    signature = base64.b64encode(key.sign(base.encode())).decode()
    headers["signature-input"] = f"sig1={parameters}"
    headers["signature"] = f"sig1=:{signature}:"
    return headers, base


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
