"""Secrets sealed with AES-256-GCM, each owner's under a key of its own."""

import os
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import DomainError
from domain.ids import TypedId
from ports.secrets import SecretBox, SecretUnreadable

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_MARK_BYTES: Final = 4


class AesSecretBox(SecretBox):
    """Seals with the first key and opens with any, so that a key can be replaced.

    What is sealed begins with the mark of its key. The key of an owner follows from ours by HKDF
    (RFC 5869), so a sealed secret that is moved to another owner cannot be opened.
    """

    def __init__(self, keys: Sequence[str], without_key: type[DomainError]) -> None:
        """Take keys of 32 bytes, each base64url without padding, and how to refuse without any."""
        self._keys = {_mark(key): key for key in map(_key, keys)}
        self._without_key = without_key

    def seal(self, secret: str, *, owner: TypedId) -> bytes:
        for mark, key in self._keys.items():
            nonce = os.urandom(_NONCE_BYTES)
            return mark + nonce + _cipher(key, owner).encrypt(nonce, secret.encode(), None)
        raise self._without_key("RELI_SEALING_KEYS is not set, so no secret can be kept")

    def open(self, sealed: bytes, *, owner: TypedId) -> str:
        mark, rest = sealed[:_MARK_BYTES], sealed[_MARK_BYTES:]
        key = self._keys.get(mark)
        if key is None:
            raise SecretUnreadable(f"the secret of {owner} was sealed with a key that we lack")
        try:
            opened = _cipher(key, owner).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], None)
        except InvalidTag:
            raise SecretUnreadable(f"the secret of {owner} was sealed for somebody else") from None
        return opened.decode()


def _key(text: str) -> bytes:
    return urlsafe_b64decode(text + "=")


def _mark(key: bytes) -> bytes:
    return _derived(key, b"reli mark", _MARK_BYTES)


def _cipher(key: bytes, owner: TypedId) -> AESGCM:
    return AESGCM(_derived(key, b"reli secret of " + str(owner).encode(), _KEY_BYTES))


def _derived(key: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(key)
