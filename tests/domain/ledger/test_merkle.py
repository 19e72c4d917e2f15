"""Merkle trees: what the right edge and the tiles say is what the whole tree says."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from domain.ledger.merkle import (
    TILE_HASHES,
    CompactRange,
    Place,
    inclusion_path,
    perfect_root,
    root_from_path,
)


def leaves_of(count: int) -> list[bytes]:
    return [sha256(b"\x00" + str(number).encode()).digest() for number in range(count)]


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert CompactRange().root().hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_roots_are_those_of_certificate_transparency() -> None:
    """The known answers that its implementations are tested with."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    tree, _ = CompactRange().extended(
        [sha256(b"\x00" + bytes.fromhex(text)).digest() for text in inputs]
    )

    assert tree.root().hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"


@given(st.lists(st.integers(0, 700), max_size=5))
def test_a_tree_that_grew_in_bites_has_the_root_of_all_its_leaves(bites: list[int]) -> None:
    leaves = leaves_of(sum(bites))
    tree = CompactRange()
    at = 0
    for bite in bites:
        tree, _ = tree.extended(leaves[at : at + bite])
        at += bite

    assert tree.size == len(leaves)
    assert tree.root() == naive_root(leaves)


@given(st.integers(1, 70_000))
def test_what_is_kept_are_all_perfect_nodes_of_each_tiles_height(size: int) -> None:
    leaves = [bytes([number % 251]) * 32 for number in range(size)]
    cut = size // 3
    tree, first = CompactRange().extended(leaves[:cut])
    _, second = tree.extended(leaves[cut:])
    kept = {node.place: node.hash for node in (*first, *second)}

    assert len(kept) == len(first) + len(second)
    assert kept == {
        Place(height, number): perfect_root(leaves[number << height : number + 1 << height])
        for height in (8, 16)
        for number in range(size >> height)
    }


@given(st.data(), st.integers(1, 1_500))
def test_every_leaf_is_led_to_the_root_by_its_path(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    path = inclusion_path(index, size)

    def root_of(place: Place) -> bytes:
        assert (place.number + 1) << place.height <= size, "not perfect yet"
        return perfect_root(leaves[place.number << place.height : place.number + 1 << place.height])

    hashes = path.hashes(root_of)

    assert list(hashes) == naive_path(index, leaves)
    assert root_from_path(leaves[index], index, size, hashes) == naive_root(leaves)


@given(st.data(), st.integers(1, 300))
def test_no_other_leaf_place_or_path_leads_to_the_root(data: st.DataObject, size: int) -> None:
    index, wrong = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    leaves = leaves_of(size)
    root, path = naive_root(leaves), naive_path(index, leaves)

    assert root_from_path(bytes(32), index, size, path) != root
    assert wrong == index or root_from_path(leaves[index], wrong, size, path) != root
    assert root_from_path(leaves[index], index, size, [*path, bytes(32)]) != root
    assert not path or root_from_path(leaves[index], index, size, path[:-1]) != root
    assert root_from_path(leaves[index], size, size, path) is None


def test_a_path_in_a_long_chain_needs_few_reads() -> None:
    places = list(inclusion_path(123_456_789, 987_654_321).places())

    assert len(places) <= 60
    assert len({place.number >> 8 - place.height % 8 for place in places}) <= 60
    assert TILE_HASHES == 256
