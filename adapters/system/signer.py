"""Ed25519 signatures, and the names of keys."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from domain.canonical import canonical_json
from ports.chain import Signer

SEED_BYTES: Final = 32


class Ed25519Signer(Signer):
    """Signs with the key of a seed (RFC 8032, section 5.1.5)."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public_key = self._key.public_key().public_bytes_raw()
        self._key_id = thumbprint(self._public_key)

    @classmethod
    def from_text(cls, text: str) -> "Ed25519Signer":
        """Read a seed as a JWK has it in `d` (RFC 8037, section 2): base64url without padding."""
        return cls(urlsafe_b64decode(text + "="))

    @property
    def key_id(self) -> str:
        return self._key_id

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def is_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether a signature is that of the key over the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_public_key(value: bytes) -> bool:
    """Say whether the bytes are a public key that signatures can be checked with."""
    try:
        Ed25519PublicKey.from_public_bytes(value)
    except ValueError:
        return False
    return True


def base64url(value: bytes) -> str:
    """Return base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def thumbprint(public_key: bytes) -> str:
    """Return the thumbprint of an Ed25519 key (RFC 7638; RFC 8037, appendix A.3)."""
    key = {"crv": "Ed25519", "kty": "OKP", "x": base64url(public_key)}
    return base64url(sha256(canonical_json(key)).digest())
