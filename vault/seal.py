"""The only AEAD calls of the project: sealing of data, wrapping of keys, derivation of named keys.

Sealed data (C2SP chunked-encryption, HKDF-Expand-SHA-512 and AES-256-GCM, known as Cobblestone-256):

    0x4D | format 0x01 | algorithm 0x01 | key_id[16] | salt[24] | commitment[32] | chunks

The 19 header bytes are part of the derivation context, so a header that was exchanged, or an
algorithm that was lowered, fails like altered data. Salt and nonce are made here, never by a caller.

A wrapped key: format 0x01 | nonce[12] | AES-256-GCM(key, aad = format | aad).
"""

import os
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from vault.errors import TamperedError

KEY_SIZE: Final = 32
KEY_ID_SIZE: Final = 16

_PREFIX: Final = b"\x4d\x01\x01"
_HEADER_SIZE: Final = len(_PREFIX) + KEY_ID_SIZE
_DOMAIN: Final = b"mydata/vault/seal@v1"

_WRAP_FORMAT: Final = b"\x01"
_NONCE_SIZE: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class SealingKey:
    """A symmetric key and its public name. The secret is in no repr."""

    key_id: bytes
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key_id) != KEY_ID_SIZE or len(self.secret) != KEY_SIZE:
            message = "a sealing key is 16 bytes of id and 32 bytes of secret"
            raise ValueError(message)

    def __eq__(self, other: object) -> bool:
        """In constant time for the secret."""
        if not isinstance(other, SealingKey):
            return NotImplemented
        return self.key_id == other.key_id and compare_digest(self.secret, other.secret)

    def __hash__(self) -> int:
        return hash(self.key_id)


def new_key() -> SealingKey:
    """A random key with a random id."""
    return SealingKey(os.urandom(KEY_ID_SIZE), os.urandom(KEY_SIZE))


def context_of(*parts: str | bytes | int) -> bytes:
    """One unambiguous context from parts; by custom the first is the domain, such as "record@v1".

    Every part bears its kind and a 32-bit length, so no two lists of parts give the same bytes.
    Integers are unsigned 64 bits (OverflowError beyond).
    """
    encoded = []
    for part in parts:
        match part:
            case str():
                kind, content = b"s", part.encode()
            case bytes():
                kind, content = b"b", part
            case _:
                kind, content = b"i", part.to_bytes(8)
        encoded.append(kind + len(content).to_bytes(4) + content)
    return b"".join(encoded)


def seal(key: SealingKey, context: bytes, plaintext: bytes) -> bytes:
    """Seal plaintext to its context; 91 bytes longer, plus 16 for every full 16 KiB."""
    header = _PREFIX + key.key_id
    encryptor = Cobblestone256Encryptor(key.secret, _DOMAIN + header + context)
    return b"".join((header, encryptor.update(plaintext), encryptor.finalize()))


def open_sealed(key: SealingKey, context: bytes, sealed: bytes) -> bytes:
    """The plaintext of `seal`. TamperedError if one bit, the length, the key or the context is another."""
    if sealed_key_id(sealed) != key.key_id:
        raise TamperedError
    header = sealed[:_HEADER_SIZE]
    decryptor = Cobblestone256Decryptor(key.secret, _DOMAIN + header + context)
    try:
        # Not given out before finalize(): until then the message may still prove truncated.
        chunks = decryptor.update(memoryview(sealed)[_HEADER_SIZE:])
        return chunks + decryptor.finalize()
    except InvalidTag:
        raise TamperedError from None


def sealed_key_id(sealed: bytes) -> bytes:
    """The id of the key that sealed data names: a claim, for diagnostics. TamperedError if not our format."""
    if len(sealed) < _HEADER_SIZE or not sealed.startswith(_PREFIX):
        raise TamperedError
    return sealed[len(_PREFIX) : _HEADER_SIZE]


def wrap_key(kek: bytes, aad: bytes, key: bytes) -> bytes:
    """Wrap a 32-byte key under a key-encryption key, bound to `aad`; 61 bytes.

    The nonce is random: one key-encryption key may wrap 2^32 keys (NIST SP 800-38D section 8.3).
    """
    nonce = os.urandom(_NONCE_SIZE)
    return _WRAP_FORMAT + nonce + AESGCM(kek).encrypt(nonce, key, _WRAP_FORMAT + aad)


def unwrap_key(kek: bytes, aad: bytes, wrapped: bytes) -> bytes:
    """The key that `wrap_key` wrapped; TamperedError for another key, another `aad` or altered bytes."""
    nonce, ciphertext = wrapped[1 : 1 + _NONCE_SIZE], wrapped[1 + _NONCE_SIZE :]
    if wrapped[:1] != _WRAP_FORMAT or len(nonce) != _NONCE_SIZE:
        raise TamperedError
    try:
        return AESGCM(kek).decrypt(nonce, ciphertext, _WRAP_FORMAT + aad)
    except InvalidTag:
        raise TamperedError from None


def derive(root: bytes, info: bytes, length: int = KEY_SIZE) -> bytes:
    """A key for one use from a uniformly random root (RFC 5869 section 2.3, SHA-256)."""
    return HKDFExpand(SHA256(), length, info).derive(root)
