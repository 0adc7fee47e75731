"""A blind index finds what is equal, and says nothing without its key."""

import hashlib
import hmac
import unicodedata

from vault.index import blind_index, keyed_digest

KEY = b"i" * 32


def test_another_key_or_value_gives_another_index() -> None:
    assert len({blind_index(KEY, "P-1"), blind_index(KEY, "P-2"), blind_index(b"j" * 32, "P-1")}) == 3


def test_the_two_spellings_of_one_syllable_find_each_other() -> None:
    composed, decomposed = unicodedata.normalize("NFC", "한빛"), unicodedata.normalize("NFD", "한빛")
    assert composed != decomposed
    assert blind_index(KEY, composed) == blind_index(KEY, decomposed)


def test_it_is_hmac_sha_256() -> None:
    assert blind_index(KEY, "P-1") == hmac.new(KEY, b"P-1", hashlib.sha256).digest()
    assert keyed_digest(KEY, b"\xff") == hmac.new(KEY, b"\xff", hashlib.sha256).digest()
