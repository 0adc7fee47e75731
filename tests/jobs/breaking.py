"""A person whose rows no job can do: their audit key is damaged, so nothing about them can go on record."""

from collections.abc import Iterator
from contextlib import contextmanager

from broker.installation import Installation
from vault.keys.models import AuditKey


@contextmanager
def damaged_key(installation: Installation, subject_id: str) -> Iterator[None]:
    """Whatever seals for the person raises TamperedError, until the end."""
    with installation.keyring_database.write() as session:
        row = session.get_one(AuditKey, subject_id)
        kept, row.wrapped = row.wrapped, bytes(len(row.wrapped))
    yield
    with installation.keyring_database.write() as session:
        session.get_one(AuditKey, subject_id).wrapped = kept
