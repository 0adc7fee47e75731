"""Changes that a recipient proposes to a consent that was given.

A change that is signed makes a new version of the same consent; until then the old one stands as it is, and
whatever becomes of the proposal (invariant 16).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import select

from consent.caps import check_caps
from consent.errors import (
    InvalidTermsError,
    NotFoundError,
    WrongStateError,
)
from consent.evidence import Work, record_consent_event
from consent.granting import (
    ReceiptSigner,
    Text,
    check_notice,
    current_version,
    with_holders,
)
from consent.lifecycle import lock
from consent.merging import merge
from consent.models import Consent, ConsentChange
from consent.purposes import Language, Purpose
from consent.states import LIVING
from consent.superseding import Changed, is_paused_by_others, own, require_living, supersede
from consent.terms import Terms, narrow
from consent.versions import open_terms, seal_change, unseal_change
from consent.vocabulary import ChangeState, EventType, VersionKind
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue
from vault.schema import random_id


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that waits for its person."""

    change_id: str
    grant_id: str
    terms: Terms
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ChangeSignature:
    """A person's yes to a change, as in `consent.lifecycle.Signature`."""

    change_id: str
    subject_id: str
    granted: frozenset[str]
    notice_digest: bytes
    language: Language
    holders: frozenset[str] = frozenset()
    chosen: Mapping[str, str] = field(default_factory=dict)


def propose(  # noqa: PLR0913 - who proposes what to whom, and until when
    work: Work,
    keyring: Keyring,
    grant_id: str,
    *,
    subject_id: str,
    client_id: str,
    terms: Terms,
    expires_at: datetime,
    now: datetime,
) -> str:
    """Keep what a recipient proposes instead of the standing terms; answers the change's id.

    The consent goes on unchanged; an earlier proposal that nobody has decided on is over. Raises
    NotFoundError for a consent that is not this person's or not this client's, WrongStateError unless it is
    living, InvalidTermsError for another purpose.
    """
    consent = _changeable(work, grant_id, subject_id, client_id, now)
    if terms.purpose != consent.purpose:
        raise InvalidTermsError([("purpose", "a consent keeps its purpose: ask for a new one")])
    earlier = _open_change(work, grant_id)
    if earlier is not None:  # the recipient asks for something else by now
        _close(work, keyring, consent, earlier, ChangeState.EXPIRED, now)
        work.session.flush()
    change_id = random_id()
    work.session.add(
        ConsentChange(
            change_id=change_id,
            grant_id=grant_id,
            base_number=consent.version_number,
            terms_sealed=seal_change(keyring, subject_id, change_id, terms),
            state=ChangeState.OPEN,
            created_at=now,
            expires_at=expires_at,
        )
    )
    detail = {"change_id": change_id, "terms": terms.to_detail()}
    record_consent_event(work, keyring, consent, EventType.CHANGE_REQUESTED, detail=detail, now=now)
    return change_id


def propose_merge(  # noqa: PLR0913 - who proposes what to whom, and until when
    work: Work,
    keyring: Keyring,
    grant_id: str,
    *,
    subject_id: str,
    client_id: str,
    asked: Terms,
    purpose: Purpose,
    catalogue: Catalogue,
    expires_at: datetime,
    now: datetime,
) -> str:
    """The same with what is asked added to what stands at this moment (`consent.merging`).

    Raises what `propose` raises; InvalidTermsError also where the two are no one whole, or it would go beyond
    the purpose as it is declared now.
    """
    consent = _changeable(work, grant_id, subject_id, client_id, now)
    standing = open_terms(keyring, subject_id, current_version(work, consent))
    terms = merge(standing, asked, now)
    check_caps(terms, purpose, catalogue, now)
    return propose(
        work,
        keyring,
        grant_id,
        subject_id=subject_id,
        client_id=client_id,
        terms=terms,
        expires_at=expires_at,
        now=now,
    )


