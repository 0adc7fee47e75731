"""Draining the outbox: each duty in a transaction of its own, repeated until it is done.

One that fails leaves nothing behind: its transaction rolls back, and another one has it wait.

What is pushed to recipients goes another way (broker/jobs/telling.py).
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from broker.db import Transaction, transaction
from broker.installation import Installation
from broker.jobs.dealing import close_deal
from broker.jobs.isolation import EXPECTED
from broker.receipt_signing import receipt_signer
from consent.erasure import finish_source
from consent.models import Duty
from consent.outbox import DutyKind, postpone, settle, take_due, take_pushed
from consent.receipt_issue import issue

_log: Final = logging.getLogger(__name__)


class _UnknownDutyError(Exception):
    """A kind of duty that this program does not know."""


Doer = Callable[[Installation, Duty], None]
Writer = Callable[[Transaction, Installation, Duty, datetime], None]
"""Does its duty in the duty's own transaction: both are there, or neither."""


def drain(installation: Installation, now: datetime) -> int:
    """Do every duty that is due; answers how many were done. One that fails waits and is tried again."""
    done = 0
    while True:
        duty_id = kind = None
        try:
            with transaction(installation.data) as work:
                duty = take_due(work.session, now)
                if duty is None:
                    return done
                duty_id, kind = duty.duty_id, duty.kind
                _do(work, installation, duty, now)
                settle(duty, now)
            done += 1
        except (_UnknownDutyError, *EXPECTED) as error:
            if duty_id is None:
                raise  # none was found at all: the database is away
            _log.warning(
                "duty postponed", extra={"duty": kind, "duty_id": duty_id, "error": type(error).__name__}
            )
            _put_off(installation, duty_id, now)


def _do(work: Transaction, installation: Installation, duty: Duty, now: datetime) -> None:
    if (write := _WRITERS.get(duty.kind)) is not None:
        write(work, installation, duty, now)
    else:
        _DOERS.get(duty.kind, _leave)(installation, duty)


def _put_off(installation: Installation, duty_id: str, now: datetime) -> None:
    """Have a duty wait, unless it was done after all, or another worker has had it since."""
    with transaction(installation.data) as work:
        duty = take_pushed(work.session, duty_id, now)
        if duty is not None:
            postpone(duty, now)


def _leave(_: Installation, duty: Duty) -> None:
    """A newer program owes it, and one of its workers will do it: here it only waits."""
    raise _UnknownDutyError(duty.kind)


def _destroy_shares(installation: Installation, duty: Duty) -> None:
    """Idempotent: the shares went right after the commit, unless the process died in between."""
    installation.keyring.delete_shares(duty.target)


def _retire_shares(installation: Installation, duty: Duty) -> None:
    """The same for the versions before the one that `duty.target` names: a later one may stand by now."""
    installation.keyring.delete_shares_before(duty.target)


def _erase_subject(installation: Installation, duty: Duty) -> None:
    """Idempotent too, and dated when the erasure was."""
    installation.keyring.erase_subject(duty.target, duty.created_at)


def _issue_receipt(work: Transaction, installation: Installation, duty: Duty, now: datetime) -> None:
    """Idempotent: one receipt for each entry of the log."""
    issue(work, installation.keyring, duty.target, receipt_signer(installation, now), now)


def _erase_source(work: Transaction, installation: Installation, duty: Duty, now: datetime) -> None:
    """Idempotent, and of the day of the erasure: the source may have been linked anew since."""
    del now
    finish_source(work.session, installation.keyring, installation.catalogue, duty.target, duty.created_at)


_WRITERS: Final[Mapping[str, Writer]] = MappingProxyType(
    {
        DutyKind.ISSUE_RECEIPT: _issue_receipt,
        DutyKind.CLOSE_DEAL: close_deal,
        DutyKind.ERASE_SOURCE: _erase_source,
    }
)
_DOERS: Final[Mapping[str, Doer]] = MappingProxyType(
    {
        DutyKind.DESTROY_SHARES: _destroy_shares,
        DutyKind.RETIRE_SHARES: _retire_shares,
        DutyKind.ERASE_SUBJECT: _erase_subject,
    }
)
