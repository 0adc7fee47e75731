"""Who else holds an account, as far as they may know of it: a shielded person's are not among them.

CDR rules on joint accounts, and rule 4A.15 for whoever is vulnerable to a co-holder.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from consent.errors import CoHolderNeededError
from consent.models import CoHolding, Consent, ConsentParty, Shield
from consent.terms import Terms
from consent.vocabulary import PartyDecision


@dataclass(frozen=True, slots=True)
class Shared:
    """An account that a person holds with another one, and the handle under which the other is asked."""

    other_id: str
    handle: str
    organisation_id: str
    record_type: str


def shared_accounts(
    session: Session, subject_id: str, holders: Collection[str], record_types: Collection[str]
) -> list[Shared]:
    """The accounts at these holders that these record types tell of, once for each other holder."""
    own, other = aliased(CoHolding), aliased(CoHolding)
    rows = session.exec(
        select(other)
        .join(own, col(own.account_id) == col(other.account_id))
        .where(
            own.subject_id == subject_id,
            other.subject_id != subject_id,
            col(own.ended_at).is_(None),
            col(other.ended_at).is_(None),
            col(other.organisation_id).in_(holders),
            col(other.record_type).in_(record_types),
        )
        .order_by(col(other.handle))
    )
    return [Shared(row.subject_id, row.handle, row.organisation_id, row.record_type) for row in rows]


def shields_of(session: Session, subject_id: str) -> frozenset[str]:
    """Everybody who must not be asked and not be told about a person."""
    return frozenset(
        session.exec(
            select(Shield.other_id).where(Shield.subject_id == subject_id, col(Shield.lifted_at).is_(None))
        )
    )


def waived_for(session: Session, subject_id: str) -> frozenset[str]:
    """Everybody whose yes is not needed: the staff has confirmed that the person must be safe from them."""
    return frozenset(
        session.exec(
            select(Shield.other_id).where(
                Shield.subject_id == subject_id,
                col(Shield.lifted_at).is_(None),
                col(Shield.is_confirmed).is_(True),
            )
        )
    )


def to_ask(
    session: Session, subject_id: str, holders: Collection[str], record_types: Iterable[str]
) -> list[Shared]:
    """The shared accounts whose other holders must approve before anything of them leaves.

    A shield by the person's own wish hides and silences; the account stays the other's too.
    """
    waived = waived_for(session, subject_id)
    found = shared_accounts(session, subject_id, holders, list(record_types))
    return [shared for shared in found if shared.other_id not in waived]


def require_approved(session: Session, consent: Consent, terms: Terms) -> None:
    """Raise CoHolderNeededError if these terms open an account whose other holders did not approve this."""
    asked = to_ask(
        session, consent.subject_id, terms.holders or (), [item.record_type for item in terms.items]
    )
    approved = set(
        session.exec(
            select(ConsentParty.subject_id).where(
                ConsentParty.grant_id == consent.grant_id, ConsentParty.decision == PartyDecision.APPROVED
            )
        )
    )
    if not {shared.other_id for shared in asked} <= approved:
        raise CoHolderNeededError
