"""Signing the head: one note for a size, and none for a log that was rolled back or edited."""

import base64
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from sqlmodel import col, delete, select, update

from consent.ledger.checkpoint import NoteKey, newest_checkpoint, sign_head
from consent.ledger.entries import append
from consent.ledger.errors import LogDamagedError, LogForkError, LogKeyInvalidError, NoteInvalidError
from consent.ledger.models import LedgerCheckpoint, LedgerEntry, LedgerHead
from consent.ledger.notes import Checkpoint
from consent.ledger.tree import EMPTY_ROOT, extend, leaf_hash, root
from consent.ledger.verify.note import open_checkpoint, parse_vkey
from tests.consent.ledger.making import NOW, ORIGIN, fill, fixed_key, made_entry, made_key, pem_of, sign
from tests.databases import Databases


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\x00b", "\u2028"])
def test_an_origin_that_cannot_be_a_key_name_is_refused(origin: str) -> None:
    with pytest.raises(LogKeyInvalidError):
        made_key(origin)


def test_another_kind_of_key_is_refused() -> None:
    p256 = ec.generate_private_key(ec.SECP256R1())
    sealed = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")
    )
    for pem in (
        p256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        sealed,
        b"",
        b"no key",
    ):
        with pytest.raises(LogKeyInvalidError):
            NoteKey(pem, ORIGIN)


def test_a_key_never_shows_itself() -> None:
    key = Ed25519PrivateKey.generate()
    shown = repr(NoteKey(pem_of(key), ORIGIN))
    assert shown.startswith(f"NoteKey('{ORIGIN}', ")
    assert key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex() not in shown


def test_a_verifier_key_made_by_others() -> None:
    # the example key of golang.org/x/mod/sumdb/note
    seed = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
    key = NoteKey(pem_of(Ed25519PrivateKey.from_private_bytes(seed)), "PeterNeumann")
    assert key.vkey == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_an_empty_log_can_be_signed(databases: Databases) -> None:
    key = made_key()
    assert sign(databases.data, key).root == EMPTY_ROOT
    with databases.data.read() as session:
        newest = newest_checkpoint(session)
    assert newest is not None
    assert newest.note.startswith(
        f"{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 {ORIGIN} "
    )


def test_the_checkpoint_is_that_of_the_committed_head(databases: Databases) -> None:
    key = made_key()
    with databases.data.read() as session:
        assert newest_checkpoint(session) is None
    fill(databases.data, 5)
    checkpoint = sign(databases.data, key)
    assert checkpoint.size == 5
    assert checkpoint.root == root(
        *extend(0, b"", [leaf_hash(made_entry(number).leaf()) for number in range(5)])
    )
    head = open_checkpoint(checkpoint.note.encode(), parse_vkey(key.vkey))
    assert (head.origin, head.size, head.root) == (ORIGIN, 5, checkpoint.root)
    key.check(checkpoint)


def test_a_checkpoint_is_signed_once(databases: Databases) -> None:
    key = made_key()
    fill(databases.data, 3)
    first = sign(databases.data, key)
    assert sign(databases.data, key) == first
    assert sign(databases.data, made_key()) == first  # another key, the same size: the stored note stands
    with databases.data.read() as session:
        assert [row.size for row in session.exec(select(LedgerCheckpoint))] == [3]


def test_two_who_sign_at_once_get_one_note(databases: Databases) -> None:
    fill(databases.data, 3)
    notes: list[Checkpoint] = []
    keys = [made_key(), made_key()]
    signers = [
        threading.Thread(target=lambda key=key: notes.append(sign(databases.data, key))) for key in keys
    ]
    for signer in signers:
        signer.start()
    for signer in signers:
        signer.join(timeout=120)
    assert len(notes) == 2
    assert notes[0] == notes[1]


def test_a_log_that_grew_is_signed_again(databases: Databases) -> None:
    key = made_key()
    for size in (0, 1, 3, 300):
        with databases.data.write() as session:
            append(session, [made_entry(number) for number in range(size)])
        sign(databases.data, key)
    with databases.data.read() as session:
        assert sorted(row.size for row in session.exec(select(LedgerCheckpoint))) == [0, 1, 4, 304]


