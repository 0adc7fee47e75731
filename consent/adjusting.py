"""What the person alone changes of a consent: less of it, the same for longer, the same after a new text.

Nothing here adds anything to what was agreed (invariant 17), so nobody else has to ask for it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from consent.caps import check_caps
from consent.errors import (
    InvalidTermsError,
    NothingToChangeError,
    WrongStateError,
)
from consent.evidence import Work
from consent.granting import (
    ReceiptSigner,
    Text,
    check_notice,
    current_version,
    language_of,
)
from consent.purposes import Language, Purpose
from consent.superseding import (
    Changed,
    is_paused_by_others,
    own,
    places_taken,
    require_living,
    supersede,
)
from consent.terms import Access, Terms, narrow
from consent.versions import open_terms
from consent.vocabulary import ConsentState, StateReason, VersionKind
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Read:
    """A text that a person has just read, and in which language."""

    notice_digest: bytes
    language: Language


def narrow_down(  # noqa: PLR0913 - each argument is a different thing that narrowing needs
    work: Work,
    keyring: Keyring,
    grant_id: str,
    subject_id: str,
    *,
    kept: frozenset[str],
    valid_until: datetime | None,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Changed:
    """The person takes items away, or ends it sooner, without asking anybody (PIPA decree article 42-5(6)).

    What was pulled counts on: of a consent for five pulls of which two were made, three are left.
    Raises NotFoundError, WrongStateError, RequiredItemMissingError, NothingToChangeError for what would
    leave everything as it is, or add something, InvalidTermsError for an end that lies in the past.
    """
    consent = own(work, grant_id, subject_id)
    require_living(consent, now, "narrow")
    if consent.state_reason == StateReason.RECONSENT:
        raise WrongStateError(consent.state, "narrow")
    version = current_version(work, consent)
    terms = open_terms(keyring, subject_id, version)
    if not kept <= {item.record_type for item in terms.items}:
        raise NothingToChangeError
    narrowed = narrow(terms, kept)
    access = _shortened(terms.access, valid_until, now)
    if narrowed == terms and access == terms.access:
        raise NothingToChangeError
    if places_taken(work, consent) >= terms.access.max_pulls:
        raise WrongStateError(consent.state, "narrow")
    text = Text(narrowed.model_copy(update={"access": access}), version.notice_digest, version.language)
    return supersede(
        work,
        keyring,
        consent,
        text,
        VersionKind.NARROWING,
        purpose=purpose,
        sign_receipt=sign_receipt,
        now=now,
    )


def renew(  # noqa: PLR0913 - each argument is a different thing that renewing needs
    work: Work,
    keyring: Keyring,
    grant_id: str,
    subject_id: str,
    *,
    purpose: Purpose,
    catalogue: Catalogue,
    sign_receipt: ReceiptSigner,
    now: datetime,
    read: Read | None = None,
) -> Changed:
    """The same again for as long as it was agreed the first time, in one step. It never adds anything.

    The text must be the one that was signed, as it reads now, or the one that was `read` just before. The
    terms must lie within the purpose as it is declared now. A representative may not renew, and with somebody
    who shares an account nobody renews alone. Raises NotFoundError, NoticeChangedError, CoHolderNeededError,
    WrongStateError (also for what is used up), NothingToChangeError when the purpose leaves no longer time.
    """
    consent = own(work, grant_id, subject_id)
    require_living(consent, now, "renew")
    is_represented = consent.signed_by is not None or work.acting is not None
    if is_represented or is_paused_by_others(consent):
        raise WrongStateError(consent.state, "renew")
    version = current_version(work, consent)
    text_read = read or Read(version.notice_digest, language_of(version))
    check_notice(consent, purpose, text_read.notice_digest, text_read.language)
    standing = open_terms(keyring, subject_id, version)
    if places_taken(work, consent) >= standing.access.max_pulls:
        raise WrongStateError(consent.state, "renew")
    terms = renewed_terms(standing, purpose, now)
    try:
        check_caps(terms, purpose, catalogue, now)
    except InvalidTermsError as error:
        raise NothingToChangeError from error
    text = Text(terms, text_read.notice_digest, text_read.language)
    return supersede(
        work, keyring, consent, text, VersionKind.RENEWAL, purpose=purpose, sign_receipt=sign_receipt, now=now
    )


def renewed_terms(terms: Terms, purpose: Purpose, now: datetime) -> Terms:
    """The terms with a window as long as theirs that begins now. Raises NothingToChangeError.

    A look-back window that reached to the end of access goes on with it: it would find nothing new otherwise.
    Where it begins follows, if the purpose looks back no further.
    """
    caps = purpose.caps_of(terms.access.kind)
    if caps is None:
        raise NothingToChangeError
    length = min(terms.access.valid_until - terms.access.valid_from, timedelta(days=caps.max_days))
    valid_until = now + length
    if valid_until <= terms.access.valid_until:
        raise NothingToChangeError
    access = terms.access.model_copy(
        update={"valid_from": min(terms.access.valid_from, now), "valid_until": valid_until}
    )
    period = terms.data_period
    earliest = now.date() - timedelta(days=caps.max_lookback_days)
    if period.from_ < earliest <= period.to:
        period = period.model_copy(update={"from_": earliest})
    if period.to >= terms.access.valid_until.date():
        period = period.model_copy(update={"to": max(period.to, valid_until.date())})
    return terms.model_copy(update={"access": access, "data_period": period})


def reconsent(  # noqa: PLR0913 - each argument is a different thing that signing needs
    work: Work,
    keyring: Keyring,
    grant_id: str,
    subject_id: str,
    *,
    notice_digest: bytes,
    language: Language,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Changed:
    """The person has read the revised text and agrees again to what they had agreed to.

    Raises NotFoundError, WrongStateError unless it is paused for this reason, NoticeChangedError.
    """
    consent = own(work, grant_id, subject_id)
    if consent.state != ConsentState.PAUSED or consent.state_reason != StateReason.RECONSENT:
        raise WrongStateError(consent.state, "reconsent")
    require_living(consent, now, "reconsent")
    check_notice(consent, purpose, notice_digest, language)
    version = current_version(work, consent)
    terms = open_terms(keyring, subject_id, version)
    text = Text(terms, notice_digest, language)
    return supersede(
        work,
        keyring,
        consent,
        text,
        VersionKind.RECONSENT,
        purpose=purpose,
        sign_receipt=sign_receipt,
        now=now,
    )


def _shortened(access: Access, valid_until: datetime | None, now: datetime) -> Access:
    if valid_until is None or valid_until == access.valid_until:
        return access
    if valid_until > access.valid_until:
        raise NothingToChangeError
    if valid_until <= max(now, access.valid_from):
        raise InvalidTermsError([("access.valid_until", "over already: stop it instead")])
    return access.model_copy(update={"valid_until": valid_until})
