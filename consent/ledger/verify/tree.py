"""Merkle tree hashes of RFC 6962 section 2.1, and proof verification of RFC 9162 sections 2.1.3 and 2.1.4."""

import hashlib
from collections.abc import Sequence
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def hash_leaf(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def merkle_root(nodes: Sequence[bytes]) -> bytes:
    """The root over one node or more of one level; the last may stand for a subtree that is not full yet."""
    if len(nodes) == 1:
        return nodes[0]
    half = 1
    while half * 2 < len(nodes):
        half *= 2
    return hash_children(merkle_root(nodes[:half]), merkle_root(nodes[half:]))


def verify_inclusion(leaf_hash: bytes, index: int, *, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path leads from the leaf at `index` to the root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    here, last, result = index, size - 1, leaf_hash
    for sibling in path:
        if last == 0:
            return False  # the path goes on above the root
        if here & 1 or here == last:
            result = hash_children(sibling, result)
            while not here & 1 and here != 0:
                here, last = here >> 1, last >> 1
        else:
            result = hash_children(result, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and result == root


def verify_consistency(old: tuple[int, bytes], new: tuple[int, bytes], *, path: Sequence[bytes]) -> bool:
    """Whether the new tree continues the old one, both as (size, root) (RFC 9162 section 2.1.4.2).

    Everything continues the empty tree, and a tree itself, with an empty path.
    """
    (old_size, old_root), (new_size, new_root) = old, new
    if old_size == new_size:
        return not path and old_root == new_root and old_size >= 0
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT and new_size > 0
    if not 0 < old_size < new_size:
        return False
    # if the old size is a power of two its root is a node of the new tree, and the path leaves it out
    nodes = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    here, last = old_size - 1, new_size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    if not nodes:
        return False
    old_result = new_result = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old_result = hash_children(node, old_result)
            new_result = hash_children(node, new_result)
            while not here & 1 and here != 0:
                here, last = here >> 1, last >> 1
        else:
            new_result = hash_children(new_result, node)
        here, last = here >> 1, last >> 1
    return last == 0 and old_result == old_root and new_result == new_root
