"""Draining the outbox: each duty in a transaction of its own, repeated until it is done.

What is pushed to recipients goes another way (broker/jobs/telling.py).
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from broker.db import transaction
from broker.installation import Installation
from consent.models import Duty
from consent.outbox import DutyKind, postpone, settle, take_due
from vault.errors import VaultError

_log: Final = logging.getLogger(__name__)


class _UnknownDutyError(Exception):
    """A kind of duty that this program does not know."""


Doer = Callable[[Installation, Duty], None]


def drain(installation: Installation, now: datetime) -> int:
    """Do every duty that is due; answers how many were done. One that fails waits and is tried again."""
    done = 0
    while True:
        with transaction(installation.data) as work:
            duty = take_due(work.session, now)
            if duty is None:
                return done
            do = _DOERS.get(duty.kind, _leave)
            try:
                do(installation, duty)
            except (_UnknownDutyError, VaultError, SQLAlchemyError) as error:
                _log.warning("duty postponed", extra={"duty": duty.kind, "error": type(error).__name__})
                postpone(duty, now)
            else:
                settle(duty, now)
                done += 1


def _leave(_: Installation, duty: Duty) -> None:
    """A newer program owes it, and one of its workers will do it: here it only waits."""
    raise _UnknownDutyError(duty.kind)


def _destroy_shares(installation: Installation, duty: Duty) -> None:
    """Idempotent: the shares went right after the commit, unless the process died in between."""
    installation.keyring.delete_shares(duty.target)


_DOERS: Final[Mapping[str, Doer]] = MappingProxyType({DutyKind.DESTROY_SHARES: _destroy_shares})
