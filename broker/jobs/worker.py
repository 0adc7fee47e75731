"""The worker: three loops over its jobs, until it is told to stop. Any number of workers may run.

Asking holders and telling recipients have a loop, and a thread, of their own: one that is slow must not hold
up a checkpoint or a duty.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from threading import Event, Thread
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from broker.db import LockTimeoutError, UnfinishedError
from broker.installation import Installation
from broker.jobs.duties import drain
from broker.jobs.expiry import end_overdue, sweep
from broker.jobs.lapsing import end_overdue_links, lapse_pending
from broker.jobs.publishing import publish
from broker.jobs.syncing import sync_due
from broker.jobs.telling import tell_due
from consent.errors import ConsentError
from consent.ledger.errors import LedgerError
from vault.errors import VaultError

_PAUSE_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 5
_SWEEP_EVERY: Final = timedelta(minutes=10)
_EXPIRY_EVERY: Final = timedelta(seconds=15)

# What a job may meet; anything else is a mistake of ours, and ends the worker loudly.
_EXPECTED: Final = (
    SQLAlchemyError,
    VaultError,
    ConsentError,
    LedgerError,
    LockTimeoutError,
    UnfinishedError,
    OSError,
)

_log: Final = logging.getLogger(__name__)


_Job = tuple[str, timedelta, Callable[[Installation, datetime], object]]


def work_until(stop: Event, installation: Installation) -> None:
    """Do what is due, pause, again; returns soon after `stop` is set.

    A job that fails is logged and comes again at its next time: one must not stop the others.
    """
    interval = timedelta(seconds=installation.settings.ledger.checkpoint_interval_seconds)
    jobs: list[_Job] = [
        ("duties", timedelta(0), drain),
        ("publishing", interval, publish),
        ("expiry", _EXPIRY_EVERY, end_overdue),
        ("links", _EXPIRY_EVERY, end_overdue_links),
        ("pending", _SWEEP_EVERY, lapse_pending),
        ("sweep", _SWEEP_EVERY, sweep),
    ]
    outward: list[_Job] = [
        ("asking", timedelta(0), partial(sync_due, should_stop=stop.is_set)),
        ("telling", timedelta(0), partial(tell_due, should_stop=stop.is_set)),
    ]
    # Daemons: whoever keeps them waiting is not waited for at the end. Each step is a commit of its own.
    threads = [
        Thread(target=_reach_out, args=(stop, installation, [job]), name=job[0], daemon=True)
        for job in outward
    ]
    for thread in threads:
        thread.start()
    _loop(stop, installation, jobs)
    for thread in threads:
        thread.join(_PATIENCE_SECONDS)


def _reach_out(stop: Event, installation: Installation, jobs: Sequence[_Job]) -> None:
    """A further loop. Should a mistake of ours end it, the worker ends too: half of one goes unnoticed."""
    try:
        _loop(stop, installation, jobs)
    finally:
        stop.set()


def _loop(stop: Event, installation: Installation, jobs: Sequence[_Job]) -> None:
    next_at = dict.fromkeys((name for name, _, _ in jobs), installation.clock())
    while not stop.is_set():
        for name, every, job in jobs:
            now = installation.clock()
            if now < next_at[name]:
                continue
            next_at[name] = now + every
            try:
                job(installation, now)
            except _EXPECTED as error:
                _log.error("job failed", extra={"job": name, "error": type(error).__name__})
        stop.wait(_PAUSE_SECONDS)
