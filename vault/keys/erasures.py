"""Subjects whose keys are gone for good: none is made again, and none while an erasure runs."""

from collections.abc import Iterable

from sqlalchemy import ARRAY, String, bindparam, func
from sqlalchemy import select as select_values
from sqlmodel import Session, col, select

from vault.errors import ErasedError
from vault.keys.models import ErasedSubject


def lock_subjects(session: Session, subject_ids: Iterable[str]) -> None:
    """Let one transaction at a time make or erase these subjects' keys.

    Otherwise a key that is being made while an erasure runs would outlive it. On SQLite a writing
    transaction is alone anyway. In one order, so that no two wait for each other.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    names = func.unnest(bindparam("names", sorted(set(subject_ids)), ARRAY(String))).column_valued("name")
    numbers = select_values(func.hashtextextended(names, 0).label("number")).distinct().order_by("number")
    ordered = numbers.subquery()
    session.execute(select_values(func.pg_advisory_xact_lock(ordered.c.number)))


def erased_of(session: Session, subject_ids: Iterable[str]) -> set[str]:
    """Those of these subjects who were erased."""
    found = select(ErasedSubject.subject_id).where(col(ErasedSubject.subject_id).in_(set(subject_ids)))
    return set(session.exec(found))


def refuse_erased(session: Session, subject_ids: Iterable[str]) -> None:
    """Raise ErasedError if one of these subjects was erased."""
    if erased := erased_of(session, subject_ids):
        raise ErasedError(min(erased))
