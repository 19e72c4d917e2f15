"""Proof of liabilities: a tree over customers' balances whose every node has a hash and a sum.

`docs/books.md` has every byte. The tree has the shape of RFC 6962, section 2.1: the nodes of a
level are joined in pairs, and one that is left alone goes up as it is.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple

from domain.amount import Amount
from domain.canonical import canonical_json, instant_text
from domain.ids import CustomerId, TenantId
from domain.ledger.merkle import inclusion_path

BLOCK: Final = 256
"""Leaves whose tree is put together at once: a power of two, so that a block is a subtree."""
MAX_CUSTOMERS: Final = 250_000
"""How many customers one sheet takes."""
MAX_SUM: Final = 2**128 - 1
"""What 16 bytes take."""

_LEAF: Final = b"\x04"
_NODE: Final = b"\x05"
_SALT_BYTES: Final = 16
_SUM_BYTES: Final = 16


class LiabilitiesRefused(Exception):
    """Balances over which no sheet can be made: too many, below zero, or beyond 16 bytes."""


class SumNode(NamedTuple):
    """A node of the tree.

    Attributes:
        units: the sum of the balances below it, in minor units.
    """

    hash: bytes
    units: int


class CustomerBalance(NamedTuple):
    """What is owed to a customer: the posted balance, holds included, in minor units.

    Attributes:
        customer: the customer's id as the API writes it.
    """

    customer: str
    units: int


def leaf_text(balance: CustomerBalance, secret: bytes) -> bytes:
    """Return the text that the leaf hash is of: JSON by RFC 8785.

    The salt is HMAC-SHA-256 (RFC 2104) of the customer's id under the sheet's secret, cut to 16
    bytes, so that nobody who knows a customer can try balances until a hash fits.
    """
    salt = hmac.digest(secret, balance.customer.encode(), "sha256")[:_SALT_BYTES]
    return canonical_json(
        {"customer_id": balance.customer, "salt": salt.hex(), "units": str(balance.units)}
    )


def leaf_node(balance: CustomerBalance, secret: bytes) -> SumNode:
    """Return the leaf of a balance, or raise `LiabilitiesRefused` if it is below zero."""
    if balance.units < 0:
        raise LiabilitiesRefused(f"the balance of {balance.customer} is below zero")
    return SumNode(sha256(_LEAF + leaf_text(balance, secret)).digest(), balance.units)


def joined(left: SumNode, right: SumNode) -> SumNode:
    """Return the node above two, or raise `LiabilitiesRefused` if the sum is beyond 16 bytes."""
    units = left.units + right.units
    if units > MAX_SUM:
        raise LiabilitiesRefused("the sum of the balances is beyond 16 bytes")
    hashed = (
        _NODE
        + left.hash
        + left.units.to_bytes(_SUM_BYTES)
        + right.hash
        + right.units.to_bytes(_SUM_BYTES)
    )
    return SumNode(sha256(hashed).digest(), units)


def sum_root(nodes: Sequence[SumNode]) -> SumNode:
    """Return the root over at least one node of one level."""
    assert nodes
    while len(nodes) > 1:
        nodes = _level_above(nodes)
    return nodes[0]


def sum_path(index: int, nodes: Sequence[SumNode]) -> tuple[SumNode, ...]:
    """Return the nodes beside the way from one of them to their root, from below."""
    assert 0 <= index < len(nodes)
    path = []
    while len(nodes) > 1:
        if index ^ 1 < len(nodes):
            path.append(nodes[index ^ 1])
        nodes, index = _level_above(nodes), index >> 1
    return tuple(path)


def root_from_sums(leaf: SumNode, index: int, size: int, path: Sequence[SumNode]) -> SumNode | None:
    """Return the root that a path leads to, or None if it is not one of that leaf's length."""
    if not 0 <= index < size or len(path) != len(inclusion_path(index, size).steps):
        return None
    node, last, steps = leaf, size - 1, iter(path)
    while last:
        if index & 1:
            node = joined(next(steps), node)
        elif index < last:
            node = joined(node, next(steps))
        index, last = index >> 1, last >> 1
    return node


def _level_above(nodes: Sequence[SumNode]) -> Sequence[SumNode]:
    level = [joined(*pair) for pair in zip(nodes[::2], nodes[1::2], strict=False)]
    return [*level, nodes[-1]] if len(nodes) & 1 else level


@dataclass(frozen=True, slots=True, kw_only=True)
class LiabilitySheet:
    """What a tenant owed its customers in one asset at an instant, to be signed.

    Attributes:
        number: from 1 without gaps, by tenant and asset.
        as_of: the instant of the one snapshot in which all balances were read.
        checkpoint: number of the newest checkpoint of the tenant's books in that snapshot.
        customers: how many there are, those with a balance of zero included.
        total: the sum of their balances.
        root: hash of the root over them.
        key_id: thumbprint of the key that signs (RFC 7638).
    """

    tenant_id: TenantId
    number: int
    as_of: datetime
    checkpoint: int
    customers: int
    total: Amount
    root: bytes
    key_id: str

    def signed_text(self) -> bytes:
        """Return the text that the signature is over: JSON by RFC 8785."""
        return canonical_json(
            {
                "as_of": instant_text(self.as_of),
                "asset": self.total.asset.code,
                "checkpoint": self.checkpoint,
                "customers": self.customers,
                "key_id": self.key_id,
                "number": self.number,
                "root": self.root.hex(),
                "tenant_id": str(self.tenant_id.uuid),
                "total": str(self.total.units),
                "type": "reli.liabilities.v1",
            }
        )


@dataclass(frozen=True, slots=True)
class SignedSheet:
    """A sheet with the Ed25519 signature over its text (RFC 8032, pure)."""

    sheet: LiabilitySheet
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LiabilityProof:
    """Proof that a customer's balance is in a sheet.

    Attributes:
        position: the place among the leaves, from 1.
        leaf: the text that the leaf is the hash of.
        path: the nodes beside the way to the root, from below.
    """

    customer_id: CustomerId
    position: int
    leaf: bytes
    path: tuple[SumNode, ...]
    sheet: SignedSheet


def salt_message(tenant_id: TenantId, asset: str, number: int) -> bytes:
    """Return what a sheet's secret is made of by whoever has the key; it is no signed text."""
    return f"reli.liabilities.salt.v1 {tenant_id.uuid} {asset} {number}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLeaf:
    """What is kept of a sheet around one customer's leaf.

    Attributes:
        secret: of which the salts are made.
        block: number of the customer's block, from 0.
        balances: those of the block, in order.
        roots: the roots of all blocks, in order.
    """

    sheet: SignedSheet
    secret: bytes
    block: int
    balances: Sequence[CustomerBalance]
    roots: Sequence[SumNode]

    def proof(self, customer_id: CustomerId) -> LiabilityProof | None:
        """Return the proof of a customer's balance, or None if the sheet has none."""
        names = [balance.customer for balance in self.balances]
        if str(customer_id) not in names:
            return None
        index = names.index(str(customer_id))
        nodes = [leaf_node(balance, self.secret) for balance in self.balances]
        return LiabilityProof(
            customer_id=customer_id,
            position=self.block * BLOCK + index + 1,
            leaf=leaf_text(self.balances[index], self.secret),
            path=sum_path(index, nodes) + sum_path(self.block, self.roots),
            sheet=self.sheet,
        )
