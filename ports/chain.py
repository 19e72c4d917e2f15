"""The chain of the books: made by workers, signed, and read by whoever checks it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from domain.ids import EntryId
from domain.ledger.chain import SignedCheckpoint
from domain.ledger.merkle import Place
from ports.lease import Lease
from ports.page import Page, PageRequest


class Signer(Protocol):
    """A key that signs what others are to believe."""

    @property
    def key_id(self) -> str:
        """The thumbprint of the public key (RFC 7638)."""
        ...

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the Ed25519 public key (RFC 8032, section 5.1.5)."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the Ed25519 signature."""
        ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signed something, by its thumbprint."""

    id: str
    key: bytes


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """An entry with its place.

    Attributes:
        position: its place in the chain, from 1; None while it waits for one.
        canonical: the text that its leaf hash is of.
    """

    entry_id: EntryId
    position: int | None
    canonical: bytes


class ChainBroken(Exception):
    """Somebody took away what is never taken away; `reli audit` says more."""


@dataclass(frozen=True, slots=True)
class ChainPages:
    """Entries in their places, one after the other.

    Attributes:
        first_position: that of the first of them.
        hash_before: the chain hash of the entry before.
        leaves: the leaf hash of each, as it was when it was chained.
        canonical: the text of each as it is now; empty where there is no such entry any more.
    """

    first_position: int
    hash_before: bytes
    leaves: Sequence[bytes]
    canonical: Sequence[bytes]


class Chainer(Protocol):
    """Gives committed entries of all tenants their places."""

    async def chain(self, lease: Lease, *, limit: int) -> int:
        """Chain at least `limit` entries that wait, or all, and return how many it were.

        Entries that one statement wrote are never parted. Returns 0 when the lease is not ours.
        """
        ...

    async def checkpoint(
        self, lease: Lease, signer: Signer, *, at_least_every: timedelta, limit: int
    ) -> int:
        """Sign at most `limit` chains that went on since their last checkpoint; return how many.

        Only those whose last one is `at_least_every` old. Returns 0 when the lease is not ours.
        """
        ...


class ChainStore(Protocol):
    """The chain of one tenant, to read."""

    async def list_checkpoints(self, page: PageRequest) -> Page[SignedCheckpoint]:
        """Return a page of checkpoints by their numbers, the newest first."""
        ...

    async def checkpoints_after(self, number: int, *, limit: int) -> Sequence[SignedCheckpoint]:
        """Return the checkpoints that follow that number, in order."""
        ...

    async def latest_checkpoint(self) -> SignedCheckpoint | None:
        """Return the checkpoint that covers the most."""
        ...

    async def find(self, entry_id: EntryId) -> ChainedEntry:
        """Return an entry with its place, or raise `EntryNotFound`."""
        ...

    async def roots(self, places: Iterable[Place]) -> Mapping[Place, bytes]:
        """Return the roots of perfect subtrees over entries that are chained."""
        ...

    async def pages_from(self, position: int, *, limit: int) -> ChainPages:
        """Return pages of entries from that position on, where a page begins.

        They are at least one, and the last begins less than `limit` positions later. Raises
        `ChainBroken` if there is none.
        """
        ...


class SigningKeys(Protocol):
    """Every key that ever signed a checkpoint or a sheet of liabilities."""

    async def all(self) -> Sequence[PublicKey]:
        """Return them, the newest first."""
        ...
