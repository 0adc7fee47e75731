"""The life of a consent, from request to its end. The only writer of Consent.

Every transition locks its consent (`FOR NO KEY UPDATE`: the lane's foreign keys must not wait), checks
the state, raises `change_count` and puts its event into the same commit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import col, select

from consent.errors import NoHolderError, NotFoundError, NoticeChangedError, WrongStateError
from consent.evidence import Work, record_consent_event
from consent.models import Consent, ConsentCompartment, ConsentVersion, SourceLink
from consent.organisations import require_holders, require_recipient
from consent.outbox import DutyKind, hurry, owe
from consent.purposes import Language, Purpose
from consent.receipt import Agreement, receipt
from consent.terms import Terms, narrow
from consent.versions import REQUESTED_NUMBER, open_terms, seal_receipt, seal_terms, version_id_of
from consent.vocabulary import ConsentState, EventType
from vault.keys.keyring import Keyring
from vault.schema import random_id

ReceiptSigner = Callable[[Mapping[str, Any]], str]

_LIVING: Final = {ConsentState.GIVEN, ConsentState.PAUSED}
_CAN_BE_WITHDRAWN: Final = {*_LIVING, ConsentState.FULFILLED, ConsentState.EXPIRED}


@dataclass(frozen=True, slots=True)
class NewConsent:
    """A request that a signed-in person has opened."""

    subject_id: str
    recipient_id: str
    client_id: str
    terms: Terms
    notice_digest: bytes
    language: Language


@dataclass(frozen=True, slots=True)
class Signature:
    """A person's yes: to which record types, to which text, and from which holders.

    `holders` are those that the person was shown where the terms name none (all that are linked).
    """

    grant_id: str
    subject_id: str
    granted: frozenset[str]
    notice_digest: bytes
    language: Language
    holders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Given:
    """What giving a consent made."""

    grant_id: str
    version_id: str
    terms: Terms
    receipt_jws: str


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
        created_at=now,
    )
    work.session.add(consent)
    work.session.flush()
    _add_version(work, keyring, consent, _Text(new.terms, new.notice_digest, new.language), now)
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
    """The person agrees. Shares are made first: a crash leaves unused keys, never a consent without.

    `purpose` is the consent's, with the texts as they read now: the text that was signed must be one
    of them. What was agreed names the holders, also where the request did not. Raises NotFoundError,
    WrongStateError, NoticeChangedError (also when other holders are linked than were shown),
    NoHolderError, RequiredItemMissingError, UnknownOrganisationError.
    """
    consent = _locked(work, signature.grant_id, signature.subject_id)
    if consent.state != ConsentState.REQUESTED or now >= consent.valid_until:
        raise WrongStateError(consent.state, "give")
    if consent.purpose != purpose.code or signature.notice_digest != purpose.notice_digest(
        signature.language
    ):
        raise NoticeChangedError
    recipient = require_recipient(work.session, consent.recipient_id)
    _await_arrivals(work, consent.subject_id)
    terms, holders = _agreed(work, keyring, consent, signature, now)
    consent.version_number = REQUESTED_NUMBER + 1
    text = _Text(terms, signature.notice_digest, signature.language)
    version = _add_version(work, keyring, consent, text, now)
    _share(work, keyring, consent, version, terms=terms, holders=holders, now=now)
    agreement = Agreement(
        grant_id=consent.grant_id,
        version_number=consent.version_number,
        subject_ref=consent.handle,
        recipient=recipient,
        holders=tuple(holders),
        terms=terms,
        notice_digest=signature.notice_digest,
        notice_revision=purpose.notice.revision,
        language=signature.language,
        given_at=now,
    )
    receipt_jws = sign_receipt(receipt(agreement))
    version.receipt_sealed = seal_receipt(keyring, consent.subject_id, version.version_id, receipt_jws)
    consent.given_at = now
    _move(consent, ConsentState.GIVEN)
    detail = {
        "terms": terms.to_detail(),
        "notice": signature.notice_digest.hex(),
        "language": signature.language,
        "text": purpose.shown(signature.language),  # the digest alone could show nobody what was read
    }
    record_consent_event(work, keyring, consent, EventType.CONSENT_GIVEN, detail=detail, now=now)
    return Given(consent.grant_id, version.version_id, terms, receipt_jws)


def refuse(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person says no. No reason is asked for."""
    consent = _locked(work, grant_id, subject_id)
    if consent.state != ConsentState.REQUESTED:
        raise WrongStateError(consent.state, "refuse")
    consent.ended_at = now
    _move(consent, ConsentState.REFUSED)
    # An attempt to give that never committed may have left shares behind.
    work.after_commit(lambda: _discard(keyring.delete_shares(grant_id)))
    record_consent_event(work, keyring, consent, EventType.CONSENT_REFUSED, detail={}, now=now)


