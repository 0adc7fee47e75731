"""The yes of an account's other holders to a consent that opens it (invariant 18).

Each is asked about the account that is theirs too, and sees nothing else of what the consent covers. The last
yes gives the consent, one no refuses it, and afterwards each can stop it for all. What a co-holder does is on
their own record. To whoever somebody is shielded from, all of it is as unknown (CDR rule 4A.15).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlmodel import Session, col, select

from consent import deals, lifecycle
from consent.coholding import lock_people, record_holding
from consent.deal_holding import deal_id_of, hold_of
from consent.errors import NotFoundError, NoticeChangedError, WrongStateError
from consent.evidence import Work, record_consent_event
from consent.granting import ReceiptSigner, misses_co_holder
from consent.holding import Shared, shared_accounts, shields_of, to_ask
from consent.models import Consent, ConsentParty, ConsentVersion, Organisation
from consent.purposes import Purposes
from consent.reading import Party, party, state_at
from consent.versions import REQUESTED_NUMBER, open_terms, version_id_of
from consent.vocabulary import ConsentState, EventType, PartyDecision, StateReason
from vault.keys.keyring import Keyring

_KIND: Final = "co_holder"


class Outcome(StrEnum):
    """What came of an approval: the consent is given, waits for others, or could not be given any more."""

    GIVEN = "given"
    WAITING = "waiting"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """What a co-holder sees: who asks for what purpose, and the account that is theirs too. Nothing else."""

    grant_id: str
    recipient: Party
    purpose: str
    asked_by: str
    state: ConsentState
    accounts: tuple[tuple[Party, str], ...]
    decision: str | None
    decided_at: datetime | None
    valid_until: datetime

    @property
    def is_waiting(self) -> bool:
        """Whether they have yet to decide."""
        return self.decision is None and self.state is ConsentState.PARTIALLY_SIGNED

    @property
    def can_be_stopped(self) -> bool:
        """Whether there is something that they can stop for all."""
        living = {ConsentState.PARTIALLY_SIGNED, ConsentState.GIVEN, ConsentState.PAUSED}
        return self.decision == PartyDecision.APPROVED and self.state in living


def ask(  # noqa: PLR0913 - who is asked about what, and when
    work: Work,
    keyring: Keyring,
    grant_id: str,
    subject_id: str,
    *,
    holders: Collection[str],
    record_types: Collection[str],
    now: datetime,
) -> list[str]:
    """Before a person signs: everybody must approve whose account it opens too. Answers their subject ids.

    What is asked of whom is decided anew by what is signed: who need not approve is not asked. Raises
    NotFoundError.
    """
    lock_people(work.session, [subject_id])  # a shield that is raised now comes before or after this
    if deal_id_of(work.session, grant_id) is not None:
        hold_of(work, grant_id)
    consent = lifecycle.lock(work, grant_id)
    if consent.subject_id != subject_id:
        raise NotFoundError
    asked = to_ask(work.session, subject_id, holders, record_types)
    people = {shared.other_id for shared in asked}
    rows = _parties(work.session, grant_id)
    for row in rows:
        if row.subject_id not in people and row.decision is None:
            work.session.delete(row)
    for other_id in sorted(people - {row.subject_id for row in rows}):
        work.session.add(ConsentParty(grant_id=grant_id, subject_id=other_id, kind=_KIND))
    work.session.flush()
    silent = shields_of(work.session, subject_id)  # their yes is needed, and they are not told of it
    for shared in asked:
        if shared.other_id in silent:
            continue
        _record_about(work, keyring, shared, consent, EventType.APPROVAL_REQUESTED, now)
    return sorted(people)


def approvals_of(session: Session, keyring: Keyring, co_holder_id: str, now: datetime) -> list[ApprovalView]:
    """Everything that a person was asked for as a co-holder, the newest first."""
    rows = session.exec(
        select(ConsentParty, Consent)
        .join(Consent, col(Consent.grant_id) == col(ConsentParty.grant_id))
        .where(
            ConsentParty.subject_id == co_holder_id,
            ConsentParty.kind == _KIND,
            Consent.version_number != REQUESTED_NUMBER,  # the person has not agreed themselves, and may never
        )
        .order_by(col(Consent.created_at).desc())
    ).all()
    return [
        _view(session, keyring, row, consent, now)
        for row, consent in rows
        if co_holder_id not in shields_of(session, consent.subject_id)
    ]


def approve(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    grant_id: str,
    co_holder_id: str,
    *,
    purposes: Purposes,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Outcome:
    """A co-holder says yes; with the last one the consent is given. A second time changes nothing.

    OVER: the text has changed since it was signed, and everybody would have to be asked again. Raises
    NotFoundError, also where they must not know of it, WrongStateError, SignerRefusedError.
    """
    consent, row = _held(work, grant_id, co_holder_id)
    if row.decision == PartyDecision.APPROVED:
        return Outcome.WAITING if misses_co_holder(work.session, consent) else Outcome.GIVEN
    is_waiting = consent.state == ConsentState.PARTIALLY_SIGNED and now < consent.valid_until
    if row.decision is not None or not is_waiting:
        raise WrongStateError(consent.state, "approve")
    row.decision, row.decided_at = PartyDecision.APPROVED, now
    work.session.flush()
    _record_own(work, keyring, consent, co_holder_id, EventType.APPROVAL_GIVEN, now)
    return complete_if_last(work, keyring, consent, purposes=purposes, sign_receipt=sign_receipt, now=now)


def complete_if_last(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    consent: Consent,
    *,
    purposes: Purposes,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Outcome:
    """Give a consent that is locked and partially signed, if nobody else has to sign."""
    if misses_co_holder(work.session, consent):
        lifecycle.move(consent, EventType.CONSENT_SIGNED)
        record_consent_event(work, keyring, consent, EventType.CONSENT_SIGNED, detail={"by": _KIND}, now=now)
        return Outcome.WAITING
    if consent.deal_id is not None:
        deals.settle(work, keyring, consent.grant_id, purposes=purposes, sign_receipt=sign_receipt, now=now)
        return Outcome.GIVEN if consent.state == ConsentState.GIVEN else Outcome.WAITING
    purpose = purposes.get(consent.purpose)
    try:
        lifecycle.complete(work, keyring, consent, purpose=purpose, sign_receipt=sign_receipt, now=now)
    except NoticeChangedError:
        lifecycle.expire(work, keyring, consent, now, StateReason.RECONSENT)
        return Outcome.OVER
    return Outcome.GIVEN


def complete_freed(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    grant_id: str,
    *,
    purposes: Purposes,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Outcome:
    """After a shield, in a transaction of its own: give what waits for no co-holder any more.

    Raises ConsentError where it cannot be given now: it waits, and `leave_waiting` puts that on record.
    """
    if deal_id_of(work.session, grant_id) is not None:
        hold_of(work, grant_id)
    consent = lifecycle.lock(work, grant_id)
    if consent.state != ConsentState.PARTIALLY_SIGNED:
        return Outcome.OVER
    return complete_if_last(work, keyring, consent, purposes=purposes, sign_receipt=sign_receipt, now=now)


def leave_waiting(work: Work, keyring: Keyring, grant_id: str, fault: str, now: datetime) -> None:
    """Put on a consent's record that it could not be given, although nobody is waited for."""
    consent = lifecycle.lock(work, grant_id)
    if consent.state == ConsentState.PARTIALLY_SIGNED:
        lifecycle.move(consent, EventType.CONSENT_SIGNED)
        detail = {"by": "shield", "not_given": fault}
        record_consent_event(work, keyring, consent, EventType.CONSENT_SIGNED, detail=detail, now=now)