def proposal_of(work: Work, keyring: Keyring, change_id: str, subject_id: str, now: datetime) -> Proposal:
    """A change that this person can still decide on. Raises NotFoundError."""
    change, consent = _change(work, change_id, subject_id)
    if change.state != ChangeState.OPEN or now >= change.expires_at:
        raise NotFoundError
    terms = unseal_change(keyring, consent.subject_id, change.change_id, change.terms_sealed)
    return Proposal(change_id, change.grant_id, terms, change.expires_at)


def sign_change(  # noqa: PLR0913 - each argument is a different thing that signing needs
    work: Work,
    keyring: Keyring,
    signature: ChangeSignature,
    *,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Changed:
    """The person agrees to the change: a new version stands, the old one is superseded at once.

    Raises NotFoundError, WrongStateError (the consent has ended, or has changed since it was proposed),
    NoticeChangedError, RequiredItemMissingError, NoHolderError, UnknownOrganisationError.
    """
    change, consent = _change(work, signature.change_id, signature.subject_id)
    if change.state != ChangeState.OPEN or now >= change.expires_at:
        raise WrongStateError(change.state, "sign")
    require_living(consent, now, "amend")
    if change.base_number != consent.version_number or is_paused_by_others(consent):
        raise WrongStateError(consent.state, "amend")
    check_notice(consent, purpose, signature.notice_digest, signature.language)
    asked = unseal_change(keyring, consent.subject_id, change.change_id, change.terms_sealed)
    narrowed = narrow(asked, signature.granted, purpose.choose(signature.chosen))
    terms = with_holders(work, consent.subject_id, narrowed, signature.holders, now)
    change.state, change.ended_at = ChangeState.SIGNED, now
    text = Text(terms, signature.notice_digest, signature.language)
    return supersede(
        work,
        keyring,
        consent,
        text,
        VersionKind.AMENDMENT,
        purpose=purpose,
        sign_receipt=sign_receipt,
        now=now,
    )


def refuse_change(work: Work, keyring: Keyring, change_id: str, subject_id: str, now: datetime) -> None:
    """The person says no to it; the consent stays as it was. Raises NotFoundError, WrongStateError."""
    change, consent = _change(work, change_id, subject_id)
    if change.state != ChangeState.OPEN:
        raise WrongStateError(change.state, "refuse")
    _close(work, keyring, consent, change, ChangeState.REFUSED, now)


def expire_changes(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> int:
    """Close the consent's open change if its time, or the consent, is over. `consent` is locked."""
    change = _open_change(work, consent.grant_id)
    if change is None or (consent.state in LIVING and now < change.expires_at):
        return 0
    _close(work, keyring, consent, change, ChangeState.EXPIRED, now)
    return 1


def _changeable(work: Work, grant_id: str, subject_id: str, client_id: str, now: datetime) -> Consent:
    """The client's living consent of this person, locked."""
    consent = lock(work, grant_id)
    if consent.subject_id != subject_id or consent.client_id != client_id:
        raise NotFoundError
    require_living(consent, now, "change")
    return consent


def _change(work: Work, change_id: str, subject_id: str) -> tuple[ConsentChange, Consent]:
    """The change, read under its consent's lock; somebody else's is as unknown."""
    where = ConsentChange.change_id == change_id
    grant_id = work.session.exec(select(ConsentChange.grant_id).where(where)).one_or_none()
    if grant_id is None:
        raise NotFoundError
    consent = own(work, grant_id, subject_id)
    change = work.session.exec(
        select(ConsentChange).where(where).execution_options(populate_existing=True)
    ).one()
    return change, consent


def _open_change(work: Work, grant_id: str) -> ConsentChange | None:
    return work.session.exec(
        select(ConsentChange).where(
            ConsentChange.grant_id == grant_id, ConsentChange.state == ChangeState.OPEN
        )
    ).one_or_none()


def _close(  # noqa: PLR0913, PLR0917 - which change of which consent ends how
    work: Work, keyring: Keyring, consent: Consent, change: ConsentChange, state: ChangeState, now: datetime
) -> None:
    change.state, change.ended_at = state, now
    event = EventType.CHANGE_REFUSED if state is ChangeState.REFUSED else EventType.CHANGE_EXPIRED
    detail = {"change_id": change.change_id}
    record_consent_event(work, keyring, consent, event, detail=detail, now=now)
