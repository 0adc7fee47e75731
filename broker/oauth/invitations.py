"""Invitations: the initial access tokens by which a client may register itself (RFC 7591 section 3).

Nobody registers without one. The operator makes it, for one organisation and within bounds; the token itself
is shown once and nowhere kept.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import update
from sqlmodel import Session, col, select

from broker.oauth import scopes
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.errors import ClientInvalidError, InvitationUnknownError
from broker.oauth.registration_models import ClientInvitation, ManagedClient
from broker.oauth.tokens import hash_of
from consent.models import Organisation
from consent.organisations import OrganisationStatus
from vault.schema import random_id

_PREFIX: Final = "mdi_"
_SECRET_BYTES: Final = 32


class NewInvitation(BaseModel):
    """What making an invitation takes: the most that a client may register for by it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    organisation_id: str
    scope: str
    purposes: tuple[str, ...] = ()
    security_profile: SecurityProfile = SecurityProfile.FAPI2
    uses: int = Field(default=1, ge=1, le=1000)
    days: int = Field(default=7, ge=1, le=90)


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as it stands, parsed."""

    invitation_id: str
    organisation_id: str
    scopes: frozenset[str]
    purposes: tuple[str, ...]
    profile: SecurityProfile
    uses_left: int
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """An invitation on its way to the operator: the one time that the token is seen."""

    invitation_id: str
    raw_token: str = field(repr=False)
    expires_at: datetime


def invite(session: Session, new: NewInvitation, now: datetime) -> IssuedInvitation:
    """Make an invitation. Raises ClientInvalidError with every fault."""
    if faults := list(_faults(session, new)):
        raise ClientInvalidError(faults)
    raw_token = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    row = ClientInvitation(
        invitation_id=random_id(),
        token_hash=hash_of(raw_token),
        organisation_id=new.organisation_id,
        scope=" ".join(sorted(set(new.scope.split()))),
        purposes=json.dumps(new.purposes),
        security_profile=new.security_profile,
        uses_left=new.uses,
        created_at=now,
        expires_at=now + timedelta(days=new.days),
    )
    session.add(row)
    return IssuedInvitation(row.invitation_id, raw_token, row.expires_at)


def find_open(session: Session, raw_token: str, now: datetime) -> Invitation | None:
    """The invitation that a token opens now.

    None for unknown, used up, expired, and of an organisation that is not active. It is looked up by its
    hash, so no comparison of secrets takes time that says anything.
    """
    row = session.exec(
        select(ClientInvitation)
        .join(Organisation, col(Organisation.organisation_id) == col(ClientInvitation.organisation_id))
        .where(
            ClientInvitation.token_hash == hash_of(raw_token),
            col(ClientInvitation.uses_left) > 0,
            ClientInvitation.expires_at > now,
            Organisation.status == OrganisationStatus.ACTIVE,
        )
    ).one_or_none()
    return None if row is None else _parsed(row)


def take(session: Session, invitation_id: str, now: datetime) -> bool:
    """Use an invitation once: of many that try at once, no more get it than it has uses left."""
    taken = session.exec(
        update(ClientInvitation)
        .where(
            col(ClientInvitation.invitation_id) == invitation_id,
            col(ClientInvitation.uses_left) > 0,
            col(ClientInvitation.expires_at) > now,
        )
        .values(uses_left=col(ClientInvitation.uses_left) - 1)
        .returning(col(ClientInvitation.invitation_id))
    ).one_or_none()
    return taken is not None


def take_back(session: Session, invitation_id: str) -> None:
    """Let nobody register by an invitation any more. Who did stays. Raises InvitationUnknownError."""
    row = session.get(ClientInvitation, invitation_id)
    if row is None:
        raise InvitationUnknownError
    row.uses_left = 0


def get(session: Session, invitation_id: str) -> Invitation:
    """An invitation, used up or not."""
    return _parsed(session.get_one(ClientInvitation, invitation_id))


def all_invitations(session: Session) -> list[Invitation]:
    """Every invitation, the latest first."""
    rows = session.exec(
        select(ClientInvitation).order_by(
            col(ClientInvitation.created_at).desc(), col(ClientInvitation.invitation_id)
        )
    )
    return [_parsed(row) for row in rows]


def invitation_of(session: Session, client_id: str) -> str | None:
    """The id of the invitation that a client came by; None for one that the operator added."""
    row = session.get(ManagedClient, client_id)
    return None if row is None else row.invitation_id


def _parsed(row: ClientInvitation) -> Invitation:
    return Invitation(
        invitation_id=row.invitation_id,
        organisation_id=row.organisation_id,
        scopes=frozenset(row.scope.split()),
        purposes=tuple(json.loads(row.purposes)),
        profile=SecurityProfile(row.security_profile),
        uses_left=row.uses_left,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _faults(session: Session, new: NewInvitation) -> Iterator[tuple[str, str]]:
    organisation = session.get(Organisation, new.organisation_id)
    asked = set(new.scope.split())
    is_active = organisation is not None and organisation.status == OrganisationStatus.ACTIVE
    if organisation is None or not is_active:
        yield "organisation_id", "not an active organisation"
    elif not organisation.is_recipient and asked - scopes.OF_HOLDERS:
        yield "scope", "for recipients only"
    elif not organisation.is_holder and asked & scopes.OF_HOLDERS:
        yield "scope", f"{' '.join(sorted(asked & scopes.OF_HOLDERS))} is for holders"
    if not asked or not asked <= scopes.SUPPORTED:
        yield "scope", f"one or more of {', '.join(sorted(scopes.SUPPORTED))}"
    if new.security_profile is SecurityProfile.OIDC:
        yield "security_profile", "no secret is issued to who registers itself: add such a client yourself"
    if scopes.RECORDS_READ in asked and not new.purposes:
        yield "scope", f"{scopes.RECORDS_READ} needs a purpose"
