"""People who have not signed in for long: sending stops, and later what the vault holds of them is erased.

MyData 2.0: six months without a sign-in end regular transmission until the person lets it go on; after a year
the data is deleted. Both spans are settings; nought turns one off. Consents, receipts and the log stay.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.isolation import one_at_a_time
from broker.web.signin.models import Account
from consent.erasure import erase_source
from consent.lifecycle import lock, pause_locked
from consent.models import Consent, Representation, SourceLink
from consent.people_vocabulary import RepresentationState
from consent.staff import Staff
from consent.vocabulary import ConsentState, StateReason
from vault.store import Record

_BY: Final = Staff(by="broker", reason="inactivity")
_BATCH: Final = 100


def stop_for_the_absent(installation: Installation, now: datetime) -> int:
    """Pause what is given by people who were away too long; answers how many consents."""
    days = installation.settings.inactivity.stop_after_days
    if days == 0:
        return 0
    with installation.data.read() as session:
        grant_ids = session.exec(
            select(Consent.grant_id)
            .join(Account, col(Account.subject_id) == col(Consent.subject_id))
            .where(
                Consent.state == ConsentState.GIVEN,
                Consent.valid_until > now,
                _was_away(now - timedelta(days=days)),
            )
            .order_by(col(Consent.grant_id))
        ).all()
    done = 0
    for grant_id in grant_ids:
        if done == _BATCH:  # what fails does not count: it takes nobody's place
            break
        with one_at_a_time("absent", grant_id=grant_id):
            with transaction(installation.data) as work:
                consent = lock(work, grant_id)
                if consent.state == ConsentState.GIVEN and now < consent.valid_until:
                    pause_locked(work, installation.keyring, consent, StateReason.INACTIVITY, now)
            done += 1
    return done


def erase_for_the_absent(installation: Installation, now: datetime) -> int:
    """Unlink, source by source, and erase what came from it, of people who were away for good."""
    days = installation.settings.inactivity.erase_after_days
    if days == 0:
        return 0
    with installation.data.read() as session:
        sources = _sources_of_the_absent(session, now - timedelta(days=days))
    done = 0
    for subject_id, holder_id in sources:
        if done == _BATCH:
            break
        with one_at_a_time("long_absent", holder_id=holder_id):
            with transaction(installation.data) as work:
                erase_source(work, installation.keyring, subject_id, holder_id, staff=_BY, now=now)
            done += 1
    return done


def _sources_of_the_absent(session: Session, seen_before: datetime) -> list[tuple[str, str]]:
    rows = session.exec(
        select(SourceLink.subject_id, SourceLink.holder_id)
        .join(Account, col(Account.subject_id) == col(SourceLink.subject_id))
        .where(or_(col(SourceLink.ended_at).is_(None), _has_records()), _was_away(seen_before))
        .distinct()
        .order_by(col(SourceLink.subject_id), col(SourceLink.holder_id))
    )
    return list(rows.all())


def _has_records() -> ColumnElement[bool]:
    """The vault holds something that came through the link: a link ends by itself before its records do."""
    return (
        select(Record.record_id)
        .where(
            Record.subject_id == SourceLink.subject_id,
            Record.holder_id == SourceLink.holder_id,
        )
        .correlate(SourceLink)
        .exists()
    )


def _was_away(since: datetime) -> ColumnElement[bool]:
    """Nobody signed in since, neither the person nor a guardian; who never did counts from the account."""
    never = col(Account.last_signed_in_at).is_(None) & (col(Account.created_at) < since)
    guardian = aliased(Account)
    is_cared_for = (
        select(Representation.representation_id)
        .join(guardian, col(guardian.subject_id) == col(Representation.representative_id))
        .where(
            Representation.subject_id == Account.subject_id,
            Representation.state == RepresentationState.ACTIVE,
            col(guardian.last_signed_in_at) >= since,
        )
        .correlate(Account)
        .exists()
    )
    return or_(col(Account.last_signed_in_at) < since, never) & ~is_cared_for
