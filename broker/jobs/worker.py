"""The worker: loops over its jobs, until it is told to stop. Any number of workers may run.

What reaches out (asking holders, telling recipients, mail, hooks) has a loop and a thread of its own:
one that is slow must not hold up a checkpoint or a duty. One more thread looks, four times a second, whether
there is anything to do (broker/jobs/looking.py), and wakes the loop whose it is.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Event, Thread
from typing import Final

from broker.installation import Installation
from broker.jobs.cascading import follow_notices, follow_recipients
from broker.jobs.claiming import end_unclaimed
from broker.jobs.counting import keep_statistics
from broker.jobs.dealing import end_overdue_deals
from broker.jobs.duties import drain
from broker.jobs.expiry import end_overdue, sweep
from broker.jobs.hooking import push_notices
from broker.jobs.inactivity import erase_for_the_absent, stop_for_the_absent
from broker.jobs.isolation import EXPECTED
from broker.jobs.lapsing import end_overdue_links, lapse_pending
from broker.jobs.logging_out import end_overdue_sessions, tell_logouts
from broker.jobs.looking import Chore, Lookout
from broker.jobs.mailing import mail_due
from broker.jobs.notifying import notify, summarise
from broker.jobs.owing import check_obligations
from broker.jobs.parting import end_representations
from broker.jobs.pinging import ping_due
from broker.jobs.publishing import publish
from broker.jobs.rotating import rotate_keys
from broker.jobs.syncing import sync_due
from broker.jobs.telling import tell_due

_PAUSE_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 5
_SWEEP_EVERY: Final = timedelta(minutes=10)
_EXPIRY_EVERY: Final = timedelta(seconds=15)

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """Done every so often; with `every` None, whenever its loop is woken."""

    name: str
    every: timedelta | None
    do: Callable[[Installation, datetime], object]


def work_until(stop: Event, installation: Installation) -> None:
    """Do what is due, wait for more, again; returns soon after `stop` is set.

    A job that fails is logged and comes again at its next time: one must not stop the others.
    """
    own = Event()
    bells = {chore: Event() for chore in Chore} | {Chore.DUTIES: own, Chore.NOTICES: own}
    # Daemons: whoever keeps them waiting is not waited for at the end. Each step is a commit of its own.
    threads = [Thread(target=_look_out, args=(stop, installation, bells), name="looking", daemon=True)]
    threads += [
        Thread(target=_reach_out, args=(stop, installation, bells[chore], job), name=job.name, daemon=True)
        for chore, job in _outward(stop).items()
    ]
    for thread in threads:
        thread.start()
    _loop(stop, installation, own, _own(installation))
    for thread in threads:
        thread.join(_PATIENCE_SECONDS)


def _own(installation: Installation) -> Sequence[_Job]:
    """What reaches nobody outside; two of them wait for `Chore.DUTIES` and `Chore.NOTICES`."""
    interval = timedelta(seconds=installation.settings.ledger.checkpoint_interval_seconds)
    return (
        _Job("duties", None, drain),
        _Job("publishing", interval, publish),
        _Job("expiry", _EXPIRY_EVERY, end_overdue),
        _Job("unclaimed", _SWEEP_EVERY, end_unclaimed),
        _Job("deals", _EXPIRY_EVERY, end_overdue_deals),
        _Job("obligations", _EXPIRY_EVERY, check_obligations),
        _Job("recipients", _EXPIRY_EVERY, follow_recipients),
        _Job("notices", _EXPIRY_EVERY, follow_notices),
        _Job("links", _EXPIRY_EVERY, end_overdue_links),
        _Job("representations", _EXPIRY_EVERY, end_representations),
        _Job("pending", _SWEEP_EVERY, lapse_pending),
        _Job("notifying", None, notify),
        _Job("summaries", _EXPIRY_EVERY, summarise),
        _Job("absent", _SWEEP_EVERY, stop_for_the_absent),
        _Job("long absent", _SWEEP_EVERY, erase_for_the_absent),
        _Job("sweep", _SWEEP_EVERY, sweep),
        _Job("statistics", _SWEEP_EVERY, keep_statistics),
        _Job("keys", _SWEEP_EVERY, rotate_keys),
        _Job("sessions", _EXPIRY_EVERY, end_overdue_sessions),
    )


def _outward(stop: Event) -> Mapping[Chore, _Job]:
    return {
        Chore.ASKING: _Job("asking", None, partial(sync_due, should_stop=stop.is_set)),
        Chore.EVENTS: _Job("telling", None, partial(tell_due, should_stop=stop.is_set)),
        Chore.MAIL: _Job("mailing", None, partial(mail_due, should_stop=stop.is_set)),
        Chore.PINGS: _Job("pinging", None, partial(ping_due, should_stop=stop.is_set)),
        Chore.HOOKS: _Job("hooking", None, partial(push_notices, should_stop=stop.is_set)),
        Chore.LOGOUTS: _Job("logouts", None, partial(tell_logouts, should_stop=stop.is_set)),
    }


def _look_out(stop: Event, installation: Installation, bells: Mapping[Chore, Event]) -> None:
    """Wake every loop that has something to do, and all of them at the end."""
    lookout = Lookout(installation)
    try:
        while not stop.is_set():
            try:
                found = lookout.look(installation.clock())
            except EXPECTED as error:
                _log.error("job failed", extra={"job": "looking", "error": type(error).__name__})
                found = set()
            for chore in found:
                bells[chore].set()
            stop.wait(_PAUSE_SECONDS)
    finally:
        # Should a mistake of ours have ended it, the worker ends too: half of one goes unnoticed.
        stop.set()
        for bell in bells.values():
            bell.set()


def _reach_out(stop: Event, installation: Installation, bell: Event, job: _Job) -> None:
    """A further loop; a mistake of ours ends the worker here too."""
    try:
        while bell.wait():
            bell.clear()  # before the job: what comes during it wakes it again
            if stop.is_set():
                return
            _do(job, installation, installation.clock())
    finally:
        stop.set()


def _loop(stop: Event, installation: Installation, bell: Event, jobs: Sequence[_Job]) -> None:
    next_at = dict.fromkeys((job.name for job in jobs), installation.clock())
    while not stop.is_set():
        is_woken = bell.wait(_PAUSE_SECONDS)
        if is_woken:
            bell.clear()
        for job in jobs:
            now = installation.clock()
            if is_woken if job.every is None else now >= next_at[job.name]:
                next_at[job.name] = now + (job.every or timedelta(0))
                _do(job, installation, now)


def _do(job: _Job, installation: Installation, now: datetime) -> None:
    try:
        job.do(installation, now)
    except EXPECTED as error:
        _log.error("job failed", extra={"job": job.name, "error": type(error).__name__})
