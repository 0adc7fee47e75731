"""What each record of a file said first, so that a later line which contradicts it is noticed.

Keyed digests only, in a temporary database that SQLite keeps out of memory once it has grown, and removes:
the memory of an import does not grow with its file. The key goes with the process.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

_KEY_BYTES: Final = 32
_DIGEST_BYTES: Final = 16
_CACHE_KIB: Final = 2048
_FIRST_SAID: Final = """
    INSERT INTO said (name, content, is_at_odds) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET is_at_odds = is_at_odds OR excluded.is_at_odds
        OR content <> excluded.content
    RETURNING is_at_odds
"""


class SaidBefore:
    """The records of one file, by name; closed at its end."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute(
            "CREATE TABLE said (name BLOB PRIMARY KEY, content BLOB NOT NULL, is_at_odds INTEGER NOT NULL)"
            " WITHOUT ROWID"
        )
        self._rows.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def is_contradicted(self, name: Sequence[str], content: bytes, *, is_at_odds: bool = False) -> bool:
        """Whether records of this name contradict each other so far: once they do, every further one does.

        `is_at_odds`: the caller knows that they do.
        """
        said = self._digest(content)
        parts = (part.encode() for part in name)
        named = self._digest(b"".join(len(part).to_bytes(4) + part for part in parts))
        ((is_contradicted,),) = self._rows.execute(_FIRST_SAID, (named, said, is_at_odds)).fetchall()
        return bool(is_contradicted)

    def _digest(self, content: bytes) -> bytes:
        return hashlib.blake2b(content, key=self._key, digest_size=_DIGEST_BYTES).digest()
