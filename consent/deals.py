"""Deals: several people, one matter. All of their consents are given in one commit, or none ever is.

Invariant 19 of the consent model. Locks: see `consent.deal_holding`.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from consent import lifecycle, states
from consent.deal_holding import Held, hold, hold_of, record_deal_event, state_at
from consent.errors import NotFoundError, NoticeChangedError, UnknownPurposeError, WrongStateError
from consent.evidence import Work
from consent.granting import (
    ReceiptSigner,
    check_notice,
    current_version,
    is_givable,
    language_of,
    misses_co_holder,
)
from consent.models import Consent, ConsentVersion, Deal, DealMember
from consent.purposes import Purposes
from consent.versions import open_terms
from consent.vocabulary import ConsentState, DealState, EventType, StateReason
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Signed:
    """One more has signed; `state` is the deal's after it.

    REFUSED: it was the last, and another text has changed, or somebody's consent cannot be given any more.
    """

    given: lifecycle.Given
    state: DealState


def sign(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    signature: lifecycle.Signature,
    *,
    purposes: Purposes,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> Signed:
    """One person of a deal agrees; with the last one, everybody's consent is given in this commit.

    Raises what `lifecycle.give` raises, and WrongStateError once the deal is over, or one of its consents.
    """
    held = hold_of(work, signature.grant_id)
    held.require_open(now, "sign")
    own = next((member for member in held.members if member.grant_id == signature.grant_id), None)
    if own is None:
        raise WrongStateError(held.deal.state, "sign")
    given = lifecycle.give(
        work,
        keyring,
        signature,
        purpose=purposes.get(own.purpose),
        sign_receipt=sign_receipt,
        now=now,
    )
    own.signed_at = now
    completed = _settle(work, keyring, held, purposes=purposes, sign_receipt=sign_receipt, now=now)
    return Signed(completed.get(signature.grant_id, given), DealState(held.deal.state))


def settle(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    grant_id: str,
    *,
    purposes: Purposes,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> DealState:
    """Complete the deal of a consent, if it was its last signature that came: a co-holder's too."""
    held = hold_of(work, grant_id)
    if state_at(held.deal, now) is DealState.OPEN and not held.fallen():
        _settle(work, keyring, held, purposes=purposes, sign_receipt=sign_receipt, now=now)
    return DealState(held.deal.state)


