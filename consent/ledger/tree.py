"""The Merkle tree of RFC 6962 section 2.1, pure: hashes, the frontier that grows, and proofs.

A frontier is the roots of a tree's perfect subtrees joined, 32 bytes each, the largest first: one
for each bit that is set in its size.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from consent.ledger.errors import LogDamagedError, NotInLogError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

# lookup(level, index): the root over the leaves [index * 2^level, (index + 1) * 2^level)
Lookup: TypeAlias = Callable[[int, int], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf: SHA-256(0x00 || leaf)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def extend(size: int, frontier: bytes, leaf_hashes: Iterable[bytes]) -> tuple[int, bytes]:
    """Size and frontier of a tree after more leaves. Raises LogDamagedError if they do not fit each other."""
    peaks = list(_split(size, frontier))
    for added in leaf_hashes:
        peaks.append(added)
        complete = size
        while complete & 1:
            right = peaks.pop()
            peaks[-1] = node_hash(peaks[-1], right)
            complete >>= 1
        size += 1
    return size, b"".join(peaks)


def root(size: int, frontier: bytes) -> bytes:
    """The root of the tree with this frontier. Raises LogDamagedError if size and frontier do not fit."""
    return _fold(_split(size, frontier))


def perfect_root(hashes: Iterable[bytes]) -> bytes:
    """The root over hashes whose number is a power of two."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def root_at(lookup: Lookup, size: int) -> bytes:
    """The root that the tree had at `size`."""
    return _range_root(lookup, 0, size)


def frontier_at(lookup: Lookup, size: int) -> bytes:
    """The frontier that the tree had at `size`."""
    return b"".join(lookup(level, index) for level, index in _perfect_subtrees(0, size))


def inclusion_path(lookup: Lookup, index: int, size: int) -> list[bytes]:
    """The audit path of a leaf, its sibling first (RFC 6962 section 2.1.1).

    Raises NotInLogError unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise NotInLogError
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split_point(end - start)
        if index < middle:
            path.append(_range_root(lookup, middle, end))
            end = middle
        else:
            path.append(_range_root(lookup, start, middle))
            start = middle
    return path[::-1]


def consistency_path(lookup: Lookup, old_size: int, size: int) -> list[bytes]:
    """The proof that the tree at `size` continues the one at `old_size` (RFC 6962 section 2.1.2).

    Empty if the sizes are equal or the old tree was empty. Raises NotInLogError unless 0 <= old_size <= size.
    """
    if not 0 <= old_size <= size:
        raise NotInLogError
    if old_size == 0:
        return []
    path = []
    start, end = 0, size
    while end != old_size:
        middle = start + _split_point(end - start)
        if old_size <= middle:
            path.append(_range_root(lookup, middle, end))
            end = middle
        else:
            path.append(_range_root(lookup, start, middle))
            start = middle
    if start > 0:  # the verifier knows the root of the whole old tree, not of its last subtree
        path.append(_range_root(lookup, start, end))
    return path[::-1]


def _split(size: int, frontier: bytes) -> Iterator[bytes]:
    if size < 0 or len(frontier) != HASH_BYTES * size.bit_count():
        raise LogDamagedError("the head")
    return (frontier[at : at + HASH_BYTES] for at in range(0, len(frontier), HASH_BYTES))


def _fold(peaks: Iterable[bytes]) -> bytes:
    *larger, result = list(peaks) or [EMPTY_ROOT]
    for peak in reversed(larger):
        result = node_hash(peak, result)
    return result


def _range_root(lookup: Lookup, start: int, end: int) -> bytes:
    return _fold(lookup(level, index) for level, index in _perfect_subtrees(start, end))


def _perfect_subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The perfect subtrees of a range that the tree's own splitting makes, as (level, index)."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _split_point(width: int) -> int:
    """The largest power of two smaller than `width` (width > 1)."""
    return 1 << ((width - 1).bit_length() - 1)
