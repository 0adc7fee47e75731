"""The life of a consent, from request to its end. With `consent.changing` the only writer of Consent.

Every transition locks its consent (`FOR NO KEY UPDATE`: the lane's foreign keys must not wait), follows the
table of `consent.states`, raises `change_count` and puts its event into the same commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import select

from consent import states
from consent.errors import NotFoundError, ReconsentNeededError, WrongStateError
from consent.evidence import Work, record_consent_event
from consent.granting import (
    ReceiptSigner,
    Text,
    add_version,
    agreed_detail,
    await_arrivals,
    check_notice,
    current_version,
    language_of,
    misses_co_holder,
    put_in_force,
    with_holders,
)
from consent.models import Consent, ConsentParty, ConsentVersion
from consent.obligations import fall_due
from consent.outbox import DutyKind, hurry, owe
from consent.purposes import Language, Purpose
from consent.receipt_issue import owe_receipt
from consent.terms import Terms, narrow
from consent.versions import REQUESTED_NUMBER, open_terms, version_id_of
from consent.vocabulary import ConsentState, EventType, StateReason, VersionKind
from vault.keys.keyring import Keyring
from vault.schema import random_id

_NOT_THEIR_OWN = frozenset({StateReason.RECIPIENT_SUSPENDED, StateReason.INACTIVITY})


@dataclass(frozen=True, slots=True)
class NewConsent:
    """A request that a signed-in person has opened.

    `signed_by` is the representative who decides for them; `co_holders` are others who must sign too.
    """

    subject_id: str
    recipient_id: str
    client_id: str
    terms: Terms
    notice_digest: bytes
    language: Language
    signed_by: str | None = None
    co_holders: frozenset[str] = frozenset()
    deal_id: str | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """A person's yes: to which record types, to which text, and from which holders.

    `holders` are those that the person was shown where the terms name none (all that are linked). `chosen`
    says for a record type which answer is given instead of what was asked for (`Alternative.key`).
    """

    grant_id: str
    subject_id: str
    granted: frozenset[str]
    notice_digest: bytes
    language: Language
    holders: frozenset[str] = frozenset()
    chosen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Given:
    """What a signature made. `receipt_jws` is None while somebody else has yet to sign."""

    grant_id: str
    version_id: str
    terms: Terms
    receipt_jws: str | None


def request(work: Work, keyring: Keyring, new: NewConsent, now: datetime) -> str:
    """A request becomes a consent in state REQUESTED; answers its grant_id.

    Version 0 holds what was asked; giving adds version 1 with what was agreed.
    """
    keyring.ensure_subject(new.subject_id, now)
    grant_id = random_id()
    consent = Consent(
        grant_id=grant_id,
        subject_id=new.subject_id,
        recipient_id=new.recipient_id,
        client_id=new.client_id,
        purpose=new.terms.purpose,
        handle=random_id(),
        state=ConsentState.REQUESTED,
        change_count=0,
        version_number=REQUESTED_NUMBER,
        valid_from=new.terms.access.valid_from,
        valid_until=new.terms.access.valid_until,
        max_pulls=new.terms.access.max_pulls,
        deal_id=new.deal_id,
        signed_by=new.signed_by,
        created_at=now,
    )
    work.session.add(consent)
    work.session.flush()
    for subject_id in sorted(new.co_holders - {new.subject_id}):
        work.session.add(ConsentParty(grant_id=grant_id, subject_id=subject_id, kind="co_holder"))
    text = Text(new.terms, new.notice_digest, new.language)
    add_version(work, keyring, consent, text, VersionKind.REQUEST, now)
    record_consent_event(
        work, keyring, consent, EventType.CONSENT_REQUESTED, detail={"terms": new.terms.to_detail()}, now=now
    )
    return grant_id


def give(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    signature: Signature,
    *,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Given:
    """The person agrees. If nobody else must sign, the consent is given; otherwise it is partially signed.

    `purpose` is the consent's, with the texts as they read now: the text that was signed must be one
    of them. What was agreed names the holders, also where the request did not. Raises NotFoundError,
    WrongStateError, NoticeChangedError (also when other holders are linked than were shown),
    NoHolderError, RequiredItemMissingError, UnknownOrganisationError, InvalidTermsError.
    """
    consent = _locked(work, signature.grant_id, signature.subject_id)
    if consent.state != ConsentState.REQUESTED or now >= consent.valid_until:
        raise WrongStateError(consent.state, "give")
    check_notice(consent, purpose, signature.notice_digest, signature.language)
    await_arrivals(work, consent.subject_id)
    asked = work.session.get_one(ConsentVersion, version_id_of(consent.grant_id, REQUESTED_NUMBER))
    chosen = purpose.choose(signature.chosen)
    narrowed = narrow(open_terms(keyring, consent.subject_id, asked), signature.granted, chosen)
    terms = with_holders(work, consent.subject_id, narrowed, signature.holders, now)
    consent.version_number = REQUESTED_NUMBER + 1
    text = Text(terms, signature.notice_digest, signature.language)
    version = add_version(work, keyring, consent, text, VersionKind.GRANT, now)
    if others_must_sign(work, consent):
        move(consent, EventType.CONSENT_SIGNED)
        detail = agreed_detail(terms, version, purpose)
        record_consent_event(work, keyring, consent, EventType.CONSENT_SIGNED, detail=detail, now=now)
        return Given(consent.grant_id, version.version_id, terms, None)
    receipt_jws = _complete(
        work, keyring, consent, version, terms, purpose=purpose, sign_receipt=sign_receipt, now=now
    )
    return Given(consent.grant_id, version.version_id, terms, receipt_jws)


def complete(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    consent: Consent,
    *,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Given:
    """The last one has signed: the consent is given. `consent` is locked and PARTIALLY_SIGNED.

    Raises WrongStateError (also once its window is over), NoticeChangedError if the text was revised since
    the person signed it, UnknownOrganisationError.
    """
    if consent.state != ConsentState.PARTIALLY_SIGNED or now >= consent.valid_until:
        raise WrongStateError(consent.state, "complete")
    version = current_version(work, consent)
    check_notice(consent, purpose, version.notice_digest, language_of(version))
    terms = open_terms(keyring, consent.subject_id, version)
    receipt_jws = _complete(
        work, keyring, consent, version, terms, purpose=purpose, sign_receipt=sign_receipt, now=now
    )
    return Given(consent.grant_id, version.version_id, terms, receipt_jws)


def others_must_sign(work: Work, consent: Consent) -> bool:
    """Whether a co-holder has yet to approve, or it is one of a deal, which completes all at once."""
    return consent.deal_id is not None or misses_co_holder(work.session, consent)


def refuse(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person says no. No reason is asked for."""
    refuse_locked(work, keyring, _locked(work, grant_id, subject_id), None, now)


