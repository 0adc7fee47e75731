"""Blind indexes: what must be found by exact value is found by its keyed hash, never by the value."""

import hashlib
import hmac
import unicodedata


def blind_index(key: bytes, value: str) -> bytes:
    """HMAC-SHA-256 of a value under the key of its field; 32 bytes.

    The value is NFC-normalised, so the two spellings of one Hangul syllable find each other. Any
    other canonical form (upper case, digits only) is the caller's.
    """
    return keyed_digest(key, unicodedata.normalize("NFC", value).encode())


def keyed_digest(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA-256 of bytes as they are; 32 bytes."""
    return hmac.digest(key, content, hashlib.sha256)
