"""Where secrets come from, and the only form in which they are kept."""

from typing import Protocol

from domain.ids import TypedId


class SecretSource(Protocol):
    """Makes secrets of API keys, of webhooks and of requests."""

    def new_secret(self) -> str:
        """Return a new secret of at least 256 random bits, as printable ASCII."""
        ...

    def hash(self, secret: str) -> bytes:
        """Return the hash under which the secret is stored and looked up.

        A plain SHA-256 is enough: a secret of 256 random bits cannot be guessed from it.
        """
        ...

    def new_webhook_secret(self) -> str:
        """Return a new secret to sign with, as Standard Webhooks writes it: `whsec_` and base64."""
        ...

    def new_request_signing_secret(self) -> str:
        """Return a new secret to sign requests with: `reqsec_` and 32 random bytes in base64."""
        ...


class SecretBox(Protocol):
    """Seals secrets that we need again, so that the database alone tells nobody any."""

    def seal(self, secret: str, *, owner: TypedId) -> bytes:
        """Return the secret in the form in which it is kept; it is of no use to another owner.

        Raises the refusal that the box was made with where there is no key.
        """
        ...

    def open(self, sealed: bytes, *, owner: TypedId) -> str:
        """Return a secret that was sealed for that owner, or raise `SecretUnreadable`."""
        ...


class SecretUnreadable(Exception):
    """It was sealed with a key that this process does not have, or for somebody else."""