def refuse_locked(
    work: Work, keyring: Keyring, consent: Consent, reason: StateReason | None, now: datetime
) -> None:
    """The same for a consent that is locked: somebody who had to sign too has refused (`reason`).

    Raises WrongStateError unless it waits for a decision.
    """
    _end(work, keyring, consent, EventType.CONSENT_REFUSED, reason, now)


def pause(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person stops it for a time: pulls are refused, shares and tokens stay. Idempotent.

    A pause for a reason that passes by itself becomes the person's own. Raises NotFoundError, and
    WrongStateError unless it is living and its window is not over.
    """
    consent = _locked(work, grant_id, subject_id)
    if consent.state == ConsentState.PAUSED and consent.state_reason not in _NOT_THEIR_OWN:
        return
    pause_locked(work, keyring, consent, StateReason.BY_SUBJECT, now)


def pause_locked(work: Work, keyring: Keyring, consent: Consent, reason: StateReason, now: datetime) -> None:
    """Pause a consent that is locked, or give its pause another reason.

    Raises WrongStateError unless it is living and in time.
    """
    if consent.state not in states.LIVING or now >= consent.valid_until:
        raise WrongStateError(consent.state, "pause")
    move(consent, EventType.CONSENT_PAUSED, reason)
    owe(work.session, DutyKind.TELL_PAUSED, consent.grant_id, now)
    detail = {"reason": reason}
    record_consent_event(work, keyring, consent, EventType.CONSENT_PAUSED, detail=detail, now=now)


def resume(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person lets it go on, with no new token; what arrived meanwhile is told at once. Idempotent.

    Raises NotFoundError, WrongStateError unless it is paused (or given) and its window is not over, or
    while its recipient is suspended, and ReconsentNeededError where the text has to be read first.
    """
    consent = _locked(work, grant_id, subject_id)
    if consent.state not in states.LIVING or now >= consent.valid_until:
        raise WrongStateError(consent.state, "resume")
    if consent.state == ConsentState.GIVEN:
        return
    if consent.state_reason == StateReason.RECONSENT:
        raise ReconsentNeededError
    if consent.state_reason == StateReason.RECIPIENT_SUSPENDED:
        raise WrongStateError(consent.state, "resume")
    resume_locked(work, keyring, consent, now)


def resume_locked(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> None:
    """Let a paused consent that is locked go on; the caller knows that its reason is over."""
    move(consent, EventType.CONSENT_RESUMED)
    hurry(work.session, DutyKind.TELL_RECIPIENT, consent.grant_id, now)
    owe(work.session, DutyKind.TELL_RESUMED, consent.grant_id, now)
    record_consent_event(work, keyring, consent, EventType.CONSENT_RESUMED, detail={}, now=now)


def withdraw(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person stops it. Once this has committed, nothing is released; a second time changes nothing.

    What has ended by itself can still be withdrawn: what was stored must be deleted now. Raises
    NotFoundError, and WrongStateError for what was never signed.
    """
    withdraw_locked(work, keyring, _locked(work, grant_id, subject_id), now)


def withdraw_locked(
    work: Work, keyring: Keyring, consent: Consent, now: datetime, reason: StateReason | None = None
) -> None:
    """The same for a consent that is locked: a co-holder or a representative stops it."""
    if consent.state == ConsentState.WITHDRAWN:
        return
    if consent.state == ConsentState.EXPIRED and consent.given_at is None:
        raise WrongStateError(consent.state, "withdraw")  # a request that nobody answered
    _end(work, keyring, consent, EventType.CONSENT_WITHDRAWN, reason, now)


def revoke(work: Work, keyring: Keyring, grant_id: str, reason: StateReason, now: datetime) -> None:
    """Somebody other than the person ends it: an authority, the registrar, security. Idempotent.

    Raises NotFoundError, and WrongStateError unless it is living.
    """
    consent = lock(work, grant_id)
    if consent.state != ConsentState.REVOKED:
        _end(work, keyring, consent, EventType.CONSENT_REVOKED, reason, now)


def invalidate(work: Work, keyring: Keyring, consent: Consent, reason: StateReason, now: datetime) -> None:
    """What it stood on has fallen: recipient, purpose, source or mandate. `consent` is locked. Idempotent.

    Raises WrongStateError unless it is living.
    """
    if consent.state != ConsentState.INVALIDATED:
        _end(work, keyring, consent, EventType.CONSENT_INVALIDATED, reason, now)


def fulfil(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> None:
    """The last place was acknowledged, or its redelivery window is over. `consent` is locked.

    Raises WrongStateError unless it is GIVEN.
    """
    _end(work, keyring, consent, EventType.CONSENT_FULFILLED, None, now)


def expire(
    work: Work, keyring: Keyring, consent: Consent, now: datetime, reason: StateReason | None = None
) -> None:
    """Time has ended it. `consent` is locked.

    A living one when its window is over (deciding has refused since that instant already), one that waits
    for a signature when the caller says so. Raises WrongStateError in any other state, and before a
    window's end.
    """
    if consent.state not in states.OPEN and now < consent.valid_until:
        raise WrongStateError(consent.state, "expire")
    _end(work, keyring, consent, EventType.CONSENT_EXPIRED, reason, now)


def lock(work: Work, grant_id: str) -> Consent:
    """The consent, locked for this transaction and read afresh. Raises NotFoundError."""
    consent = work.session.exec(
        select(Consent)
        .where(Consent.grant_id == grant_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if consent is None:
        raise NotFoundError
    return consent


def move(consent: Consent, event: EventType, reason: StateReason | None = None) -> None:
    """Follow the table. Raises WrongStateError. For `consent.changing`, besides this module."""
    consent.state = states.after(ConsentState(consent.state), event)
    consent.state_reason = reason
    consent.change_count += 1


def _complete(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    consent: Consent,
    version: ConsentVersion,
    terms: Terms,
    *,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> str:
    receipt_jws = put_in_force(
        work, keyring, consent, version, terms, purpose=purpose, sign_receipt=sign_receipt, now=now
    )
    consent.given_at = now
    move(consent, EventType.CONSENT_GIVEN)
    record_consent_event(
        work,
        keyring,
        consent,
        EventType.CONSENT_GIVEN,
        facts={"access": terms.access.kind},
        detail=agreed_detail(terms, version, purpose),
        now=now,
    )
    return receipt_jws


def _locked(work: Work, grant_id: str, subject_id: str) -> Consent:
    consent = lock(work, grant_id)
    if consent.subject_id != subject_id:
        raise NotFoundError
    return consent


def _end(  # noqa: PLR0913, PLR0917 - an end is all of these
    work: Work,
    keyring: Keyring,
    consent: Consent,
    event: EventType,
    reason: StateReason | None,
    now: datetime,
) -> None:
    """The one end of every consent: state and event commit, then the shares go; a duty repeats that."""
    grant_id = consent.grant_id
    move(consent, event, reason)
    consent.ended_at = now
    detail = {} if reason is None else {"reason": reason}
    record_consent_event(work, keyring, consent, event, detail=detail, now=now)
    owe(work.session, DutyKind.DESTROY_SHARES, grant_id, now)
    owe_receipt(work.session, consent, event, now)
    fall_due(work, keyring, consent, now)
    if consent.deal_id is not None:
        owe(work.session, DutyKind.CLOSE_DEAL, consent.deal_id, now)
    work.after_commit(lambda: _discard(keyring.delete_shares(grant_id)))


def _discard(_: int) -> None:
    """The number of deleted shares tells nothing here: the duty counts again."""