def pause(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person stops it for a time: pulls are refused, shares and tokens stay. Idempotent.

    Raises NotFoundError, and WrongStateError unless it is given and its window is not over.
    """
    consent = _locked(work, grant_id, subject_id)
    if consent.state == ConsentState.PAUSED:
        return
    if consent.state != ConsentState.GIVEN or now >= consent.valid_until:
        raise WrongStateError(consent.state, "pause")
    _move(consent, ConsentState.PAUSED)
    record_consent_event(work, keyring, consent, EventType.CONSENT_PAUSED, detail={}, now=now)


def resume(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person lets it go on, with no new token; what arrived meanwhile is told at once. Idempotent.

    Raises NotFoundError, and WrongStateError unless it is paused (or given) and its window is not over.
    """
    consent = _locked(work, grant_id, subject_id)
    if consent.state not in _LIVING or now >= consent.valid_until:
        raise WrongStateError(consent.state, "resume")
    if consent.state == ConsentState.GIVEN:
        return
    _move(consent, ConsentState.GIVEN)
    hurry(work.session, DutyKind.TELL_RECIPIENT, grant_id, now)
    record_consent_event(work, keyring, consent, EventType.CONSENT_RESUMED, detail={}, now=now)


def withdraw(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person stops it. Once this has committed, nothing is released; a second time changes nothing.

    Raises NotFoundError, and WrongStateError for what was never given.
    """
    consent = _locked(work, grant_id, subject_id)
    if consent.state == ConsentState.WITHDRAWN:
        return
    if consent.state not in _CAN_BE_WITHDRAWN or consent.given_at is None:
        raise WrongStateError(consent.state, "withdraw")
    _end(work, keyring, consent, ConsentState.WITHDRAWN, now)


def fulfil(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> None:
    """The last place was acknowledged, or its redelivery window is over. `consent` is locked.

    Raises WrongStateError unless it is GIVEN.
    """
    if consent.state != ConsentState.GIVEN:
        raise WrongStateError(consent.state, "fulfil")
    _end(work, keyring, consent, ConsentState.FULFILLED, now)


def expire(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> None:
    """Time has ended it. `consent` is locked.

    A living one when its window is over (deciding has refused since that instant already), a request when
    the caller says so. Raises WrongStateError in any other state, and before a window's end.
    """
    is_over = consent.state in _LIVING and now >= consent.valid_until
    if not is_over and consent.state != ConsentState.REQUESTED:
        raise WrongStateError(consent.state, "expire")
    _end(work, keyring, consent, ConsentState.EXPIRED, now)


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


@dataclass(frozen=True, slots=True)
class _Text:
    """Terms with the notice that explained them."""

    terms: Terms
    notice_digest: bytes
    language: str


_EVENTS: Final = {
    ConsentState.WITHDRAWN: EventType.CONSENT_WITHDRAWN,
    ConsentState.FULFILLED: EventType.CONSENT_FULFILLED,
    ConsentState.EXPIRED: EventType.CONSENT_EXPIRED,
}


def _locked(work: Work, grant_id: str, subject_id: str) -> Consent:
    consent = lock(work, grant_id)
    if consent.subject_id != subject_id:
        raise NotFoundError
    return consent


def _end(work: Work, keyring: Keyring, consent: Consent, state: ConsentState, now: datetime) -> None:
    """End access: state and event commit, then the shares go, then the answer; a duty repeats it."""
    grant_id = consent.grant_id
    consent.ended_at = now
    _move(consent, state)
    record_consent_event(work, keyring, consent, _EVENTS[state], detail={}, now=now)
    owe(work.session, DutyKind.DESTROY_SHARES, grant_id, now)
    work.after_commit(lambda: _discard(keyring.delete_shares(grant_id)))


def _discard(_: int) -> None:
    """The number of deleted shares tells nothing here: the duty counts again."""


def _move(consent: Consent, state: ConsentState) -> None:
    consent.state = state
    consent.change_count += 1


def _await_arrivals(work: Work, subject_id: str) -> None:
    """Wait for records that are being stored, which hold their link (`consent.collection`).

    What is stored before is in this consent's first pull; what comes after sees the consent and is
    announced. Without the lock a record could slip between the two.
    """
    living = select(SourceLink.link_id).where(
        SourceLink.subject_id == subject_id, col(SourceLink.ended_at).is_(None)
    )
    work.session.exec(living.order_by(col(SourceLink.link_id)).with_for_update(key_share=True)).all()


def _agreed(
    work: Work, keyring: Keyring, consent: Consent, signature: Signature, now: datetime
) -> tuple[Terms, list[str]]:
    """What was asked, narrowed to what the person said yes to, and the holders that it opens."""
    asked = work.session.get_one(ConsentVersion, version_id_of(consent.grant_id, REQUESTED_NUMBER))
    terms = narrow(open_terms(keyring, consent.subject_id, asked), signature.granted)
    holders = _holders(work, consent.subject_id, terms, now)
    if not holders:
        raise NoHolderError
    if terms.holders is None:
        if signature.holders != frozenset(holders):
            raise NoticeChangedError
        terms = terms.model_copy(update={"holders": tuple(holders)})
    return terms, holders


def _share(  # noqa: PLR0913 - a share is of all of these
    work: Work,
    keyring: Keyring,
    consent: Consent,
    version: ConsentVersion,
    *,
    terms: Terms,
    holders: list[str],
    now: datetime,
) -> None:
    """Let the version open the compartments of every granted item of every holder."""
    compartments = [
        keyring.compartment_id(consent.subject_id, holder, item.record_type)
        for item in terms.items
        for holder in holders
    ]
    keyring.delete_shares(consent.grant_id)  # what an attempt that never committed shared may be more
    keyring.share(version.version_id, consent.subject_id, compartments, now)
    for compartment_id in compartments:
        work.session.add(ConsentCompartment(version_id=version.version_id, compartment_id=compartment_id))


def _holders(work: Work, subject_id: str, terms: Terms, now: datetime) -> list[str]:
    """The holders that were named, or all that are linked now."""
    if terms.holders is not None:
        require_holders(work.session, terms.holders)
        return sorted(terms.holders)
    linked = work.session.exec(
        select(SourceLink.holder_id).where(
            SourceLink.subject_id == subject_id,
            col(SourceLink.ended_at).is_(None),
            col(SourceLink.valid_until) > now,
        )
    )
    return sorted(set(linked))


def _add_version(
    work: Work, keyring: Keyring, consent: Consent, text: _Text, now: datetime
) -> ConsentVersion:
    version_id = version_id_of(consent.grant_id, consent.version_number)
    version = ConsentVersion(
        version_id=version_id,
        grant_id=consent.grant_id,
        number=consent.version_number,
        terms_sealed=seal_terms(keyring, consent.subject_id, version_id, text.terms),
        # Keyed: terms are guessable, and a thief of the database could try them against a plain digest.
        terms_digest=keyring.index("consent.terms", text.terms.canonical().decode()),
        notice_digest=text.notice_digest,
        language=text.language,
        created_at=now,
    )
    work.session.add(version)
    work.session.flush()
    return version
