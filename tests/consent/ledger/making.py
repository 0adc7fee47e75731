"""Entries, keys and logs for the tests of the log."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import insert
from sqlmodel import update

from broker.db import Database, transaction
from consent.ledger.checkpoint import NoteKey, sign_head
from consent.ledger.entries import Entry, append, plan_append, read_head
from consent.ledger.export import export_log
from consent.ledger.models import LedgerEntry, LedgerHead
from consent.ledger.notes import Checkpoint
from consent.ledger.tree import leaf_hash

NOW = datetime(2026, 11, 23, 9, 30, 15, 123456, tzinfo=UTC)
ORIGIN = "broker.example/log"


def made_entry(
    number: int = 0, *, handle: str = "handle", facts: dict[str, str | int] | None = None
) -> Entry:
    return Entry(
        type="delivery.released",
        at=NOW,
        handle=handle,
        recipient="hanbit-insurance",
        purpose="insurance.indemnity_claim",
        facts={"number": number} if facts is None else facts,
        commitment=number.to_bytes(32, "big"),
        detail_sealed=b"sealed %d" % number,
    )


def fill(database: Database, count: int) -> None:
    """Append that many entries, each with its index as its number if the log was empty."""
    with database.write() as session:
        append(session, [made_entry(number) for number in range(count)])


def fill_fast(database: Database, count: int) -> None:
    """Append one entry many times over, in the way of the hot lane: for large trees."""
    leaf = made_entry().leaf()
    row = {"handle": "handle", "leaf": leaf, "detail_sealed": b"", "leaf_hash": leaf_hash(leaf), "at": NOW}
    with database.write() as session:
        size, frontier = read_head(session)
        new_size, new_frontier, _ = plan_append(size, frontier, [leaf] * count)
        session.connection().execute(
            insert(LedgerEntry), [{**row, "idx": index} for index in range(size, new_size)]
        )
        session.exec(update(LedgerHead).values(size=new_size, frontier=new_frontier))


def made_key(origin: str = ORIGIN) -> NoteKey:
    return NoteKey(pem_of(Ed25519PrivateKey.generate()), origin)


def fixed_key() -> NoteKey:
    """The same key in every process: for what names a test case, which workers must agree on."""
    return NoteKey(pem_of(Ed25519PrivateKey.from_private_bytes(bytes(range(32)))), ORIGIN)


def pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def sign(database: Database, key: NoteKey, anchor: Path | None = None) -> Checkpoint:
    with transaction(database) as work:
        return sign_head(work.session, key, now=NOW, anchor=anchor)


def export(database: Database, key: NoteKey, directory: Path) -> Path:
    """Sign the head and export the log."""
    sign(database, key)
    with database.read() as session:
        export_log(session, directory, vkey=key.vkey)
    return directory
