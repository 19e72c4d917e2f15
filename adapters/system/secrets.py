"""Secrets from the operating system's randomness."""

import base64
import hashlib
import secrets
from typing import Final

from ports.secrets import SecretSource

PREFIX: Final = "reli_"
"""Lets people, and scanners of leaked secrets, recognize a key."""
REQUEST_SECRET_PREFIX: Final = "reqsec_"


class SystemSecrets(SecretSource):
    """256 random bits a secret."""

    def new_secret(self) -> str:
        return PREFIX + secrets.token_urlsafe(32)

    def hash(self, secret: str) -> bytes:
        return hashlib.sha256(secret.encode()).digest()

    def new_webhook_secret(self) -> str:
        return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()

    def new_request_signing_secret(self) -> str:
        return REQUEST_SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
