"""What agreeing makes: a version with its terms, shares of the compartments it opens, and the receipt.

`consent.lifecycle` and `consent.changing` decide when; a version that nobody signed opens nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session, col, select

from consent.errors import (
    CoHolderNeededError,
    NoHolderError,
    NoticeChangedError,
    SignerRefusedError,
    UnknownOrganisationError,
)
from consent.evidence import Work
from consent.holding import require_approved, to_ask
from consent.models import Consent, ConsentCompartment, ConsentParty, ConsentVersion, SourceLink
from consent.organisations import require_holders, require_recipient
from consent.purposes import Language, Purpose
from consent.receipt import receipt
from consent.receipt_issue import agreement_of
from consent.roles import Role
from consent.standing import handover_of, is_child, require_signer
from consent.terms import Terms
from consent.versions import seal_receipt, seal_terms, version_id_of
from consent.vocabulary import PartyDecision, RefusalReason, VersionKind
from vault.keys.keyring import Keyring

APPROVED: Final = PartyDecision.APPROVED
_ADDS: Final = frozenset({VersionKind.AMENDMENT, VersionKind.RENEWAL})
"""Versions that let something go out which was not agreed to before, or for longer."""

ReceiptSigner = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Text:
    """Terms with the notice that explained them."""

    terms: Terms
    notice_digest: bytes
    language: str


def check_notice(consent: Consent, purpose: Purpose, notice_digest: bytes, language: Language) -> None:
    """What was signed must be the text as it reads now. Raises NoticeChangedError."""
    if consent.purpose != purpose.code or notice_digest != purpose.notice_digest(language):
        raise NoticeChangedError


def add_version(  # noqa: PLR0913, PLR0917 - a version is all of these
    work: Work, keyring: Keyring, consent: Consent, text: Text, kind: VersionKind, now: datetime
) -> ConsentVersion:
    """The row of the consent's present version number."""
    version_id = version_id_of(consent.grant_id, consent.version_number)
    version = ConsentVersion(
        version_id=version_id,
        grant_id=consent.grant_id,
        number=consent.version_number,
        kind=kind,
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


def put_in_force(  # noqa: PLR0913 - a version in force is all of these
    work: Work,
    keyring: Keyring,
    consent: Consent,
    version: ConsentVersion,
    terms: Terms,
    *,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
    is_signed: bool = True,
) -> str:
    """Let the version open the compartments of its items and holders; answers its receipt.

    Shares are made first: a crash leaves unused keys, never a consent without. Raises
    UnknownOrganisationError when the recipient or a holder is not active any more, and at the first time
    SignerRefusedError when whoever signed may not decide for the person. CoHolderNeededError where an account
    is opened whose other holders were not asked. `is_signed`: somebody agreed, and it was no emergency.
    """
    require_recipient(work.session, consent.recipient_id)
    if is_signed and consent.given_at is None:
        require_signer(work.session, consent, now)
        consent.pause_at = handover_of(work.session, consent, now)
    elif is_signed and version.kind != VersionKind.NARROWING:
        require_own_hand(work, consent, now)
    if version.kind in _ADDS and to_ask(
        work.session, consent.subject_id, terms.holders or (), [item.record_type for item in terms.items]
    ):
        raise CoHolderNeededError  # whoever holds an account too agreed to what they were shown, and no more
    if version.kind != VersionKind.NARROWING:
        require_approved(work.session, consent, terms)
    await_arrivals(work, consent.subject_id)
    _share(work, keyring, consent, version, terms=terms, now=now)
    consent.valid_from, consent.valid_until = terms.access.valid_from, terms.access.valid_until
    consent.max_pulls = terms.access.max_pulls
    agreement = agreement_of(work.session, consent, version, terms, purpose, now=now)
    receipt_jws = sign_receipt(receipt(agreement))
    version.receipt_sealed = seal_receipt(keyring, consent.subject_id, version.version_id, receipt_jws)
    return receipt_jws


def is_givable(work: Work, consent: Consent, terms: Terms, now: datetime) -> bool:
    """Whether `put_in_force` would refuse none of the people and organisations of a signed consent."""
    try:
        require_recipient(work.session, consent.recipient_id)
        require_signer(work.session, consent, now)
        require_approved(work.session, consent, terms)
    except (UnknownOrganisationError, SignerRefusedError, CoHolderNeededError):
        return False
    return True


def require_own_hand(work: Work, consent: Consent, now: datetime) -> None:
    """No child changes a consent alone (PIPA article 22-2). Raises SignerRefusedError."""
    if work.acting is None and is_child(work.session, consent.subject_id, now):
        raise SignerRefusedError(RefusalReason.GUARDIAN_UNVERIFIED)


def await_arrivals(work: Work, subject_id: str) -> None:
    """Wait for records that are being stored, which hold their link (`consent.collection`).

    What is stored before is in this consent's first pull; what comes after sees the consent and is
    announced. Without the lock a record could slip between the two.
    """
    living = select(SourceLink.link_id).where(
        SourceLink.subject_id == subject_id, col(SourceLink.ended_at).is_(None)
    )
    work.session.exec(living.order_by(col(SourceLink.link_id)).with_for_update(key_share=True)).all()


def with_holders(work: Work, subject_id: str, terms: Terms, shown: frozenset[str], now: datetime) -> Terms:
    """The terms with the holders that they open: those named, or all that are linked and were `shown`.

    Raises NoHolderError, UnknownOrganisationError, and NoticeChangedError when others are linked by now.
    """
    holders = _holders(work, subject_id, terms, now)
    if not holders:
        raise NoHolderError
    if terms.holders is not None:
        return terms
    if shown != frozenset(holders):
        raise NoticeChangedError
    return terms.model_copy(update={"holders": tuple(holders)})


def misses_co_holder(session: Session, consent: Consent) -> bool:
    """Whether somebody whose account it is too has yet to approve."""
    open_parties = select(ConsentParty.subject_id).where(
        ConsentParty.grant_id == consent.grant_id, col(ConsentParty.decision).is_distinct_from(APPROVED)
    )
    return session.exec(open_parties.limit(1)).first() is not None


def current_version(work: Work, consent: Consent) -> ConsentVersion:
    """The version that stands."""
    return work.session.get_one(ConsentVersion, version_id_of(consent.grant_id, consent.version_number))


def language_of(version: ConsentVersion) -> Language:
    """The language a version was agreed in."""
    return "en" if version.language == "en" else "ko"


def agreed_detail(terms: Terms, version: ConsentVersion, purpose: Purpose) -> Mapping[str, Any]:
    """What the log keeps of an agreement, sealed: the digest alone could show nobody what was read."""
    return {
        "version": version.number,
        "terms": terms.to_detail(),
        "notice": version.notice_digest.hex(),
        "language": version.language,
        "text": purpose.shown(language_of(version)),
    }


def _share(  # noqa: PLR0913 - a share is of all of these
    work: Work,
    keyring: Keyring,
    consent: Consent,
    version: ConsentVersion,
    *,
    terms: Terms,
    now: datetime,
) -> None:
    """Let the version open the compartments of every granted item of every holder."""
    compartments = [
        keyring.compartment_id(consent.subject_id, holder, item.record_type)
        for item in terms.items
        for holder in sorted(terms.holders or ())
    ]
    keyring.delete_version_shares(version.version_id)  # an attempt that never committed may have shared more
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
            SourceLink.role == Role.MANAGER,  # what came in another role is not sent on
            col(SourceLink.ended_at).is_(None),
            col(SourceLink.valid_until) > now,
        )
    )
    return sorted(set(linked))
