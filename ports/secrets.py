"""Where secrets come from, and the only form in which they are kept."""

from typing import Protocol


class SecretSource(Protocol):
    """Makes API key secrets."""

    def new_secret(self) -> str:
        """Return a new secret of at least 256 random bits, as printable ASCII."""
        ...

    def hash(self, secret: str) -> bytes:
        """Return the hash under which the secret is stored and looked up.

        A plain SHA-256 is enough: a secret of 256 random bits cannot be guessed from it.
        """
        ...
