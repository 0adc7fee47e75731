"""What follows for consents when something they stand on falls: their recipient, or the source they open.

Each is found by comparing what stands with what should, so it ends, and a second time changes nothing
(invariants 21 and 22). Deciding has refused since the very instant: `consent.policy` reads the recipient's
status, and a source that is not linked has nobody who delivers.
"""

from datetime import datetime

from sqlmodel import Session, col, select

from consent.collection import record_types_of, unlink
from consent.errors import NotFoundError
from consent.evidence import Work
from consent.granting import current_version
from consent.lifecycle import invalidate, lock, pause_locked, resume_locked
from consent.models import Consent, Organisation, SourceLink
from consent.organisations import OrganisationStatus
from consent.states import LIVING
from consent.versions import open_terms
from consent.vocabulary import ConsentState, StateReason
from vault.keys.keyring import Keyring

_BATCH = 100


def out_of_step(session: Session, now: datetime) -> list[str]:
    """Consents that disagree with their recipient's status: to pause, to let go on, or to end.

    One whose window is over is left to its expiry: it could not be paused, and would be found for ever.
    """
    disagrees = (
        (
            (col(Consent.state) == ConsentState.GIVEN)
            & (col(Consent.valid_until) > now)
            & (col(Organisation.status) == OrganisationStatus.SUSPENDED)
        )
        | (
            (col(Consent.state) == ConsentState.PAUSED)
            & (col(Consent.state_reason) == StateReason.RECIPIENT_SUSPENDED)
            & (col(Organisation.status) == OrganisationStatus.ACTIVE)
        )
        | (col(Consent.state).in_(LIVING) & (col(Organisation.status) == OrganisationStatus.REMOVED))
    )
    return list(
        session.exec(
            select(Consent.grant_id)
            .join(Organisation, col(Organisation.organisation_id) == col(Consent.recipient_id))
            .where(disagrees)
            .order_by(col(Consent.grant_id))
            .limit(_BATCH)
        )
    )


def follow_recipient(work: Work, keyring: Keyring, grant_id: str, now: datetime) -> None:
    """Bring one consent into step with its recipient. One whose window is over is left to its expiry."""
    consent = lock(work, grant_id)
    status = work.session.get_one(Organisation, consent.recipient_id, populate_existing=True).status
    is_waiting = consent.state_reason == StateReason.RECIPIENT_SUSPENDED
    if consent.state not in LIVING:
        return
    if status == OrganisationStatus.REMOVED:
        invalidate(work, keyring, consent, StateReason.RECIPIENT_REMOVED, now)
    elif status == OrganisationStatus.SUSPENDED:
        if consent.state == ConsentState.GIVEN and now < consent.valid_until:
            pause_locked(work, keyring, consent, StateReason.RECIPIENT_SUSPENDED, now)
    elif consent.state == ConsentState.PAUSED and is_waiting:
        resume_locked(work, keyring, consent, now)


def unlink_source(work: Work, keyring: Keyring, link_id: str, subject_id: str, now: datetime) -> list[str]:
    """Stop collecting through a link; consents that open nothing any more are invalid. Answers their ids.

    A consent with several holders stands while one of them is linked. What was collected stays in the vault
    until it is erased. Idempotent. Raises NotFoundError.
    """
    link = work.session.exec(
        select(SourceLink).where(SourceLink.link_id == link_id, SourceLink.subject_id == subject_id)
    ).one_or_none()
    if link is None:
        raise NotFoundError
    living = _living_of(work, subject_id)  # locked before the link: giving a consent locks in this order
    unlink(work, keyring, link_id, subject_id, now)
    still_linked = _linked_types(work, keyring, subject_id, now)
    ended = []
    for consent in living:
        terms = open_terms(keyring, subject_id, current_version(work, consent))
        holders = set(terms.holders or ())
        if link.holder_id in holders and not any(
            item.record_type in still_linked.get(holder, ()) for holder in holders for item in terms.items
        ):
            invalidate(work, keyring, consent, StateReason.SOURCE_UNLINKED, now)
            ended.append(consent.grant_id)
    return ended


def _living_of(work: Work, subject_id: str) -> list[Consent]:
    grant_ids = work.session.exec(
        select(Consent.grant_id).where(Consent.subject_id == subject_id, col(Consent.state).in_(LIVING))
    ).all()
    locked = (lock(work, grant_id) for grant_id in sorted(grant_ids))
    return [consent for consent in locked if consent.state in LIVING]


def _linked_types(work: Work, keyring: Keyring, subject_id: str, now: datetime) -> dict[str, set[str]]:
    """The record types that each holder still delivers for a person."""
    links = work.session.exec(
        select(SourceLink).where(
            SourceLink.subject_id == subject_id,
            col(SourceLink.ended_at).is_(None),
            col(SourceLink.valid_until) > now,
        )
    ).all()
    linked: dict[str, set[str]] = {}
    for link in links:
        linked.setdefault(link.holder_id, set()).update(record_types_of(keyring, link))
    return linked
