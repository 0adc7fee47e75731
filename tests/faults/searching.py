"""Searching files and databases for planted values, whatever these were written as, and wrapped in what."""

import binascii
import hashlib
import re
import sqlite3
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

import psycopg
from psycopg import sql

_CODECS: Final = ("utf-8", "utf-16-le", "cp949")
_FORMS: Final[tuple[Literal["NFC"], Literal["NFD"]]] = ("NFC", "NFD")
_WRAPPINGS: Final = 2  # base64 of JSON escapes, hex of a URL; not more
_DIGITS: Final = frozenset(b"0123456789")
_HEX_DIGITS: Final = _DIGITS | frozenset(b"abcdefABCDEF")
_AMOUNT_DIGITS: Final = 9  # so few stand in a longer number by chance

# Whatever wraps bytes into text is printable, and no planted value is shorter than eight of them.
_PRINTABLE: Final = re.compile(rb"[ -~]{8,}")
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{16,}")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{11,}")
_URL_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")
_UNICODE_ESCAPES: Final = re.compile(rb"(?:\\+u[0-9A-Fa-f]{4})+")
_BYTE_ESCAPES: Final = re.compile(rb"\\+x([0-9A-Fa-f]{2})")
_PERCENT: Final = re.compile(rb"%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, order=True)
class Hit:
    """A planted value that was found: where, which, and as what. The value itself stands nowhere."""

    place: str
    name: str
    form: str


class Search:
    """A search for named values; each is looked for in every encoding that can hold it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._needles = [
            (needle, name, codec) for name, value in values.items() for codec, needle in _needles(value)
        ]
        self._in_ascii = [(needle, name) for needle, name, _ in self._needles if needle.isascii()]

    def in_bytes(self, content: bytes, place: str) -> set[Hit]:
        """Every value in these bytes, plain or wrapped."""
        # Most of a new WAL segment is zeros, of which searching makes heavy weather.
        return set(self._found(content.replace(bytes(64), bytes(8)), place, "", _WRAPPINGS))

    def in_file(self, path: Path, place: str) -> set[Hit]:
        """Every value in a file; a file that has gone in the meantime has nothing in it."""
        try:
            return self.in_bytes(path.read_bytes(), place)
        except FileNotFoundError:
            return set()

    def in_folder(
        self, folder: Path, *, but: Collection[Path] = (), known: Collection[bytes] = ()
    ) -> tuple[set[Hit], set[str]]:
        """Every value below a folder, and the files that were searched, by their paths in it.

        Not searched: what lies below `but`, and contents whose digest is `known`.
        """
        hits: set[Hit] = set()
        searched: set[str] = set()
        for path in files_in(folder, but=but):
            place = str(path.relative_to(folder))
            searched.add(place)
            if not known or digest_of(path) not in known:
                hits |= self.in_file(path, place)
        hits |= self.in_bytes("\n".join(searched).encode(), "names of files")
        return hits, searched

    def _found(self, content: bytes, place: str, wrapped: str, wrappings: int) -> Iterator[Hit]:
        found = {needle for needle, _, _ in self._needles if _holds(content, needle)}
        for needle, name, codec in self._needles:
            if needle in found:
                yield Hit(place, name, f"{wrapped}{codec}")
        # UTF-16 of ASCII is ASCII with zeros in between.
        without_zeros = content.replace(b"\0", b"")
        for needle, name in self._in_ascii if len(without_zeros) < len(content) else ():
            if needle not in found and _holds(without_zeros, needle):
                yield Hit(place, name, f"{wrapped}utf-16")
        if wrappings:
            for wrapping, inner in unwrapped(content):
                yield from self._found(inner, place, f"{wrapped}{wrapping} of ", wrappings - 1)


def names(hits: Iterable[Hit]) -> set[str]:
    """What was found, wherever."""
    return {hit.name for hit in hits}


def files_in(folder: Path, *, but: Collection[Path] = ()) -> Iterator[Path]:
    """Every regular file below a folder, in order; nothing below `but`."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(path.is_relative_to(other) for other in but):
            yield path


def digest_of(path: Path) -> bytes:
    """SHA-256 of a file; of nothing, if it has gone."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except FileNotFoundError:
        return hashlib.sha256(b"").digest()


def unwrapped(content: bytes) -> Iterator[tuple[str, bytes]]:
    """What the texts in some bytes say once hex, base64 (wherever it begins) and escapes are undone."""
    text = b"\n".join(_PRINTABLE.findall(content))
    runs = _HEX.findall(text)
    for start in (0, 1) if runs else ():
        yield "hex", b"\n".join(_from_hex(run[start:]) for run in runs)
    runs = _BASE64.findall(text)
    for start in range(4) if runs else ():
        yield "base64", b"\n".join(_from_base64(run[start:]) for run in runs)
    if _UNICODE_ESCAPES.search(text):
        yield "\\u", _UNICODE_ESCAPES.sub(lambda found: _from_escapes(found[0]), text)
    if _BYTE_ESCAPES.search(text):
        yield "\\x", _BYTE_ESCAPES.sub(lambda found: bytes.fromhex(found[1].decode()), text)
    if _PERCENT.search(text):
        yield "URL", unquote_to_bytes(text.replace(b"+", b" "))


def sqlite_rows(path: Path) -> bytes:
    """Every value of every row of a SQLite file: whole, and numbers in digits."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return _as_bytes(row for (table,) in tables for row in connection.execute(f'SELECT * FROM "{table}"'))


def postgresql_rows(url: str) -> bytes:
    """Every value of every row of a PostgreSQL database: out of TOAST, unpacked, and numbers in digits."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        return _as_bytes(
            row
            for names in tables
            for row in connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*names)))
        )


def _as_bytes(rows: Iterable[tuple[object, ...]]) -> bytes:
    return b"\n".join(
        value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row
    )


def _needles(value: str) -> set[tuple[str, bytes]]:
    """A value as bytes: composed and decomposed, as it is and in small letters, in each codec that has it.

    ASCII is alike in all of them; in UTF-16 it is looked for in another way.
    """
    needles = set()
    for text in {value, value.lower()}:
        for form in _FORMS:
            for codec in _CODECS[: 1 if text.isascii() else None]:
                try:
                    needles.add((codec, unicodedata.normalize(form, text).encode(codec)))
                except UnicodeEncodeError:  # CP949 has no single jamo of these
                    continue
    return {(min(codec for codec, same in needles if same == needle), needle) for _, needle in needles}


def _holds(content: bytes, needle: bytes) -> bool:
    """Whether the bytes hold the needle.

    Digits in the midst of hexadecimal digits are somebody's digest; an amount's with a further digit beside
    them are an instant's.
    """
    at = content.find(needle)
    if not needle.isdigit():
        return at >= 0
    while at >= 0:
        around = content[max(at - 1, 0) : at] + content[at + len(needle) : at + len(needle) + 1]
        is_in_digest = len(around) == 2 and _HEX_DIGITS.issuperset(around)
        is_in_instant = len(needle) <= _AMOUNT_DIGITS and not _DIGITS.isdisjoint(around)
        if not is_in_digest and not is_in_instant:
            return True
        at = content.find(needle, at + 1)
    return False


def _from_hex(run: bytes) -> bytes:
    return bytes.fromhex(run[: len(run) // 2 * 2].decode())


def _from_base64(run: bytes) -> bytes:
    return binascii.a2b_base64(run.translate(_URL_ALPHABET) + b"A" * (-len(run) % 4))


def _from_escapes(run: bytes) -> bytes:
    units = bytes.fromhex(re.sub(rb"\\+u", b"", run).decode())
    return units.decode("utf-16-be", "replace").encode()
