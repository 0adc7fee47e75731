"""The canary test's search itself: that it finds whatever is there. One that finds nothing shows nothing."""

import base64
import json
import sqlite3
import unicodedata
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import quote, quote_plus

import psycopg
import pytest

from tests.faults import canaries
from tests.faults.searching import Search, names, postgresql_rows, sqlite_rows
from tests.postgres import Cluster

NOISE: Final = Random(4471).randbytes(5000)
SAMPLES: Final = {
    "name": canaries.NAME,
    "RRN": canaries.RRN,
    "KCD code": canaries.KCD,
    "address": canaries.ADDRESS,
    "amount": str(canaries.ASKED.won),
}
Write = Callable[[str], bytes]
WRITTEN_AS: Final[dict[str, Write]] = {
    "UTF-8": str.encode,
    "UTF-16LE": lambda text: text.encode("utf-16-le"),
    "CP949": lambda text: text.encode("cp949"),
    "NFC": lambda text: unicodedata.normalize("NFC", text).encode(),
    "NFD": lambda text: unicodedata.normalize("NFD", text).encode(),
    "small letters": lambda text: text.lower().encode(),
    "JSON escapes": lambda text: json.dumps({"value": text}).encode(),
    "JSON escapes twice": lambda text: json.dumps(json.dumps(text)).encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "HEX": lambda text: text.encode().hex().upper().encode(),
    "hex after a digit": lambda text: b"f" + text.encode().hex().encode(),
    "hex of UTF-16LE": lambda text: text.encode("utf-16-le").hex().encode(),
    "URL": lambda text: quote(text, safe="").encode(),
    "URL of CP949": lambda text: quote(text.encode("cp949"), safe="").encode(),
    "form": lambda text: quote_plus(f"a b {text}").encode(),
    "bytes as Python shows them": lambda text: repr(text.encode()).encode(),
    "base64 of JSON escapes": lambda text: base64.b64encode(json.dumps(text).encode()),
    "base64 of NFD": lambda text: base64.b64encode(unicodedata.normalize("NFD", text).encode()),
    "hex of base64": lambda text: base64.b64encode(text.encode()).hex().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 after one byte": lambda text: base64.b64encode(b"-" + text.encode()),
    "base64 after two bytes": lambda text: base64.b64encode(b"--" + text.encode()),
    "base64url": lambda text: base64.urlsafe_b64encode(b"\xff\xfe\xfb\xef" + text.encode()).rstrip(b"="),
    "base64 in a JWS": lambda text: (
        b"eyJh." + base64.urlsafe_b64encode(json.dumps([text]).encode()) + b".c2ln"
    ),
}


@pytest.mark.parametrize("value", SAMPLES)
@pytest.mark.parametrize("written", WRITTEN_AS)
def test_the_search_finds_a_value_however_it_is_written(tmp_path: Path, written: str, value: str) -> None:
    search = Search(SAMPLES)
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "file"
    file.write_bytes(NOISE)
    assert search.in_folder(tmp_path) == (set(), {"deep/file"})
    file.write_bytes(NOISE + b" " + WRITTEN_AS[written](SAMPLES[value]) + b" " + NOISE)
    hits, _ = search.in_folder(tmp_path)
    assert {(hit.place, hit.name) for hit in hits} == {("deep/file", value)}


def test_the_search_looks_at_names_of_files_and_leaves_out_what_it_is_told_to(tmp_path: Path) -> None:
    search = Search(SAMPLES)
    (tmp_path / f"{canaries.NAME}.jsonl").write_bytes(NOISE)
    assert names(search.in_folder(tmp_path)[0]) == {"name"}
    (tmp_path / "insurer").mkdir()
    (tmp_path / "insurer" / "own").write_text(canaries.RRN)
    assert names(search.in_folder(tmp_path)[0]) == {"name", "RRN"}
    assert names(search.in_folder(tmp_path, but=[tmp_path / "insurer"])[0]) == {"name"}


def test_digits_in_a_digest_are_no_find_and_beside_anything_else_they_are() -> None:
    search = Search({"amount": "918273645"})
    assert search.in_bytes(b"6f0a918273645bb1", "digest") == set()
    for instant in (b"at 9182736450000000.", b"1796083918273645", b"1918273645 won"):
        assert search.in_bytes(instant, "instant") == set()
    assert names(Search({"phone": "01091738264"}).in_bytes(b"101091738264", "text")) == {"phone"}
    for text in (
        b"918273645",
        b'{"won":918273645}',
        b"x918273645a",
        b"a918273645",
        b"6918273645a 918273645,",
    ):
        assert names(search.in_bytes(text, "text")) == {"amount"}


def test_the_search_finds_what_lies_in_rows(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE planted (won INTEGER, sealed BLOB, told TEXT)")
        values = (canaries.ASKED.won, canaries.NAME.encode("cp949"), canaries.RRN)
        connection.execute("INSERT INTO planted VALUES (?, ?, ?)", values)
        connection.commit()
    assert names(Search(SAMPLES).in_bytes(sqlite_rows(path), "rows")) == {"name", "RRN", "amount"}


def test_the_search_finds_what_postgresql_has_packed(postgres: Cluster) -> None:
    url = postgres.create_database("canary_rows")
    try:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE planted (won bigint, sealed bytea, told text)")
            packed = "가나다라" * 5000
            values = (canaries.ASKED.won, f"{packed}{canaries.NAME}".encode(), f"{packed}{canaries.RRN}")
            connection.execute("INSERT INTO planted VALUES (%s, %s, %s)", values)
            size = connection.execute("SELECT pg_column_size(told) FROM planted").fetchone()
        assert size is not None
        assert size[0] < 5000, "it was not packed"
        assert names(Search(SAMPLES).in_bytes(postgresql_rows(url), "rows")) == {"name", "RRN", "amount"}
    finally:
        postgres.drop_database("canary_rows")