def test_a_log_behind_its_checkpoint_is_not_signed(databases: Databases) -> None:
    key = made_key()
    fill(databases.data, 5)
    sign(databases.data, key)
    size, frontier = extend(0, b"", [leaf_hash(made_entry(number).leaf()) for number in range(4)])
    with databases.data.write() as session:
        session.exec(delete(LedgerEntry).where(col(LedgerEntry.idx) == 4))
        session.exec(update(LedgerHead).values(size=size, frontier=frontier))
    with pytest.raises(LogForkError) as caught:
        sign(databases.data, key)
    assert (caught.value.signed_size, caught.value.size) == (5, 4)


def test_a_log_that_was_rewritten_is_not_signed(databases: Databases) -> None:
    key = made_key()
    fill(databases.data, 5)
    sign(databases.data, key)
    with databases.data.write() as session:
        session.exec(delete(LedgerEntry))
        session.exec(update(LedgerHead).values(size=0, frontier=b""))
        append(session, [made_entry(number) for number in range(1, 9)])
    with pytest.raises(LogForkError) as caught:
        sign(databases.data, key)
    assert (caught.value.signed_size, caught.value.size) == (5, 8)


def test_a_log_under_another_name_is_not_signed(databases: Databases) -> None:
    fill(databases.data, 1)
    sign(databases.data, made_key())
    with pytest.raises(LogForkError):
        sign(databases.data, made_key("other.example/log"))


def test_a_head_that_does_not_fit_the_entries_is_not_signed(databases: Databases) -> None:
    fill(databases.data, 5)
    with databases.data.write() as session:
        session.exec(
            update(LedgerEntry)
            .where(col(LedgerEntry.idx) == 2)
            .values(leaf=b"edited", leaf_hash=leaf_hash(b"edited"))
        )
    with pytest.raises(LogDamagedError):
        sign(databases.data, made_key())


def test_a_refusal_signs_nothing(databases: Databases) -> None:
    key = made_key()
    fill(databases.data, 2)
    first = sign(databases.data, key)
    with databases.data.write() as session:
        session.exec(update(LedgerHead).values(size=1, frontier=leaf_hash(made_entry(0).leaf())))
    with databases.data.write() as session, pytest.raises(LogForkError):
        sign_head(session, key, now=NOW)
    with databases.data.read() as session:
        assert newest_checkpoint(session) == first


GOOD = fixed_key().sign(7, bytes(32)).note


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        GOOD.replace("\n7\n", "\n07\n"),
        GOOD.replace("\n7\n", "\n+7\n"),
        GOOD.replace("\n7\n", "\n-7\n"),
        GOOD.replace("\n7\n", "\nseven\n"),
        GOOD.replace("\n7\n", "\n7\n\n"),
        GOOD.replace("AAAA=\n", "AAAB=\n"),
        GOOD.replace("AAAA=\n", "=\n"),
        GOOD.replace("AAAAAAAA", ""),
        GOOD.replace("\u2014", "-"),
        GOOD[:-1],
        GOOD.partition("\n\n")[0],
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(note: str) -> None:
    with pytest.raises(NoteInvalidError):
        Checkpoint.parse(note)


def test_a_note_that_the_key_did_not_sign_is_refused(tmp_path: Path) -> None:
    key = made_key()
    note = key.sign(7, bytes(32)).note
    text, _, line = note.partition("\n\n")
    changed = [
        made_key().sign(7, bytes(32)).note,  # another key of the same name
        made_key("other.example/log").sign(7, bytes(32)).note,
        note.replace("\n7\n", "\n8\n"),
        note[:-6] + ("A" if note[-6] != "A" else "B") + note[-5:],
        f"{text}\n\n\u2014 {ORIGIN} !!!\n",
        f"{text}\n\n\u2014 {ORIGIN} AAA\n",
        f"{text}\n\n\u2014 stranger {line.split(' ')[2]}",
    ]
    for wrong in changed:
        with pytest.raises(NoteInvalidError):
            key.check(Checkpoint.parse(wrong))
    key.check(Checkpoint.parse(note))
