"""The tree against its definition in RFC 6962 section 2.1, and its proofs against RFC 9162's verifier."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.errors import LogDamagedError, NotInLogError
from consent.ledger.tree import (
    EMPTY_ROOT,
    Lookup,
    consistency_path,
    extend,
    frontier_at,
    inclusion_path,
    leaf_hash,
    perfect_root,
    root,
    root_at,
)
from consent.ledger.verify import verify_consistency, verify_inclusion

# the eight leaves, roots and paths of Certificate Transparency's first tests
CLASSIC_LEAVES = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243")] + [
    bytes.fromhex("5051525354555657"),
    bytes.fromhex("606162636465666768696a6b6c6d6e6f"),
]
CLASSIC_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def made_leaves(count: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(count)]


def lookup_in(leaves: Sequence[bytes]) -> Lookup:
    def lookup(level: int, index: int) -> bytes:
        inside = leaves[index << level : (index + 1) << level]
        assert len(inside) == 1 << level, "the tree asked for a subtree that is not full"
        return naive_root(inside)

    return lookup


def grown(leaves: Sequence[bytes]) -> tuple[int, bytes]:
    return extend(0, b"", [leaf_hash(leaf) for leaf in leaves])


@pytest.mark.parametrize(
    ("size", "frontier"),
    [(0, b"x" * 32), (1, b""), (1, b"x" * 31), (3, b"x" * 32), (4, b"x" * 64), (-1, b"x" * 32)],
)
def test_a_frontier_that_does_not_fit_its_size_is_refused(size: int, frontier: bytes) -> None:
    with pytest.raises(LogDamagedError):
        root(size, frontier)
    with pytest.raises(LogDamagedError):
        extend(size, frontier, [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (3, 3)])
def test_no_path_for_an_index_outside(index: int, size: int) -> None:
    with pytest.raises(NotInLogError):
        inclusion_path(lookup_in(made_leaves(size)), index, size)


@pytest.mark.parametrize(("old_size", "size"), [(-1, 3), (4, 3)])
def test_no_path_from_a_size_outside(old_size: int, size: int) -> None:
    with pytest.raises(NotInLogError):
        consistency_path(lookup_in(made_leaves(size)), old_size, size)


def test_classic_roots() -> None:
    for size, expected in enumerate(CLASSIC_ROOTS, start=1):
        assert root(*grown(CLASSIC_LEAVES[:size])).hex() == expected


def test_the_empty_root_is_the_hash_of_nothing() -> None:
    assert root(0, b"") == EMPTY_ROOT == naive_root([])
    assert root_at(lookup_in([]), 0) == EMPTY_ROOT


@given(st.lists(st.binary(max_size=40), max_size=80), st.data())
def test_the_frontier_gives_the_root_of_the_definition(leaves: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(leaves)))
    size, frontier = grown(leaves[:cut])
    size, frontier = extend(size, frontier, [leaf_hash(leaf) for leaf in leaves[cut:]])
    assert size == len(leaves)
    assert root(size, frontier) == naive_root(leaves)
    assert frontier_at(lookup_in(leaves), size) == frontier
    assert root_at(lookup_in(leaves), cut) == naive_root(leaves[:cut])


@pytest.mark.parametrize("height", range(9))
def test_a_perfect_root_is_the_root(height: int) -> None:
    leaves = made_leaves(1 << height)
    assert perfect_root(leaf_hash(leaf) for leaf in leaves) == naive_root(leaves)


def test_every_inclusion_proof_of_small_trees_verifies_and_only_there() -> None:
    for size in range(1, 34):
        leaves = made_leaves(size)
        tree_root = naive_root(leaves)
        for index in range(size):
            path = inclusion_path(lookup_in(leaves), index, size)
            digest = leaf_hash(leaves[index])
            assert verify_inclusion(digest, index, size=size, path=path, root=tree_root)
            for other in range(size):
                proves = verify_inclusion(digest, other, size=size, path=path, root=tree_root)
                assert proves == (other == index)


def test_every_consistency_proof_of_small_trees_verifies() -> None:
    leaves = made_leaves(40)
    roots = [naive_root(leaves[:size]) for size in range(41)]
    for size in range(41):
        for old_size in range(size + 1):
            path = consistency_path(lookup_in(leaves), old_size, size)
            assert verify_consistency((old_size, roots[old_size]), (size, roots[size]), path=path)


@given(st.integers(1, 300), st.data())
def test_a_changed_inclusion_proof_does_not_verify(size: int, data: st.DataObject) -> None:
    leaves = made_leaves(size)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_path(lookup_in(leaves), index, size)
    digest, tree_root = leaf_hash(leaves[index]), naive_root(leaves)
    assert verify_inclusion(digest, index, size=size, path=path, root=tree_root)
    wrong = [
        (digest, [*path, digest]),
        (digest, [digest, *path]),
        (leaf_hash(b"another"), path),
        *((digest, [*path[:at], bytes(32), *path[at + 1 :]]) for at in range(len(path))),
        *((digest, path[:at] + path[at + 1 :]) for at in range(len(path))),
    ]
    for wrong_digest, wrong_path in wrong:
        assert not verify_inclusion(wrong_digest, index, size=size, path=wrong_path, root=tree_root)
    assert not verify_inclusion(digest, index, size=size, path=path, root=bytes(32))
    assert not verify_inclusion(digest, size, size=size, path=path, root=tree_root)
    assert not verify_inclusion(digest, -1, size=size, path=path, root=tree_root)


@given(st.integers(2, 300), st.data())
def test_a_changed_consistency_proof_does_not_verify(size: int, data: st.DataObject) -> None:
    leaves = made_leaves(size)
    old_size = data.draw(st.integers(1, size - 1))
    old = (old_size, naive_root(leaves[:old_size]))
    new = (size, naive_root(leaves))
    path = consistency_path(lookup_in(leaves), old_size, size)
    assert verify_consistency(old, new, path=path)
    wrong = [
        [],
        [*path, bytes(32)],
        [bytes(32), *path],
        *([*path[:at], bytes(32), *path[at + 1 :]] for at in range(len(path))),
        *(path[:at] + path[at + 1 :] for at in range(len(path))),
    ]
    for wrong_path in wrong:
        assert not verify_consistency(old, new, path=wrong_path)
    assert not verify_consistency((old_size, bytes(32)), new, path=path)
    assert not verify_consistency(old, (size, bytes(32)), path=path)
    assert not verify_consistency(new, old, path=path)


def test_consistency_at_the_edges() -> None:
    one = naive_root([b"x"])
    assert verify_consistency((0, EMPTY_ROOT), (1, one), path=[])
    assert verify_consistency((0, EMPTY_ROOT), (0, EMPTY_ROOT), path=[])
    assert not verify_consistency((0, one), (1, one), path=[])
    assert not verify_consistency((0, EMPTY_ROOT), (1, one), path=[one])
    assert not verify_consistency((1, one), (1, EMPTY_ROOT), path=[])
    assert not verify_consistency((1, one), (1, one), path=[one])
    assert not verify_consistency((3, one), (4, one), path=[])  # of no power of two: its root is in no node
    assert not verify_consistency((1, one), (2, one), path=[one, one])  # it goes on above the root
    assert not verify_consistency((-1, one), (1, one), path=[])
    assert not verify_consistency((0, EMPTY_ROOT), (-1, one), path=[])
    assert not verify_consistency((-1, one), (-1, one), path=[])
