"""Merkle trees over a growing list, as RFC 6962 (section 2.1) has them.

Nobody holds the whole tree: the right edge is enough to go on (a compact range), and every 256th
part of a level is kept in tiles, from which any path is put together in a few reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

LEAF: Final = b"\x00"
NODE: Final = b"\x01"
"""What a leaf and an inner node begin with, so that none can be taken for the other."""

TILE_HEIGHT: Final = 8
TILE_HASHES: Final = 1 << TILE_HEIGHT
_WITHIN_TILE: Final = TILE_HEIGHT - 1


class Place(NamedTuple):
    """A perfect subtree: of those with `2 ** height` leaves the one of that number, from 0."""

    height: int
    number: int


class Node(NamedTuple):
    """The root of a perfect subtree."""

    place: Place
    hash: bytes


def parent(left: bytes, right: bytes) -> bytes:
    return sha256(NODE + left + right).digest()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """What is needed of a tree to go on with it and to know its root.

    Attributes:
        size: how many leaves there are.
        peaks: the roots of the perfect trees that they make up, the largest first.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.peaks) == self.size.bit_count()

    def extended(self, leaves: Sequence[bytes]) -> "tuple[CompactRange, Sequence[Node]]":
        """Return the tree with further leaves, and the nodes to be kept, level by level in order.

        Kept are the nodes at each multiple of `TILE_HEIGHT` that became perfect.
        """
        size, peaks, kept = self.size, list(self.peaks), []
        for node in leaves:
            height = 0
            while size >> height & 1:
                node = sha256(NODE + peaks.pop() + node).digest()
                height += 1
                if not height & _WITHIN_TILE:
                    kept.append(Node(Place(height, size >> height), node))
            peaks.append(node)
            size += 1
        return CompactRange(size, tuple(peaks)), kept

    def root(self) -> bytes:
        """Return the root; of no leaves, the hash of nothing."""
        return _joined(self.peaks) if self.peaks else sha256().digest()


class InclusionPath(NamedTuple):
    """How a path is put together: each step is the root over perfect subtrees, the left one first.

    Attributes:
        steps: from the leaf to the root.
    """

    steps: tuple[tuple[Place, ...], ...]

    def places(self) -> Iterator[Place]:
        """Yield every subtree whose root is needed."""
        for step in self.steps:
            yield from step

    def hashes(self, root_of: Callable[[Place], bytes]) -> tuple[bytes, ...]:
        """Return the audit path of RFC 6962, section 2.1.1."""
        return tuple(_joined([root_of(place) for place in step]) for step in self.steps)


def inclusion_path(index: int, size: int) -> InclusionPath:
    """Return how the audit path of a leaf in the tree of the first `size` leaves is made."""
    assert 0 <= index < size
    steps: list[tuple[Place, ...]] = []
    start, count = 0, size
    while count > 1:
        left = 1 << (count - 1).bit_length() - 1
        if index < start + left:
            steps.append(tuple(_perfect_parts(start + left, count - left)))
            count = left
        else:
            steps.append(tuple(_perfect_parts(start, left)))
            start, count = start + left, count - left
    return InclusionPath(tuple(reversed(steps)))


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a path leads to, or None if it is not of the length it must have."""
    if not 0 <= index < size:
        return None
    node, last, steps = leaf, size - 1, iter(path)
    for step in steps:
        if last == 0:
            return None
        if index & 1 or index == last:
            node = parent(step, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = parent(node, step)
        index, last = index >> 1, last >> 1
    return node if last == 0 else None


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over nodes of one level, whose number is a power of two."""
    assert hashes
    assert len(hashes) & len(hashes) - 1 == 0
    while len(hashes) > 1:
        hashes = [parent(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def _perfect_parts(start: int, count: int) -> Iterator[Place]:
    """Yield the perfect subtrees of leaves that begin where one of at least their number does."""
    while count:
        height = count.bit_length() - 1
        yield Place(height, start >> height)
        start, count = start + (1 << height), count - (1 << height)


def _joined(peaks: Sequence[bytes]) -> bytes:
    """Return the root over perfect subtrees, the largest first."""
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = parent(peak, root)
    return root
