"""The base of every table in the project: row base, instants, naming convention, random ids.

Two metadata objects, one for each database: `data_metadata` and `keyring_metadata`.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sqlalchemy import BigInteger, Dialect, MetaData
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

data_metadata = MetaData(naming_convention=NAMING_CONVENTION)
keyring_metadata = MetaData(naming_convention=NAMING_CONVENTION)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(instant: datetime) -> int:
    """Whole microseconds from 1970-01-01T00:00:00Z to an aware instant, exact.

    Raises ValueError for a naive datetime: a time without a zone is not an instant.
    """
    if instant.tzinfo is None:
        message = "an instant needs a time zone"
        raise ValueError(message)
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The aware UTC instant that `to_microseconds` came from."""
    return _EPOCH + microseconds * _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since 1970 in a BIGINT.

    Why not a database timestamp: SQLite drops the zone, and the hot lane compares instants in
    SQL of its own on both databases.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Aware datetime in, microseconds out."""
        del dialect
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Microseconds in, aware datetime out."""
        del dialect
        return None if value is None else from_microseconds(value)


class Row(SQLModel):
    """The base of every table in the data database. Storage and nothing else: tables do not validate."""

    metadata: ClassVar[MetaData] = data_metadata


class KeyringRow(SQLModel):
    """The base of every table in the keyring database."""

    metadata: ClassVar[MetaData] = keyring_metadata


def random_id() -> str:
    """A fresh identifier: nearly 128 random bits, URL-safe, says nothing about what it names.

    None begins with a dash: on a command line that would be taken for an option.
    """
    while (fresh := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return fresh
