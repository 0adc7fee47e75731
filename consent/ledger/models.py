"""Tables of the log. Storage and nothing else; the hot lane inserts into two of them with its own SQL."""

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row

HEAD_NAME: Final = "log"


class LedgerHead(Row, table=True):
    """The one row that every writer locks: size of the tree and its frontier.

    `frontier` is the roots of the perfect subtrees, 32 bytes each, the largest (leftmost) first.
    """

    __tablename__ = "ledger_head"

    name: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    frontier: bytes = Field(sa_type=LargeBinary)


class LedgerEntry(Row, table=True):
    """One entry: the leaf as it was hashed, and beside it the sealed detail that the leaf commits to."""

    __tablename__ = "ledger_entry"

    idx: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    handle: str = Field(index=True)
    leaf: bytes = Field(sa_type=LargeBinary)
    leaf_hash: bytes = Field(sa_type=LargeBinary)
    detail_sealed: bytes = Field(sa_type=LargeBinary)
    at: datetime = Field(sa_type=Instant)


class LedgerTile(Row, table=True):
    """A full tile: 256 hashes, 8,192 bytes. Made from committed entries, and never changed."""

    __tablename__ = "ledger_tile"

    level: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    n: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    data: bytes = Field(sa_type=LargeBinary)


class LedgerCheckpoint(Row, table=True):
    """A signed head. The primary key is what makes two notes for one size impossible."""

    __tablename__ = "ledger_checkpoint"

    size: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    note: str
    signed_at: datetime = Field(sa_type=Instant)
