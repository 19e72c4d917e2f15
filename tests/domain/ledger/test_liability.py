"""The tree over balances is that of its definition, and whatever is changed leads elsewhere."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.amount import Amount
from domain.ids import CustomerId, TenantId
from domain.ledger.liability import (
    BLOCK,
    MAX_SUM,
    CustomerBalance,
    KeptLeaf,
    LiabilitiesRefused,
    LiabilitySheet,
    SignedSheet,
    SumNode,
    joined,
    leaf_node,
    leaf_text,
    root_from_sums,
    sum_path,
    sum_root,
)
from tests.support.builders import NGN

SECRET: Final = bytes(range(32))
BALANCES: Final = st.lists(st.integers(min_value=0, max_value=10**30), min_size=1, max_size=70)


def naive_root(nodes: Sequence[SumNode]) -> SumNode:
    """Return the root by the words of RFC 6962: parted at the largest power of two below."""
    if len(nodes) == 1:
        return nodes[0]
    parted = 1
    while parted * 2 < len(nodes):
        parted *= 2
    left, right = naive_root(nodes[:parted]), naive_root(nodes[parted:])
    hashed = b"\x05"
    for node in (left, right):
        hashed += node.hash + node.units.to_bytes(16, "big")
    return SumNode(sha256(hashed).digest(), left.units + right.units)


def naive_path(index: int, nodes: Sequence[SumNode]) -> tuple[SumNode, ...]:
    if len(nodes) == 1:
        return ()
    parted = 1
    while parted * 2 < len(nodes):
        parted *= 2
    if index < parted:
        return (*naive_path(index, nodes[:parted]), naive_root(nodes[parted:]))
    return (*naive_path(index - parted, nodes[parted:]), naive_root(nodes[:parted]))


def leaves(balances: Sequence[int]) -> list[SumNode]:
    return [
        leaf_node(CustomerBalance(f"customer_{place:04}", units), SECRET)
        for place, units in enumerate(balances)
    ]


def test_a_leaf_is_the_hash_of_its_text_and_says_salt_and_balance() -> None:
    balance = CustomerBalance("customer_1", 250)

    text = leaf_text(balance, SECRET)

    assert text == (
        b'{"customer_id":"customer_1","salt":"03a21f5353f7af6b1aef2591922ae6b6","units":"250"}'
    )
    assert leaf_node(balance, SECRET) == (sha256(b"\x04" + text).digest(), 250)
    assert leaf_node(balance, bytes(32)).hash != leaf_node(balance, SECRET).hash


@given(BALANCES)
def test_root_and_paths_are_those_of_the_definition(balances: list[int]) -> None:
    nodes = leaves(balances)
    root = naive_root(nodes)

    assert sum_root(nodes) == root
    assert root.units == sum(balances)
    for index in range(len(nodes)):
        path = sum_path(index, nodes)
        assert path == naive_path(index, nodes)
        assert root_from_sums(nodes[index], index, len(nodes), path) == root


@given(BALANCES, st.data())
def test_whatever_is_changed_on_a_path_it_leads_elsewhere(
    balances: list[int], data: st.DataObject
) -> None:
    nodes = leaves(balances)
    root, size = sum_root(nodes), len(nodes)
    index = data.draw(st.integers(0, size - 1))
    path = sum_path(index, nodes)
    leaf = nodes[index]

    assert root_from_sums(leaf._replace(units=leaf.units + 1), index, size, path) != root
    assert root_from_sums(leaf._replace(hash=bytes(32)), index, size, path) != root
    assert root_from_sums(leaf, index, size, (*path, leaf)) is None
    assert root_from_sums(leaf, size, size, path) is None
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        other = path[at]._replace(units=path[at].units + 1)
        assert root_from_sums(leaf, index, size, (*path[:at], other, *path[at + 1 :])) != root
        assert root_from_sums(leaf, index, size, path[1:]) is None
        elsewhere = data.draw(st.integers(0, size - 1).filter(lambda place: place != index))
        assert root_from_sums(leaf, elsewhere, size, path) != root


def test_a_balance_below_zero_and_a_sum_beyond_16_bytes_are_refused() -> None:
    with pytest.raises(LiabilitiesRefused, match="customer_1 is below zero"):
        leaf_node(CustomerBalance("customer_1", -1), SECRET)
    most = SumNode(bytes(32), MAX_SUM)
    assert joined(most, SumNode(bytes(32), 0)).units == MAX_SUM
    with pytest.raises(LiabilitiesRefused, match="beyond 16 bytes"):
        joined(most, SumNode(bytes(32), 1))


@pytest.mark.parametrize("size", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_a_proof_from_blocks_is_one_of_the_whole_tree(size: int) -> None:
    ids = [CustomerId.from_bytes(place.to_bytes(16)) for place in range(size)]
    balances = [CustomerBalance(str(id), place) for place, id in enumerate(ids)]
    nodes = [leaf_node(balance, SECRET) for balance in balances]
    root = naive_root(nodes)
    sheet = LiabilitySheet(
        tenant_id=TenantId.from_bytes(bytes(16)),
        number=1,
        as_of=datetime(2026, 3, 2, tzinfo=UTC),
        checkpoint=1,
        customers=size,
        total=Amount(NGN, root.units),
        root=root.hash,
        key_id="a key",
    )
    starts = range(0, size, BLOCK)
    for index in {0, size // 2, size - 1}:
        block = index // BLOCK
        kept = KeptLeaf(
            sheet=SignedSheet(sheet, b""),
            secret=SECRET,
            block=block,
            balances=balances[block * BLOCK :][:BLOCK],
            roots=[sum_root(nodes[start : start + BLOCK]) for start in starts],
        )

        proof = kept.proof(ids[index])

        assert proof is not None
        assert (proof.position, proof.leaf) == (index + 1, leaf_text(balances[index], SECRET))
        assert proof.path == naive_path(index, nodes)
        assert kept.proof(CustomerId.from_bytes(b"\xff" * 16)) is None
