"""Proofs out of the database, verified by the verifier that shares no code with it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.entries import append
from consent.ledger.errors import NotInLogError
from consent.ledger.proof import consistency_proof, inclusion_proof
from consent.ledger.tiles import build_tiles
from consent.ledger.tree import leaf_hash
from consent.ledger.verify import (
    FalsifiedError,
    SignedHead,
    VerifierKeyInvalidError,
    verify_consistency,
    verify_proof,
)
from tests.consent.ledger.making import ORIGIN, fill, fixed_key, made_entry, made_key, sign
from tests.databases import Databases


def test_no_proof_before_the_first_checkpoint_or_beyond_the_newest(databases: Databases) -> None:
    fill(databases.data, 2)
    with databases.data.read() as session, pytest.raises(NotInLogError):
        inclusion_proof(session, 0)
    sign(databases.data, made_key())
    with databases.data.write() as session:
        append(session, [made_entry(2)])
    with databases.data.read() as session:
        for index in (-1, 2, 3):
            with pytest.raises(NotInLogError):
                inclusion_proof(session, index)
        for sizes in ((0, 4), (2, 1), (-1, 1)):
            with pytest.raises(NotInLogError):
                consistency_proof(session, *sizes)


@pytest.mark.parametrize("size", [1, 2, 7, 256, 257, 600])
def test_each_entry_is_proven_under_its_own_index_only(size: int, sqlite_databases: Databases) -> None:
    key = made_key()
    fill(sqlite_databases.data, size)
    with sqlite_databases.data.write() as session:
        build_tiles(session)
    checkpoint = sign(sqlite_databases.data, key)
    head = SignedHead(ORIGIN, size, checkpoint.root)
    with sqlite_databases.data.read() as session:
        for index in {0, size // 2, size - 1}:
            proof = inclusion_proof(session, index).encode()
            assert verify_proof(proof, made_entry(index).leaf(), key.vkey) == (index, head)
            with pytest.raises(FalsifiedError):
                verify_proof(proof, made_entry(index + 1).leaf(), key.vkey)
            with pytest.raises(FalsifiedError):
                verify_proof(proof, made_entry(index).leaf(), made_key().vkey)


def test_the_log_is_proven_to_have_only_grown(databases: Databases) -> None:
    key = made_key()
    roots = {}
    for count in (1, 2, 254, 300):
        fill(databases.data, count)
        checkpoint = sign(databases.data, key)
        roots[checkpoint.size] = checkpoint.root
    with databases.data.read() as session:
        for old, new in itertools.combinations_with_replacement(roots.items(), 2):
            path = consistency_proof(session, old[0], new[0])
            assert verify_consistency(old, new, path=path)


KEY = fixed_key()
ENTRY = b"the entry"


def proof_of_one() -> str:

    return f"c2sp.org/tlog-proof@v1\nindex 0\n\n{KEY.sign(1, leaf_hash(ENTRY)).note}"


GOOD = proof_of_one()


def test_a_proof_may_bring_extra_data() -> None:
    assert verify_proof(GOOD.encode(), ENTRY, KEY.vkey)[0] == 0
    with_extra = GOOD.replace("index", "extra AAAA\nindex")
    assert verify_proof(with_extra.encode(), ENTRY, KEY.vkey)[0] == 0


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        ("", "tlog-proof"),
        ("\n\n", "tlog-proof"),
        (GOOD.replace("@v1", "@v2"), "tlog-proof"),
        (GOOD.replace("tlog", "tl\u00f6g"), "tlog-proof"),
        (GOOD.partition("\n\n")[0], "tlog-proof"),
        (GOOD.replace("index 0\n", ""), "index"),
        (GOOD.replace("index 0", "index 00"), "index"),
        (GOOD.replace("index 0", "index -1"), "index"),
        (GOOD.replace("index 0", "index  0"), "index"),
        (GOOD.replace("index 0", "Index 0"), "index"),
        (GOOD.replace("index 0", "index 1"), "at index 1"),
        (GOOD.replace("index", "extra ?\nindex"), "extra"),
        (GOOD.replace("index", "extra AAAA\nextra AAAA\nindex"), "index"),
        (GOOD.replace("index 0\n", "index 0\nAAAA\n"), "a hash"),
        (GOOD.replace("index 0\n", "index 0\nAAA?\n"), "a hash"),
        (GOOD.replace("index 0\n", f"index 0\n{'A' * 43}=\n"), "at index 0"),
        (GOOD.replace(f"{ORIGIN}\n1\n", f"{ORIGIN}\n2\n"), "signature"),
    ],
)
def test_a_malformed_or_changed_proof_does_not_hold(proof: str, reason: str) -> None:
    with pytest.raises(FalsifiedError, match=reason):
        verify_proof(proof.encode(), ENTRY, KEY.vkey)


def test_a_key_that_is_none_is_not_the_proofs_fault() -> None:
    with pytest.raises(VerifierKeyInvalidError):
        verify_proof(GOOD.encode(), ENTRY, "no key")


@given(st.binary(max_size=300))
def test_no_bytes_make_the_verifier_stumble(raw_proof: bytes) -> None:
    with pytest.raises(FalsifiedError):
        verify_proof(b"c2sp.org/tlog-proof@v1\n" + raw_proof, ENTRY, KEY.vkey)
