"""Bringing consents into step with what they stand on: recipients, purposes, the texts people agreed to."""

import logging
from datetime import datetime
from typing import Final

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.isolation import one_at_a_time
from consent import cascades, revisions
from consent.errors import ConsentError
from vault.errors import TamperedError, UnknownKeyError

_OF_ONE: Final = (ConsentError, TamperedError, UnknownKeyError)
"""What is wrong with one consent, and will be tomorrow. What hinders them all for a time is not among it."""

_log: Final = logging.getLogger(__name__)


def follow_recipients(installation: Installation, now: datetime) -> int:
    """Pause, resume or end what disagrees with its recipient's status, each in a commit of its own."""
    with installation.data.read() as session:
        grant_ids = cascades.out_of_step(session, now)
    done = 0
    for grant_id in grant_ids:
        with one_at_a_time("recipients", grant_id=grant_id):
            with transaction(installation.data) as work:
                cascades.follow_recipient(work, installation.keyring, grant_id, now)
            done += 1
    return done


def follow_notices(installation: Installation, now: datetime) -> None:
    """Keep the texts as they read now, tell everybody who agreed to another, end what has no purpose left."""
    with transaction(installation.data) as work:
        for purpose in installation.purposes.all():
            revisions.publish(work.session, purpose, now)
    with installation.data.read() as session:
        digests = revisions.waiting(session)
        orphans = revisions.without_purpose(session, installation.purposes)
    for digest in digests:
        with one_at_a_time("notices"):
            while _apply(installation, digest, now):
                pass
    for grant_id in orphans:
        with one_at_a_time("notices", grant_id=grant_id), transaction(installation.data) as work:
            revisions.invalidate_orphan(work, installation.keyring, grant_id, now)


def _apply(installation: Installation, digest: bytes, now: datetime) -> bool:
    """Tell the next batch; where one of it cannot be told, those before that one."""
    try:
        with transaction(installation.data) as work:
            return revisions.apply(work, installation.keyring, digest, now)
    except _OF_ONE:
        return _apply_singly(installation, digest, now)


def _apply_singly(installation: Installation, digest: bytes, now: datetime) -> bool:
    """Tell one after the other until one cannot be told, and leave that one out."""
    grant_id: str | None = None
    has_more = True
    while has_more:
        try:
            with transaction(installation.data) as work:
                grant_id = revisions.next_of(work.session, digest)
                has_more = revisions.apply(work, installation.keyring, digest, now, at_once=1)
        except _OF_ONE as error:
            if grant_id is None:
                raise
            _log.error("consent left out", extra={"grant_id": grant_id, "error": type(error).__name__})
            with transaction(installation.data) as work:
                revisions.pass_over(work.session, digest, grant_id)
            return True
    return False