def refuse(work: Work, keyring: Keyring, grant_id: str, co_holder_id: str, now: datetime) -> None:
    """A co-holder says no: the consent is refused. Raises NotFoundError, WrongStateError."""
    consent, row = _held(work, grant_id, co_holder_id)
    if row.decision == PartyDecision.REFUSED:
        return
    if row.decision is not None or consent.state != ConsentState.PARTIALLY_SIGNED:
        raise WrongStateError(consent.state, "refuse")
    row.decision, row.decided_at = PartyDecision.REFUSED, now
    _record_own(work, keyring, consent, co_holder_id, EventType.APPROVAL_REFUSED, now)
    lifecycle.refuse_locked(work, keyring, consent, StateReason.CO_HOLDER, now)


def withdraw(work: Work, keyring: Keyring, grant_id: str, co_holder_id: str, now: datetime) -> None:
    """A co-holder who had approved stops it for all. Idempotent. Raises NotFoundError, WrongStateError."""
    consent, row = _held(work, grant_id, co_holder_id)
    if row.decision != PartyDecision.APPROVED:
        raise WrongStateError(consent.state, "withdraw")
    if consent.state == ConsentState.WITHDRAWN:
        return
    lifecycle.withdraw_locked(work, keyring, consent, now, StateReason.CO_HOLDER)
    _record_own(work, keyring, consent, co_holder_id, EventType.APPROVAL_WITHDRAWN, now)


