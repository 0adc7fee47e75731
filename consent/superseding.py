"""How one version of a consent takes the place of another: at once, and never both."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import func, select

from consent.errors import (
    NotFoundError,
    WrongStateError,
)
from consent.evidence import Work, record_consent_event
from consent.granting import (
    ReceiptSigner,
    Text,
    add_version,
    agreed_detail,
    put_in_force,
)
from consent.lifecycle import lock, move
from consent.models import Consent, Delivery
from consent.outbox import DutyKind, hurry, owe
from consent.purposes import Purpose
from consent.states import LIVING
from consent.terms import Terms
from consent.vocabulary import ConsentState, EventType, StateReason, VersionKind
from vault.keys.keyring import Keyring

KEEPS_TOKENS: Final = frozenset({VersionKind.RENEWAL, VersionKind.NARROWING, VersionKind.RECONSENT})
"""Versions that gave the recipient nothing more: its refresh token opens them too."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The version that stands now."""

    grant_id: str
    version_id: str
    terms: Terms
    receipt_jws: str


_NEW_PLACES: Final = frozenset({VersionKind.AMENDMENT, VersionKind.RENEWAL})
"""Versions whose terms allow their own number of pulls; with all others what was pulled counts on."""

_EVENTS: Final = {
    VersionKind.AMENDMENT: EventType.CONSENT_AMENDED,
    VersionKind.RENEWAL: EventType.CONSENT_RENEWED,
    VersionKind.NARROWING: EventType.CONSENT_NARROWED,
    VersionKind.RECONSENT: EventType.CONSENT_AMENDED,
}


def supersede(  # noqa: PLR0913 - a version in force is all of these
    work: Work,
    keyring: Keyring,
    consent: Consent,
    text: Text,
    kind: VersionKind,
    *,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Changed:
    """A new version stands. Its shares come before the commit, the old one's go after it, and by a duty."""
    consent.version_number += 1
    version = add_version(work, keyring, consent, text, kind, now)
    receipt_jws = put_in_force(
        work, keyring, consent, version, text.terms, purpose=purpose, sign_receipt=sign_receipt, now=now
    )
    if kind in _NEW_PLACES:
        consent.places_since = version.number
    was_paused = consent.state == ConsentState.PAUSED
    reason = StateReason(consent.state_reason) if consent.state_reason else None
    move(consent, _EVENTS[kind], reason if kind is VersionKind.NARROWING else None)
    record_consent_event(
        work,
        keyring,
        consent,
        _EVENTS[kind],
        facts={"version": version.number, "kind": kind},
        detail=agreed_detail(text.terms, version, purpose),
        now=now,
    )
    grant_id, version_id = consent.grant_id, version.version_id
    owe(work.session, DutyKind.RETIRE_SHARES, version_id, now)
    owe(work.session, DutyKind.TELL_REPLACED, grant_id, now)
    hurry(work.session, DutyKind.TELL_RECIPIENT, grant_id, now)
    if was_paused and consent.state == ConsentState.GIVEN:
        owe(work.session, DutyKind.TELL_RESUMED, grant_id, now)
    work.after_commit(lambda: _discard(keyring.delete_shares_before(version_id)))
    return Changed(grant_id, version_id, text.terms, receipt_jws)


def _discard(_: int) -> None:
    """The number of deleted shares tells nothing here: the duty counts again."""


def own(work: Work, grant_id: str, subject_id: str) -> Consent:
    """A person's consent, locked; somebody else's is as unknown: NotFoundError."""
    consent = lock(work, grant_id)
    if consent.subject_id != subject_id:
        raise NotFoundError
    return consent


def require_living(consent: Consent, now: datetime, event: str) -> None:
    """Raise WrongStateError unless the consent may still open something."""
    if consent.state not in LIVING or now >= consent.valid_until:
        raise WrongStateError(consent.state, event)


def places_taken(work: Work, consent: Consent) -> int:
    """How many pulls count against the consent's places now."""
    taken = (
        select(func.count())
        .select_from(Delivery)
        .where(
            Delivery.grant_id == consent.grant_id,
            Delivery.places_since == consent.places_since,
        )
    )
    return work.session.exec(taken).one()


def keeps_tokens(kinds: Iterable[str]) -> bool:
    """Whether a refresh token of a version opens the present one: `kinds` are those of all versions since."""
    return all(kind in KEEPS_TOKENS for kind in kinds)


def is_paused_by_others(consent: Consent) -> bool:
    """Whether it is paused for a reason that the person cannot end by wanting it to go on."""
    others = {StateReason.RECONSENT, StateReason.RECIPIENT_SUSPENDED}
    return consent.state == ConsentState.PAUSED and consent.state_reason in others
