"""C2SP chunked-encryption (SHA-512, AES-256-GCM) a second time, written from its text: an oracle."""

import os
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

CHUNK: Final = 16 * 1024
TAG: Final = 16
SALT: Final = 24
COMMITMENT: Final = 32


def encrypt(key: bytes, context: bytes, message: bytes, salt: bytes | None = None) -> bytes:
    """salt || commitment || chunks, the last one shorter than 16 KiB and maybe empty."""
    salt = salt or os.urandom(SALT)
    aead, base_nonce, commitment = _derive(key, salt, context)
    chunks = [
        aead.encrypt(_nonce(base_nonce, number), message[start : start + CHUNK], None)
        for number, start in enumerate(range(0, len(message) + 1, CHUNK))
    ]
    return salt + commitment + b"".join(chunks)


def decrypt(key: bytes, context: bytes, ciphertext: bytes) -> bytes:
    """ValueError for another key or context or a bad length, InvalidTag for altered chunks."""
    salt, commitment, body = (
        ciphertext[:SALT],
        ciphertext[SALT : SALT + COMMITMENT],
        ciphertext[SALT + COMMITMENT :],
    )
    aead, base_nonce, expected = _derive(key, salt, context)
    if commitment != expected:
        raise ValueError("another key or context")
    pieces = [body[start : start + CHUNK + TAG] for start in range(0, len(body), CHUNK + TAG)]
    if not pieces or len(pieces[-1]) == CHUNK + TAG:
        raise ValueError("truncated")
    return b"".join(
        aead.decrypt(_nonce(base_nonce, number), piece, None) for number, piece in enumerate(pieces)
    )


def _derive(key: bytes, salt: bytes, context: bytes) -> tuple[AESGCM, bytes, bytes]:
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + context
    derived = HKDFExpand(SHA512(), 32 + 12 + 32, info).derive(key)
    return AESGCM(derived[:32]), derived[32:44], derived[44:]


def _nonce(base_nonce: bytes, number: int) -> bytes:
    return (int.from_bytes(base_nonce) ^ number).to_bytes(len(base_nonce))
