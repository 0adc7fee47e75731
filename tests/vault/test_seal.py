"""Sealing refuses whatever is not exactly what was sealed, where it was sealed (V05 to V08, V12, V20)."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.vault import second_cobblestone
from vault.errors import TamperedError
from vault.seal import (
    SealingKey,
    context_of,
    derive,
    new_key,
    open_sealed,
    seal,
    sealed_key_id,
    unwrap_key,
    wrap_key,
)

KEY = SealingKey(b"k" * 16, b"s" * 32)
CONTEXT = context_of("test@v1", "row", 7)
HEADER_SIZE = 19
DOMAIN = b"mydata/vault/seal@v1"
CHUNK = 16 * 1024
SEALED_CHUNK = CHUNK + 16
FIRST_CHUNK = HEADER_SIZE + 24 + 32


@pytest.mark.parametrize("position", range(HEADER_SIZE))
def test_a_header_that_says_something_else_is_refused(position: int) -> None:
    sealed = bytearray(seal(KEY, CONTEXT, b"plaintext"))
    sealed[position] ^= 0x01
    with pytest.raises(TamperedError):
        open_sealed(KEY, CONTEXT, bytes(sealed))


def test_a_key_id_exchanged_in_header_and_key_is_refused() -> None:
    sealed = seal(KEY, CONTEXT, b"plaintext")
    renamed = SealingKey(b"x" * 16, KEY.secret)
    moved = sealed[:3] + renamed.key_id + sealed[HEADER_SIZE:]
    with pytest.raises(TamperedError):
        open_sealed(renamed, CONTEXT, moved)


def test_every_truncation_is_refused() -> None:
    sealed = seal(KEY, CONTEXT, b"p" * 100)
    for length in range(len(sealed)):
        with pytest.raises(TamperedError):
            open_sealed(KEY, CONTEXT, sealed[:length])


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_cut_at_a_chunk_border_is_refused(chunks: int) -> None:
    sealed = seal(KEY, CONTEXT, os.urandom(3 * CHUNK))
    with pytest.raises(TamperedError):
        open_sealed(KEY, CONTEXT, sealed[: FIRST_CHUNK + chunks * SEALED_CHUNK])


def test_every_flipped_byte_is_refused() -> None:
    sealed = seal(KEY, CONTEXT, b"p" * 100)
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 0x80
        with pytest.raises(TamperedError):
            open_sealed(KEY, CONTEXT, bytes(altered))


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 2), (0, 1, 1, 2), (0, 2), (2, 1, 0)])
def test_chunks_reordered_doubled_or_dropped_are_refused(order: tuple[int, ...]) -> None:
    sealed = seal(KEY, CONTEXT, os.urandom(2 * CHUNK + 10))
    starts = range(FIRST_CHUNK, len(sealed), SEALED_CHUNK)
    chunks = [sealed[start : start + SEALED_CHUNK] for start in starts]
    with pytest.raises(TamperedError):
        open_sealed(KEY, CONTEXT, sealed[:FIRST_CHUNK] + b"".join(chunks[number] for number in order))


def test_another_key_of_the_same_name_is_refused() -> None:
    with pytest.raises(TamperedError):
        open_sealed(SealingKey(KEY.key_id, b"t" * 32), CONTEXT, seal(KEY, CONTEXT, b"plaintext"))


def test_a_chunk_that_is_valid_under_another_key_is_refused_by_the_commitment() -> None:
    """What breaks plain GCM: a ciphertext made to open under two keys. The commitment names one key."""
    sealed = seal(KEY, CONTEXT, b"plaintext")
    other = SealingKey(KEY.key_id, b"t" * 32)
    other_sealed = seal(other, CONTEXT, b"plaintext")
    mixed = sealed[:FIRST_CHUNK] + other_sealed[FIRST_CHUNK:]
    for key in (KEY, other):
        with pytest.raises(TamperedError):
            open_sealed(key, CONTEXT, mixed)


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(TamperedError):
        open_sealed(KEY, CONTEXT, noise)
    with pytest.raises(TamperedError):
        open_sealed(KEY, CONTEXT, b"\x4d\x01\x01" + KEY.key_id + noise)
    with pytest.raises(TamperedError):
        unwrap_key(KEY.secret, CONTEXT, noise)
    with pytest.raises(TamperedError):
        unwrap_key(KEY.secret, CONTEXT, b"\x01" + noise)


@given(plaintext=st.binary(max_size=300), data=st.data())
def test_whatever_is_done_to_the_bytes_nothing_comes_out(plaintext: bytes, data: st.DataObject) -> None:
    sealed = seal(KEY, CONTEXT, plaintext)
    position = data.draw(st.integers(0, len(sealed) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(sealed)
    flipped[position] ^= 1 << bit
    extension = data.draw(st.binary(min_size=1, max_size=40))
    for altered in (bytes(flipped), sealed[:position], sealed + extension):
        with pytest.raises(TamperedError):
            open_sealed(KEY, CONTEXT, altered)


@given(context=st.binary(max_size=60), other=st.binary(max_size=60), plaintext=st.binary(max_size=60))
def test_only_its_own_context_opens(context: bytes, other: bytes, plaintext: bytes) -> None:
    sealed = seal(KEY, context, plaintext)
    assert open_sealed(KEY, context, sealed) == plaintext
    if other != context:
        with pytest.raises(TamperedError):
            open_sealed(KEY, other, sealed)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 50_000])
def test_the_second_implementation_agrees(size: int) -> None:
    plaintext = os.urandom(size)
    sealed = seal(KEY, CONTEXT, plaintext)
    context = DOMAIN + sealed[:HEADER_SIZE] + CONTEXT
    assert second_cobblestone.decrypt(KEY.secret, context, sealed[HEADER_SIZE:]) == plaintext
    theirs = sealed[:HEADER_SIZE] + second_cobblestone.encrypt(KEY.secret, context, plaintext)
    assert open_sealed(KEY, CONTEXT, theirs) == plaintext


Part = st.one_of(st.text(max_size=5), st.binary(max_size=5), st.integers(0, 2**64 - 1))


@given(st.lists(Part, max_size=4), st.lists(Part, max_size=4))
def test_no_two_lists_of_parts_share_a_context(
    one: list[str | bytes | int], two: list[str | bytes | int]
) -> None:
    assert (context_of(*one) == context_of(*two)) == (one == two)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_that_does_not_fit_a_context_is_an_error(number: int) -> None:
    with pytest.raises(OverflowError):
        context_of("test@v1", number)


@pytest.mark.parametrize(("key_id", "secret"), [(b"k" * 15, b"s" * 32), (b"k" * 16, b"s" * 31), (b"", b"")])
def test_a_key_of_another_size_is_no_key(key_id: bytes, secret: bytes) -> None:
    with pytest.raises(ValueError, match="sealing key"):
        SealingKey(key_id, secret)


def test_a_key_does_not_show_its_secret_and_compares_by_it() -> None:
    assert "ssss" not in repr(KEY)
    assert SealingKey(b"k" * 16, b"s" * 32) == KEY
    assert SealingKey(b"k" * 16, b"t" * 32) != KEY
    assert SealingKey(b"j" * 16, b"s" * 32) != KEY
    assert KEY != "ssss"
    assert len({KEY, SealingKey(b"k" * 16, b"s" * 32)}) == 1


def test_sealing_twice_never_repeats_salts_nonces_or_keys() -> None:
    wraps = {wrap_key(KEY.secret, b"", b"key")[1:13] for _ in range(20_000)}
    seals = {seal(KEY, b"", b"")[HEADER_SIZE : HEADER_SIZE + 24] for _ in range(5_000)}
    keys = {new_key().secret for _ in range(5_000)}
    assert (len(wraps), len(seals), len(keys)) == (20_000, 5_000, 5_000)


def test_a_fork_does_not_repeat_a_nonce() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, wrap_key(KEY.secret, b"", b"key")[1:13])
        os._exit(0)
    mine = wrap_key(KEY.secret, b"", b"key")[1:13]
    os.waitpid(child, 0)
    with open(reader, "rb", buffering=0) as theirs:  # noqa: PTH123 - a pipe
        os.close(writer)
        assert theirs.read(12) != mine


def test_a_wrapped_key_opens_under_its_key_and_context_only() -> None:
    wrapped = wrap_key(KEY.secret, b"here", b"x" * 32)
    assert unwrap_key(KEY.secret, b"here", wrapped) == b"x" * 32
    refused = [
        (b"t" * 32, b"here", wrapped),
        (KEY.secret, b"there", wrapped),
        (KEY.secret, b"here", wrapped[:-1]),
    ]
    refused += [(KEY.secret, b"here", b"\x02" + wrapped[1:])]
    for kek, aad, blob in refused:
        with pytest.raises(TamperedError):
            unwrap_key(kek, aad, blob)


def test_a_wrap_without_the_format_byte_in_its_context_is_refused() -> None:
    nonce = os.urandom(12)
    with pytest.raises(TamperedError):
        unwrap_key(
            KEY.secret, b"here", b"\x01" + nonce + AESGCM(KEY.secret).encrypt(nonce, b"x" * 32, b"here")
        )


def test_the_key_id_of_sealed_data_can_be_read() -> None:
    assert sealed_key_id(seal(KEY, CONTEXT, b"")) == KEY.key_id


def test_derived_keys_differ_by_use() -> None:
    assert derive(KEY.secret, b"one") != derive(KEY.secret, b"two")
    assert len(derive(KEY.secret, b"one", 48)) == 48
