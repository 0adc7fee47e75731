"""The worker: a loop over the jobs, until it is told to stop. Any number of workers may run."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from broker.installation import Installation
from broker.jobs.duties import drain
from broker.jobs.expiry import end_overdue, sweep
from broker.jobs.publishing import publish
from consent.ledger.errors import LedgerError
from vault.errors import VaultError

_PAUSE_SECONDS: Final = 0.5
_SWEEP_EVERY: Final = timedelta(minutes=10)
_EXPIRY_EVERY: Final = timedelta(seconds=15)

_log: Final = logging.getLogger(__name__)


def work_until(stop: Event, installation: Installation) -> None:
    """Do what is due, pause, again; returns soon after `stop` is set.

    A job that fails is logged and comes again at its next time: one must not stop the others.
    """
    interval = timedelta(seconds=installation.settings.ledger.checkpoint_interval_seconds)
    jobs: list[tuple[str, timedelta, Callable[[Installation, datetime], object]]] = [
        ("duties", timedelta(0), drain),
        ("publishing", interval, publish),
        ("expiry", _EXPIRY_EVERY, end_overdue),
        ("sweep", _SWEEP_EVERY, sweep),
    ]
    next_at = dict.fromkeys((name for name, _, _ in jobs), installation.clock())
    while not stop.is_set():
        for name, every, job in jobs:
            now = installation.clock()
            if now < next_at[name]:
                continue
            next_at[name] = now + every
            try:
                job(installation, now)
            except (SQLAlchemyError, VaultError, LedgerError, OSError) as error:
                _log.error("job failed", extra={"job": name, "error": type(error).__name__})
        stop.wait(_PAUSE_SECONDS)
