"""Signatures of requests: RFC 9421 with a digest of RFC 9530, as docs/signing.md says."""

import base64
import hashlib
import hmac
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SECRET_PREFIX: Final = "reqsec_"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _new_nonce() -> str:
    return secrets.token_urlsafe(18)


class Signer(ABC):
    """Signs requests with one request signing key.

    Args:
        key_id: the id of the key, such as "requestsigningkey_01h455vb4pex5vsknk084sn02q".
        clock: seconds since 1970; a signature is good for a minute.
        nonce: 16 to 64 characters, others at each call.
    """

    algorithm: ClassVar[str]

    def __init__(
        self,
        key_id: str,
        *,
        clock: Callable[[], float] = time.time,
        nonce: Callable[[], str] = _new_nonce,
    ) -> None:
        self.key_id = key_id
        self._clock = clock
        self._nonce = nonce

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_id!r})"

    @abstractmethod
    def sign(self, base: bytes) -> bytes:
        """Return the signature over a signature base."""

    def sign_call(self, path: str, message: bytes, idempotency_key: str = "") -> dict[str, str]:
        """Return the metadata that sign one attempt at a gRPC call.

        Args:
            path: such as "/reli.quote.v1.QuoteService/AcceptQuote".
            message: the serialized request, exactly as it is sent.
            idempotency_key: the metadata of that name, if it is sent.
        """
        return self._signed({"@method": "POST", "@path": path}, idempotency_key, message)

    def sign_request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> dict[str, str]:
        """Return the headers to add to a REST request.

        Args:
            method: such as "POST".
            url: with path and query exactly as they are sent.
            headers: those of the request; of them the idempotency key is signed.
            body: exactly as it is sent.
        """
        parts = urlsplit(url)
        is_default = parts.port in (None, _DEFAULT_PORTS.get(parts.scheme))
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        components = {
            "@method": method.upper(),
            "@authority": f"{host}" if is_default else f"{host}:{parts.port}",
            "@path": parts.path or "/",
            "@query": f"?{parts.query}",
        }
        key = next((headers[one] for one in headers if one.lower() == "idempotency-key"), "")
        return self._signed(components, key, body)

    def _signed(
        self, components: Mapping[str, str], idempotency_key: str, body: bytes
    ) -> dict[str, str]:
        covered, added = dict(components), {}
        if idempotency_key:
            covered["idempotency-key"] = idempotency_key
        if body:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            added["content-digest"] = covered["content-digest"] = f"sha-256=:{digest}:"
        names = " ".join(f'"{name}"' for name in covered)
        parameters = (
            f'({names});created={int(self._clock())};keyid="{self.key_id}"'
            f';alg="{self.algorithm}";nonce="{self._nonce()}"'
        )
        lines = [f'"{name}": {value}' for name, value in covered.items()]
        base = "\n".join([*lines, f'"@signature-params": {parameters}'])
        signature = base64.b64encode(self.sign(base.encode())).decode()
        return {
            **added,
            "signature-input": f"sig1={parameters}",
            "signature": f"sig1=:{signature}:",
        }


class Ed25519Signer(Signer):
    """Signs with a private key of one's own, whose public key is registered.

    Args:
        private_key: the key, or its seed of 32 bytes.
    """

    algorithm = "ed25519"

    def __init__(
        self,
        key_id: str,
        private_key: Ed25519PrivateKey | bytes,
        *,
        clock: Callable[[], float] = time.time,
        nonce: Callable[[], str] = _new_nonce,
    ) -> None:
        super().__init__(key_id, clock=clock, nonce=nonce)
        self._key = (
            Ed25519PrivateKey.from_private_bytes(private_key)
            if isinstance(private_key, bytes)
            else private_key
        )

    def sign(self, base: bytes) -> bytes:
        return self._key.sign(base)


class HmacSigner(Signer):
    """Signs with a secret that the platform has too.

    Args:
        secret: as it was told, "reqsec_" and base64.
    """

    algorithm = "hmac-sha256"

    def __init__(
        self,
        key_id: str,
        secret: str,
        *,
        clock: Callable[[], float] = time.time,
        nonce: Callable[[], str] = _new_nonce,
    ) -> None:
        super().__init__(key_id, clock=clock, nonce=nonce)
        if not secret.startswith(SECRET_PREFIX):
            raise ValueError(f"a shared secret begins with {SECRET_PREFIX}")
        self._secret = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)

    def sign(self, base: bytes) -> bytes:
        return hmac.digest(self._secret, base, "sha256")
