"""What a request demands of the sign-in behind its answer (OpenID Connect Core section 3.1.2.3).

A sign-in is fresh by the instant at which the request came to its page: it must be later than that for
`prompt=login`, and at most `max_age` earlier otherwise. So how long the person reads changes nothing, and no
sign-in from before counts as the one that was asked for.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, select

from broker.oauth import interaction, openid_request
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.errors import InteractionGoneError, OAuthCode
from broker.oauth.kept_parameters import Kept
from broker.oauth.models import Code, Interaction, PushedRequest
from broker.oauth.pairwise import pairwise_subject
from broker.oauth.par import kept_of
from broker.oauth.session_clients import sid_digests
from broker.oauth.tokens import SignedIn
from vault.keys.keyring import Keyring

_SIGN_IN_AGAIN: Final = frozenset({openid_request.LOGIN, openid_request.SELECT_ACCOUNT})


@dataclass(frozen=True, slots=True)
class Demand:
    """What a waiting request demands. `room` is where it is decided (`interaction.room_of`).

    `since`: the sign-in must be later than this; None if any will do. `may_be_silent`: what the person says
    holds for the session (`was_told`), which is for clients of the profile `oidc` alone.
    """

    interaction_id: str
    client_id: str
    recipient_id: str
    redirect_uri: str
    scope: str
    kept: Kept
    since: datetime | None
    room: str
    grant_id: str | None
    subject_id: str | None
    may_be_silent: bool = False

    @property
    def is_alone(self) -> bool:
        """Whether it asks who the person is, and for no records."""
        return self.room == interaction.RECOGNISE

    def is_fresh(self, signed_in: SignedIn) -> bool:
        """Whether it happened late enough."""
        return self.since is None or signed_in.auth_time > self.since

    def is_expected(self, keyring: Keyring, subject_id: str) -> bool:
        """Whether it is the person whom the client expects, if it expects one."""
        hinted = self.kept.hinted_sub
        return hinted is None or hinted == pairwise_subject(keyring, self.recipient_id, subject_id)


def demand_of(session: Session, keyring: Keyring, interaction_id: str, now: datetime) -> Demand:
    """What a waiting request demands. Raises InteractionGoneError."""
    row, request, client = interaction.living(session, interaction_id, now)
    kept = kept_of(keyring, request)
    since = None
    if not _SIGN_IN_AGAIN.isdisjoint(kept.prompt):
        since = row.created_at
    elif kept.max_age is not None:
        since = row.created_at - timedelta(seconds=kept.max_age)
    return Demand(
        interaction_id=interaction_id,
        client_id=client.client_id,
        recipient_id=client.organisation_id,
        redirect_uri=request.redirect_uri,
        scope=request.scope,
        kept=kept,
        since=since,
        room=interaction.room_of(request),
        grant_id=request.grant_id,
        subject_id=row.subject_id,
        may_be_silent=client.profile is SecurityProfile.OIDC,
    )


def refusal_at_once(keyring: Keyring, demand: Demand, signed_in: SignedIn | None) -> OAuthCode | None:
    """Why the client hears no before anybody sees a page; None if a page is to be shown.

    With `prompt=none` it is always no: what was asked for is for the person to decide. `was_told` is what may
    turn INTERACTION_REQUIRED into a yes. `signed_in` is None also for somebody who acts for another.
    """
    if not openid_request.can_be_satisfied(demand.kept, is_alone=demand.is_alone):
        return OAuthCode.UNMET_AUTHENTICATION_REQUIREMENTS
    if openid_request.NONE not in demand.kept.prompt:
        return None
    if signed_in is None or not demand.is_fresh(signed_in):
        return OAuthCode.LOGIN_REQUIRED
    if not demand.is_expected(keyring, signed_in.subject_id):
        return OAuthCode.LOGIN_REQUIRED
    is_consent = demand.room == interaction.CONSENT
    return OAuthCode.CONSENT_REQUIRED if is_consent else OAuthCode.INTERACTION_REQUIRED


def was_told(session: Session, client_id: str, signed_in: SignedIn) -> bool:
    """Whether this person let this client know who they are in this session, and has said no nowhere since.

    Nothing is kept for this: it is read from the answers, for a day at the most, and signing out ends it.
    """
    if signed_in.session_digest is None:
        return False
    here = {signed_in.session_digest, *sid_digests(session, signed_in.session_digest, client_id)}
    answered = (
        select(PushedRequest.used_at)
        .join(Interaction, col(Interaction.request_id) == col(PushedRequest.request_id))
        .where(
            Interaction.client_id == client_id,
            Interaction.subject_id == signed_in.subject_id,
            col(Interaction.grant_id).is_(None),
            col(PushedRequest.terms_sealed).is_(None),
            col(PushedRequest.used_at).is_not(None),
        )
        .order_by(col(PushedRequest.used_at).desc())
        .limit(1)
    )
    code = select(Code.code_hash).where(Code.request_id == PushedRequest.request_id)
    given_here = code.where(Code.client_id == client_id, col(Code.session_digest).in_(here))
    allowed_at = session.exec(answered.where(given_here.correlate(PushedRequest).exists())).one_or_none()
    if allowed_at is None:
        return False
    refused_at = session.exec(answered.where(~code.correlate(PushedRequest).exists())).one_or_none()
    return refused_at is None or refused_at < allowed_at


def attach(session: Session, demand: Demand, subject_id: str, now: datetime) -> None:
    """Bind a request for a sign-in alone to the person who opened it. Raises InteractionGoneError."""
    if not demand.is_alone:
        raise InteractionGoneError
    if demand.subject_id is None:
        interaction.attach_consent(session, demand.interaction_id, subject_id, None, now)
    elif demand.subject_id != subject_id:
        raise InteractionGoneError
