"""What checks signatures of requests, with the key that their algorithm takes."""

import hmac
from base64 import b64decode
from collections.abc import Callable

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from adapters.system.secrets import REQUEST_SECRET_PREFIX
from domain.tenant.request_signing import RequestSigningKey, SignatureAlgorithm
from ports.request_signing import RequestVerifier
from ports.secrets import SecretBox


class RequestVerifiers:
    """Makes a verifier of a key as it is stored."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def make(self, key: RequestSigningKey, sealed_secret: bytes | None) -> RequestVerifier:
        """Return what checks the signatures of a key, or raise `SecretUnreadable`.

        The algorithm is the key's, whatever a signature says, so that a public key is never taken
        for a secret.
        """
        match key.algorithm:
            case SignatureAlgorithm.ED25519:
                return RequestVerifier(key, _ed25519_of(key.public_key))
            case SignatureAlgorithm.HMAC_SHA256:
                assert sealed_secret is not None
                return RequestVerifier(key, _hmac_of(self._box.open(sealed_secret, owner=key.id)))


def _ed25519_of(public_key: bytes) -> Callable[[bytes, bytes], bool]:
    """Return what checks Ed25519 (RFC 9421, section 3.3.6)."""
    verify = VerifyKey(public_key).verify

    def is_signed(message: bytes, signature: bytes) -> bool:
        try:
            verify(message, signature)
        except (BadSignatureError, ValueError):  # the second for what has not its length
            return False
        return True

    return is_signed


def _hmac_of(secret: str) -> Callable[[bytes, bytes], bool]:
    """Return what checks HMAC-SHA256 (RFC 9421, section 3.3.3) in constant time."""
    shared = b64decode(secret.removeprefix(REQUEST_SECRET_PREFIX))

    def is_signed(message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(shared, message, "sha256"), signature)

    return is_signed