def _held(work: Work, grant_id: str, co_holder_id: str) -> tuple[Consent, ConsentParty]:
    """The consent, locked, and the co-holder's part of it. A deal's row comes before its consents."""
    row = work.session.get(ConsentParty, (grant_id, co_holder_id))
    if row is None or row.kind != _KIND:
        raise NotFoundError
    if deal_id_of(work.session, grant_id) is not None:
        hold_of(work, grant_id)
    consent = lifecycle.lock(work, grant_id)
    row = work.session.get(ConsentParty, (grant_id, co_holder_id), populate_existing=True)
    is_secret = co_holder_id in shields_of(work.session, consent.subject_id)
    if row is None or is_secret or consent.version_number == REQUESTED_NUMBER:
        raise NotFoundError
    return consent, row


def _parties(session: Session, grant_id: str) -> Sequence[ConsentParty]:
    return session.exec(
        select(ConsentParty)
        .where(ConsentParty.grant_id == grant_id)
        .execution_options(populate_existing=True)
    ).all()


def _shared(session: Session, keyring: Keyring, consent: Consent, co_holder_id: str) -> list[Shared]:
    """The accounts of both that the consent opens. Its terms are opened here; no other item is told."""
    version = session.get_one(ConsentVersion, version_id_of(consent.grant_id, consent.version_number))
    terms = open_terms(keyring, consent.subject_id, version)
    record_types = [item.record_type for item in terms.items]
    found = shared_accounts(session, consent.subject_id, terms.holders or (), record_types)
    return [shared for shared in found if shared.other_id == co_holder_id]


def _view(
    session: Session, keyring: Keyring, row: ConsentParty, consent: Consent, now: datetime
) -> ApprovalView:
    shared = _shared(session, keyring, consent, row.subject_id)
    return ApprovalView(
        grant_id=consent.grant_id,
        recipient=party(session.get_one(Organisation, consent.recipient_id)),
        purpose=consent.purpose,
        asked_by=consent.subject_id,
        state=state_at(consent, now),
        accounts=tuple(
            (party(session.get_one(Organisation, one.organisation_id)), one.record_type) for one in shared
        ),
        decision=row.decision,
        decided_at=row.decided_at,
        valid_until=consent.valid_until,
    )


def _record_own(  # noqa: PLR0913, PLR0917 - an event has this many sides
    work: Work, keyring: Keyring, consent: Consent, co_holder_id: str, event: EventType, now: datetime
) -> None:
    """On the co-holder's record, once for each account that the consent shares with them."""
    for shared in _shared(work.session, keyring, consent, co_holder_id):
        _record_about(work, keyring, shared, consent, event, now)


def _record_about(  # noqa: PLR0913, PLR0917 - an event has this many sides
    work: Work, keyring: Keyring, shared: Shared, consent: Consent, event: EventType, now: datetime
) -> None:
    detail = {
        "grant_id": consent.grant_id,
        "recipient": consent.recipient_id,
        "for": consent.purpose,
        "holder": shared.organisation_id,
        "record_type": shared.record_type,
    }
    record_holding(work, keyring, shared.other_id, shared.handle, event, detail, now)
