"""Verifier keys and checkpoints: read strictly, and never signed by halves."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.verify import FalsifiedError, SignedHead, VerifierKeyInvalidError, open_checkpoint
from consent.ledger.verify.note import decode_base64, parse_vkey
from tests.consent.ledger.making import ORIGIN, made_key

ROOT = bytes(range(32))
ROOT_TEXT = base64.b64encode(ROOT).decode()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = b"\x01" + PRIVATE.public_key().public_bytes_raw()
KEY_ID = hashlib.sha256(ORIGIN.encode() + b"\n" + PUBLIC).digest()[:4]
VKEY = f"{ORIGIN}+{KEY_ID.hex()}+{base64.b64encode(PUBLIC).decode()}"
KEY = parse_vkey(VKEY)


def line(text: str, name: str = ORIGIN, key_id: bytes = KEY_ID) -> str:
    return f"\u2014 {name} {base64.b64encode(key_id + PRIVATE.sign(text.encode())).decode()}\n"


def note(text: str) -> bytes:
    """Whatever text, with a signature that is good."""
    return f"{text}\n{line(text)}".encode()


TEXT = f"{ORIGIN}\n7\n{ROOT_TEXT}\n"
HEAD = SignedHead(ORIGIN, 7, ROOT)


@pytest.mark.parametrize(
    "vkey",
    [
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
    ],
)
def test_verifier_keys_made_by_others(vkey: str) -> None:
    assert parse_vkey(vkey).name == vkey.partition("+")[0]


def named(name: str, public: bytes = PUBLIC) -> str:
    key_id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(public).decode()}"


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "+",
        "++",
        ORIGIN,
        VKEY.rpartition("+")[0],
        VKEY + "=",
        VKEY + "\n",
        VKEY.replace(ORIGIN, "other"),
        VKEY.replace(KEY_ID.hex(), "00000000"),
        VKEY.replace(KEY_ID.hex(), f"{KEY_ID.hex()}0"),
        VKEY.replace("+A", "+?"),
        named(""),
        named("a b"),
        named("a\u00a0b"),
        named("a\x00b"),
        named("a" * 1025),
        named(ORIGIN, b"\x02" + PUBLIC[1:]),
        named(ORIGIN, PUBLIC[:-1]),
        named(ORIGIN, PUBLIC + b"\x00"),
        named(ORIGIN, b""),
    ],
)
def test_a_text_that_is_no_verifier_key(vkey: str) -> None:
    with pytest.raises(VerifierKeyInvalidError):
        parse_vkey(vkey)


def test_a_good_checkpoint() -> None:
    assert open_checkpoint(note(TEXT), KEY) == HEAD
    empty = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    assert open_checkpoint(note(f"{ORIGIN}\n0\n{empty}\n"), KEY).size == 0
    assert open_checkpoint(note(f"{TEXT}an extension\n"), KEY) == HEAD


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n", "three lines"),
        (f"{ORIGIN}\n", "three lines"),
        (f"{ORIGIN}\n7\n", "three lines"),
        (f"{ORIGIN}\n\n{ROOT_TEXT}\n", "empty one"),
        (f"\n7\n{ROOT_TEXT}\n", "empty one"),
        (f"{TEXT}\nafter a blank line\n", "empty one"),
        (f"other\n7\n{ROOT_TEXT}\n", "origin"),
        (f"{ORIGIN}\n07\n{ROOT_TEXT}\n", "size"),
        (f"{ORIGIN}\n-7\n{ROOT_TEXT}\n", "size"),
        (f"{ORIGIN}\n+7\n{ROOT_TEXT}\n", "size"),
        (f"{ORIGIN}\n7 \n{ROOT_TEXT}\n", "size"),
        (f"{ORIGIN}\n\u0667\n{ROOT_TEXT}\n", "size"),
        (f"{ORIGIN}\n{'9' * 20}\n{ROOT_TEXT}\n", "size"),
        (f"{ORIGIN}\n7\n{ROOT_TEXT[:-4]}\n", "root"),
        (f"{ORIGIN}\n7\n{ROOT_TEXT[:-2]}9=\n", "root"),
        (f"{ORIGIN}\n7\nroot\n", "root"),
        (f"{ORIGIN}\n7\n?\n", "root"),
        (f"{ORIGIN}\n0\n{ROOT_TEXT}\n", "empty tree"),
        (f"{ORIGIN}\n7\n{ROOT_TEXT}\r\n", "control"),
        (f"{ORIGIN}\n7\n{ROOT_TEXT}\nx\x00\n", "control"),
    ],
)
def test_a_signature_does_not_make_a_checkpoint_of_anything(text: str, reason: str) -> None:
    with pytest.raises(FalsifiedError, match=reason):
        open_checkpoint(note(text), KEY)


@pytest.mark.parametrize(
    ("raw_note", "reason"),
    [
        (b"", "not a signed note"),
        (b"\xff", "UTF-8"),
        (TEXT.encode(), "not a signed note"),
        (f"{TEXT}\n".encode(), "not a signed note"),
        (f"{TEXT}\n{line(TEXT)}".encode()[:-1], "not a signed note"),
        (f"{TEXT}\n\n".encode(), "not a signed note"),
        (f"{TEXT}\n{line(TEXT)[1:]}".encode(), "malformed"),
        (f"{TEXT}\n-{line(TEXT)[1:]}".encode(), "malformed"),
        (f"{TEXT}\n{line(TEXT)}no signature\n".encode(), "malformed"),
        (f"{TEXT}\n{line(TEXT, name='a b')}".encode(), "malformed"),
        (f"{TEXT}\n{line(TEXT, name='a+b')}".encode(), "malformed"),
        (f"{TEXT}\n\u2014 {ORIGIN} AAAA\n".encode(), "malformed"),
        (f"{TEXT}\n\u2014 {ORIGIN} A=AA\n".encode(), "malformed"),
        (f"{TEXT}\n\u2014 {ORIGIN} \n".encode(), "malformed"),
        (f"{TEXT}\n{line(TEXT, name='stranger')}".encode(), "no signature"),
        (f"{TEXT}\n{line(TEXT, key_id=b'xxxx')}".encode(), "no signature"),
        (f"{TEXT}\n{line('another text')}".encode(), "not valid"),
        (f"{TEXT}\n{line(TEXT)}{line('another text')}".encode(), "not valid"),
        (f"{TEXT}\n{line('another text')}{line(TEXT)}".encode(), "not valid"),
    ],
)
def test_a_note_without_a_good_signature(raw_note: bytes, reason: str) -> None:
    with pytest.raises(FalsifiedError, match=reason):
        open_checkpoint(raw_note, KEY)


def test_signatures_of_strangers_are_passed_over() -> None:
    strangers = "".join(line("whatever", name=f"witness{number}.example") for number in range(16))
    assert open_checkpoint(f"{TEXT}\n{strangers}{line(TEXT)}{strangers}".encode(), KEY) == HEAD


def test_the_writers_note_is_read() -> None:
    key = made_key()
    assert open_checkpoint(key.sign(7, ROOT).note.encode(), parse_vkey(key.vkey)) == HEAD


@given(st.binary(max_size=300))
def test_no_bytes_make_it_stumble(raw_note: bytes) -> None:
    with pytest.raises(FalsifiedError):
        open_checkpoint(raw_note, KEY)


@given(st.binary(max_size=50))
def test_base64_has_one_spelling(content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    assert decode_base64(encoded) == content
    assert decode_base64(f"{encoded}\n") is None
    assert decode_base64(f"{encoded}?") is None
    assert decode_base64("\u00e9") is None
    assert decode_base64("AAB=") is None
