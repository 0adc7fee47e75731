"""What a job may meet, and how it goes on: one row that cannot be done must not stop the others."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from broker.db import LockTimeoutError, UnfinishedError
from broker.oauth.errors import KeyNotMadeError
from consent.errors import ConsentError
from consent.ledger.errors import LedgerError
from vault.errors import VaultError

# Anything else is a mistake of ours, and ends the worker loudly.
EXPECTED: Final = (
    SQLAlchemyError,
    VaultError,
    ConsentError,
    LedgerError,
    LockTimeoutError,
    UnfinishedError,
    KeyNotMadeError,
    OSError,
)

_log: Final = logging.getLogger(__name__)


@contextmanager
def one_at_a_time(job: str, **row: str) -> Iterator[None]:
    """Around one row's own transaction: should it fail, that is logged with the row's ids, and no more.

    What was done to the row is rolled back, so the job finds it again at its next time; after an
    UnfinishedError the commit holds, and duties do the rest. `row` must be fields that a log line may carry
    (broker/logs.py).
    """
    try:
        yield
    except EXPECTED as error:
        _log.error("row failed", extra={"job": job, "error": type(error).__name__, **row})
