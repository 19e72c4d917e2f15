"""The chain: each entry's place among all of its book, in hashes that anybody can compute again.

`docs/books.md` has every byte. The leaf hash of an entry is both a link of the chain and a leaf of
the Merkle tree, so one digest answers for both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from domain.canonical import canonical_json, instant_text
from domain.ids import EntryId, TenantId
from domain.ledger.entry import Entry
from domain.ledger.merkle import LEAF, CompactRange, Node
from domain.ledger.transfer import Transfer

HASH_BYTES: Final = 32
NOTHING: Final = bytes(HASH_BYTES)
"""What comes before the first entry and before the first checkpoint."""

_LINK: Final = b"\x02"


def canonical_entry(entry: Entry, *, recorded_at: datetime) -> bytes:
    """Return the text of an entry that its leaf hash is of."""
    return canonical_json(
        {
            "description": entry.description,
            "effective_at": instant_text(entry.effective_at or recorded_at),
            "id": str(entry.id.uuid),
            "recorded_at": instant_text(recorded_at),
            "reference": entry.reference,
            "reverses": str(entry.reverses.uuid) if entry.reverses else None,
            "source": entry.source.value,
            "transfers": [
                _transfer(transfer, ordinal)
                for ordinal, transfer in enumerate(entry.transfers, start=1)
            ],
        }
    )


def _transfer(transfer: Transfer, ordinal: int) -> dict[str, Any]:
    return {
        "asset": transfer.amount.asset.code,
        "credit_account_id": str(transfer.credit_account_id.uuid),
        "debit_account_id": str(transfer.debit_account_id.uuid),
        "expires_at": instant_text(transfer.expires_at) if transfer.expires_at else None,
        "id": str(transfer.id.uuid),
        "kind": transfer.kind.value,
        "ordinal": ordinal,
        "pending_id": str(transfer.pending_id.uuid) if transfer.pending_id else None,
        "purpose": transfer.purpose,
        "units": str(transfer.amount.units),
    }


def leaf_hash(canonical: bytes) -> bytes:
    """Return the leaf hash of RFC 6962, section 2.1."""
    return sha256(LEAF + canonical).digest()


def chain_hashes(before: bytes, leaves: Iterable[bytes]) -> list[bytes]:
    """Return the chain hash of each entry, given that of the one before and their leaf hashes."""
    hashes = []
    for leaf in leaves:
        before = sha256(_LINK + before + leaf).digest()
        hashes.append(before)
    return hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """Where a chain ends.

    Attributes:
        hash: the chain hash of the last entry.
        tree: the Merkle tree over all entries, as far as it is needed to go on.
    """

    hash: bytes = NOTHING
    tree: CompactRange = field(default_factory=CompactRange)

    @property
    def entries(self) -> int:
        return self.tree.size

    def extended(self, leaves: Sequence[bytes]) -> "tuple[ChainHead, Sequence[Node]]":
        """Return the head after further entries, with the inner nodes that are to be kept."""
        hash = self.hash
        for leaf in leaves:
            hash = sha256(_LINK + hash + leaf).digest()
        tree, nodes = self.tree.extended(leaves)
        return ChainHead(hash=hash, tree=tree), nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a chain was at an instant, to be signed.

    Attributes:
        number: from 1 without gaps.
        entries: how many entries it covers.
        chain_hash: that of the last one of them.
        root: the Merkle root over all of them (RFC 6962, section 2.1).
        previous: SHA-256 of the signed text of the checkpoint before.
        key_id: thumbprint of the key that signs (RFC 7638).
    """

    tenant_id: TenantId
    number: int
    entries: int
    chain_hash: bytes
    root: bytes
    previous: bytes
    made_at: datetime
    key_id: str

    def signed_text(self) -> bytes:
        """Return the text that the signature is over: JSON by RFC 8785."""
        return canonical_json(
            {
                "chain_hash": self.chain_hash.hex(),
                "entries": self.entries,
                "key_id": self.key_id,
                "made_at": instant_text(self.made_at),
                "number": self.number,
                "previous": self.previous.hex(),
                "root": self.root.hex(),
                "tenant_id": str(self.tenant_id.uuid),
                "type": "reli.checkpoint.v1",
            }
        )

    def digest(self) -> bytes:
        """Return what the next checkpoint calls `previous`."""
        return sha256(self.signed_text()).digest()


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with the Ed25519 signature over its text (RFC 8032, pure)."""

    checkpoint: Checkpoint
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """Proof that an entry is in a checkpoint.

    Attributes:
        position: from 1.
        canonical: the text that the leaf is the hash of.
        path: the audit path of RFC 6962, section 2.1.1.
    """

    entry_id: EntryId
    position: int
    canonical: bytes
    leaf: bytes
    path: tuple[bytes, ...]
    checkpoint: SignedCheckpoint
