"""Whom an entry of the log concerns: its handle leads to a consent, a link, a deal, and so to people.

A co-holder is told of pulls and refusals under a consent that they approved, and of its end, as long as the
account is theirs too; nothing else of it. Where the person is shielded from them (CDR rule 4A.15), nothing.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from sqlmodel import Session, col, select

from consent.holding import shared_accounts
from consent.models import (
    CoHolding,
    Consent,
    ConsentParty,
    ConsentVersion,
    Deal,
    DealMember,
    EmergencyAccess,
    Representation,
    RightRequest,
    Shield,
    SourceLink,
)
from consent.people_vocabulary import RepresentationKind
from consent.standing import standing_now
from consent.versions import open_terms, version_id_of
from consent.vocabulary import EventType, PartyDecision
from vault.errors import VaultError
from vault.keys.keyring import Keyring

TOLD_TO_CO_HOLDERS: Final = frozenset(
    {
        EventType.DELIVERY_RELEASED,
        EventType.DELIVERY_REPEATED,
        EventType.DELIVERY_REFUSED,
        EventType.CONSENT_EXPIRED,
        EventType.CONSENT_WITHDRAWN,
        EventType.CONSENT_REVOKED,
        EventType.CONSENT_INVALIDATED,
    }
)
"""What a co-holder learns of somebody's consent. A decision about the person is theirs alone."""


@dataclass(frozen=True, slots=True)
class Concern:
    """A person whom an entry concerns, and what it is about.

    `keeper_id` is the subject whose audit key seals the entry's detail. `grant_id` is a consent of their own.
    A co-holder is told of little (`TOLD_TO_CO_HOLDERS`).
    """

    subject_id: str
    keeper_id: str
    grant_id: str | None = None
    organisation_id: str | None = None
    was_given: bool = False
    is_emergency: bool = False
    is_co_holder: bool = False


def recipients_of(
    session: Session, keyring: Keyring, handles: Collection[str]
) -> dict[str, tuple[Concern, ...]]:
    """Everyone whom entries under these handles concern; a handle of nobody is left out."""
    found: dict[str, dict[str, Concern]] = {}
    everybody = (
        _of_consents(session, handles),
        _of_co_holders(session, keyring, handles),
        _of_people(session, handles),
        _of_deals(session, handles),
        _of_others(session, handles),
    )
    for handle, concern in chain.from_iterable(everybody):
        found.setdefault(handle, {}).setdefault(concern.subject_id, concern)
    return {handle: tuple(concerns.values()) for handle, concerns in found.items()}


def _of_consents(session: Session, handles: Collection[str]) -> Iterator[tuple[str, Concern]]:
    consents = session.exec(select(Consent).where(col(Consent.handle).in_(handles))).all()
    for consent in consents:
        was_given = consent.given_at is not None
        own = Concern(consent.subject_id, consent.subject_id, consent.grant_id, was_given=was_given)
        yield consent.handle, own


def _of_co_holders(
    session: Session, keyring: Keyring, handles: Collection[str]
) -> Iterator[tuple[str, Concern]]:
    shielded = (
        select(Shield.shield_id)
        .where(
            col(Shield.subject_id) == col(Consent.subject_id),
            col(Shield.other_id) == col(ConsentParty.subject_id),
            col(Shield.lifted_at).is_(None),
        )
        .exists()
    )
    parties = session.exec(
        select(Consent, ConsentParty.subject_id)
        .join(ConsentParty, col(ConsentParty.grant_id) == col(Consent.grant_id))
        .where(col(Consent.handle).in_(handles), ConsentParty.decision == PartyDecision.APPROVED, ~shielded)
    ).all()
    for consent, subject_id in parties:
        if subject_id in _holding_with(session, keyring, consent):
            was_given = consent.given_at is not None
            told = Concern(subject_id, consent.subject_id, was_given=was_given, is_co_holder=True)
            yield consent.handle, told


def _holding_with(session: Session, keyring: Keyring, consent: Consent) -> frozenset[str]:
    """Who holds an account now that a consent opens; nobody if its terms cannot be opened."""
    version = session.get_one(ConsentVersion, version_id_of(consent.grant_id, consent.version_number))
    try:
        terms = open_terms(keyring, consent.subject_id, version)
    except VaultError:
        return frozenset()
    record_types = [item.record_type for item in terms.items]
    shared = shared_accounts(session, consent.subject_id, terms.holders or (), record_types)
    return frozenset(one.other_id for one in shared)


def _of_people(session: Session, handles: Collection[str]) -> Iterator[tuple[str, Concern]]:
    """Both sides of a representation, each by its own handle; whoever holds an account with others."""
    where = col(Representation.handle).in_(handles) | col(Representation.notice_handle).in_(handles)
    for row in session.exec(select(Representation).where(where)):
        yield row.handle, Concern(row.subject_id, row.subject_id)
        if row.representative_id is not None:
            yield row.notice_handle, Concern(row.representative_id, row.representative_id)
    for holding in session.exec(select(CoHolding).where(col(CoHolding.handle).in_(handles))):
        holder_id = holding.organisation_id
        yield holding.handle, Concern(holding.subject_id, holding.subject_id, organisation_id=holder_id)


def _of_deals(session: Session, handles: Collection[str]) -> Iterator[tuple[str, Concern]]:
    """Everybody who has come to a deal, each with their own consent and nobody else's."""
    rows = session.exec(
        select(Deal.handle, DealMember.subject_id, DealMember.grant_id)
        .join(DealMember, col(DealMember.deal_id) == col(Deal.deal_id))
        .where(col(Deal.handle).in_(handles), col(DealMember.subject_id).is_not(None))
    )
    for handle, subject_id, grant_id in rows:
        yield handle, Concern(str(subject_id), str(subject_id), grant_id)


def _of_others(session: Session, handles: Collection[str]) -> Iterator[tuple[str, Concern]]:
    """Links of sources, requests by right, and accesses in an emergency."""
    for link in session.exec(select(SourceLink).where(col(SourceLink.handle).in_(handles))):
        yield link.handle, Concern(link.subject_id, link.subject_id, organisation_id=link.holder_id)
    for right in session.exec(select(RightRequest).where(col(RightRequest.handle).in_(handles))):
        about = right.organisation_id
        yield right.handle, Concern(right.subject_id, right.subject_id, right.grant_id, about)
    for access in session.exec(select(EmergencyAccess).where(col(EmergencyAccess.handle).in_(handles))):
        for told in (access.subject_id, *_guardians(session, access)):
            about = access.recipient_id
            yield (
                access.handle,
                Concern(told, access.subject_id, organisation_id=about, is_emergency=True),
            )


def _guardians(session: Session, access: EmergencyAccess) -> Iterator[str]:
    """Who looked after a child when their data was opened: a child alone could not object."""
    rows = session.exec(
        select(Representation.representative_id).where(
            Representation.subject_id == access.subject_id,
            Representation.kind == RepresentationKind.GUARDIAN,
            standing_now(access.opened_at),
        )
    )
    return (str(guardian_id) for guardian_id in rows)