def refuse(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """One person says no, and so it is off for everybody. Raises NotFoundError, WrongStateError."""
    held = hold_of(work, grant_id)
    lifecycle.refuse(work, keyring, grant_id, subject_id, now)
    _end(work, keyring, held, DealState.REFUSED, StateReason.DEAL_REFUSED, now)


def withdraw(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """One person takes their signature back. Before everybody has signed, it is off for everybody.

    After that each consent lives on its own. Raises NotFoundError, WrongStateError.
    """
    held = hold_of(work, grant_id)
    lifecycle.withdraw(work, keyring, grant_id, subject_id, now)
    _end(work, keyring, held, DealState.REFUSED, StateReason.DEAL_REFUSED, now)


def cancel(work: Work, keyring: Keyring, deal_id: str, client_id: str, now: datetime) -> None:
    """Its opener calls it off. Idempotent. Raises NotFoundError, WrongStateError once it ended otherwise."""
    deal = work.session.get(Deal, deal_id)
    if deal is None or deal.client_id != client_id:
        raise NotFoundError
    held = hold(work, deal_id)
    if held.deal.state_reason == StateReason.DEAL_CANCELLED:
        return
    if state_at(held.deal, now) is not DealState.OPEN:
        raise WrongStateError(held.deal.state, "cancel")
    _end(work, keyring, held, DealState.REFUSED, StateReason.DEAL_CANCELLED, now)


def close(work: Work, keyring: Keyring, deal_id: str, purposes: Purposes, now: datetime) -> bool:
    """End the deal if it cannot come about any more; answers whether it ended now. For jobs and duties."""
    held = hold(work, deal_id)
    if held.deal.state != DealState.OPEN:
        return False
    signed = [consent for consent in held.consents.values() if consent.state == ConsentState.PARTIALLY_SIGNED]
    if now >= held.deal.deadline or any(
        consent.state == ConsentState.EXPIRED or now >= consent.valid_until
        for consent in [*held.fallen(), *signed]
    ):
        _end(work, keyring, held, DealState.EXPIRED, StateReason.DEAL_EXPIRED, now)
    elif held.fallen():
        _end(work, keyring, held, DealState.REFUSED, StateReason.DEAL_REFUSED, now)
    elif any(_text_has_changed(work, consent, purposes) for consent in signed):
        _end(work, keyring, held, DealState.REFUSED, StateReason.DEAL_TEXT_CHANGED, now)
    return held.deal.state != DealState.OPEN


def doubtful_deals(session: Session, purposes: Purposes, now: datetime) -> list[str]:
    """The ids of open deals that may have to be closed: by deadline, window or text. `close` decides.

    One of whose consents has ended is not among them: a duty is owed for it.
    """
    overdue = select(Deal.deal_id).where(Deal.state == DealState.OPEN, Deal.deadline <= now)
    signed = (
        select(Deal.deal_id, Consent, ConsentVersion)
        .join(DealMember, col(DealMember.deal_id) == col(Deal.deal_id))
        .join(Consent, col(Consent.grant_id) == col(DealMember.grant_id))
        .join(ConsentVersion, col(ConsentVersion.grant_id) == col(Consent.grant_id))
        .where(
            Deal.state == DealState.OPEN,
            Consent.state == ConsentState.PARTIALLY_SIGNED,
            ConsentVersion.number == Consent.version_number,
        )
    )
    changed = {
        deal_id
        for deal_id, consent, version in session.exec(signed)
        if now >= consent.valid_until or _differs(consent, version, purposes)
    }
    return sorted({*session.exec(overdue), *changed})


def _settle(  # noqa: PLR0913 - each argument is a different thing that giving needs
    work: Work,
    keyring: Keyring,
    held: Held,
    *,
    purposes: Purposes,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> dict[str, lifecycle.Given]:
    """Give every consent if all have signed; by grant id. If one cannot be given any more, end the deal."""
    consents = [held.consent_of(member) for member in held.members]
    ready = [one for one in consents if one is not None and _has_signed(work, one)]
    if len(ready) < len(consents):
        return {}
    if any(_text_has_changed(work, consent, purposes) for consent in ready):
        _end(work, keyring, held, DealState.REFUSED, StateReason.DEAL_TEXT_CHANGED, now)
        return {}
    if any(now >= consent.valid_until for consent in ready):
        _end(work, keyring, held, DealState.EXPIRED, StateReason.DEAL_EXPIRED, now)
        return {}
    if not all(_is_givable(work, keyring, consent, now) for consent in ready):
        # Another's fault is not the last signer's: an error would undo their signature and tell them nothing.
        _end(work, keyring, held, DealState.REFUSED, StateReason.DEAL_IMPOSSIBLE, now)
        return {}
    completed = {
        consent.grant_id: lifecycle.complete(
            work,
            keyring,
            consent,
            purpose=purposes.get(consent.purpose),
            sign_receipt=sign_receipt,
            now=now,
        )
        for consent in sorted(ready, key=lambda one: one.grant_id)
    }
    held.deal.state, held.deal.ended_at = DealState.COMPLETE, now
    record_deal_event(work, keyring, held.deal, EventType.DEAL_COMPLETED, now, {})
    return completed


def _has_signed(work: Work, consent: Consent) -> bool:
    is_signed = consent.state == ConsentState.PARTIALLY_SIGNED
    return is_signed and not misses_co_holder(work.session, consent)


def _is_givable(work: Work, keyring: Keyring, consent: Consent, now: datetime) -> bool:
    terms = open_terms(keyring, consent.subject_id, current_version(work, consent))
    return is_givable(work, consent, terms, now)


def _text_has_changed(work: Work, consent: Consent, purposes: Purposes) -> bool:
    return _differs(consent, current_version(work, consent), purposes)


def _differs(consent: Consent, version: ConsentVersion, purposes: Purposes) -> bool:
    """Whether the text reads otherwise than when it was signed, or its purpose is no more."""
    try:
        check_notice(consent, purposes.get(consent.purpose), version.notice_digest, language_of(version))
    except (NoticeChangedError, UnknownPurposeError):
        return True
    return False


def _end(  # noqa: PLR0913, PLR0917 - an end is all of these
    work: Work, keyring: Keyring, held: Held, state: DealState, reason: StateReason, now: datetime
) -> None:
    """End an open deal, and with it every consent that waits in it. One that has ended stays as it is."""
    if held.deal.state != DealState.OPEN:
        return
    held.deal.state, held.deal.state_reason, held.deal.ended_at = state, reason, now
    for grant_id in sorted(held.consents):
        consent = held.consents[grant_id]
        if consent.state not in states.OPEN:
            continue
        if state is DealState.EXPIRED:
            lifecycle.expire(work, keyring, consent, now, reason)
        else:
            lifecycle.refuse_locked(work, keyring, consent, reason, now)
    event = EventType.DEAL_EXPIRED if state is DealState.EXPIRED else EventType.DEAL_REFUSED
    record_deal_event(work, keyring, held.deal, event, now, {})
