"""Receipts of what became of a consent after it was agreed: its ends, and the deletion that followed."""

from datetime import datetime

from sqlalchemy import BigInteger, LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class Receipt(Row, table=True):
    """One signed receipt, sealed under the subject's audit key; a version's own lies in its ConsentVersion.

    `number` is the version that ended, `entry_index` the entry of the log that the receipt belongs to: there
    is one receipt of an entry, however often a duty asks for it.
    """

    receipt_id: str = Field(primary_key=True)
    grant_id: str = Field(foreign_key="consent.grant_id", index=True)
    subject_id: str
    kind: str
    number: int
    entry_index: int = Field(sa_type=BigInteger, unique=True)
    receipt_sealed: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)
