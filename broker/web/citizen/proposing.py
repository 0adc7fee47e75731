"""A request to change what a consent says, at its person's desk (Grant Management for OAuth 2.0)."""

from dataclasses import dataclass
from datetime import timedelta

from broker.oauth import interaction
from broker.oauth.errors import OAuthCode
from broker.oauth.interaction import InteractionView
from broker.web.citizen.desk import Desk
from broker.web.errors import RequestGoneError
from consent import changing
from consent.errors import InvalidTermsError, NotFoundError, WrongStateError
from consent.purposes import Purpose
from consent.terms import Terms


@dataclass(frozen=True, slots=True)
class Proposed:
    """A change that waits for this person, and the terms that would stand if they agreed."""

    change_id: str
    terms: Terms


def opened(desk: Desk, view: InteractionView, grant_id: str, purpose: Purpose) -> Proposed | OAuthCode:
    """The change that the request became when it was first opened, or becomes now.

    Or what its client is told: `invalid_grant_id` for somebody else's consent and one that has ended since
    the push, `invalid_authorization_details` for what is no whole with the terms that stand by now. Raises
    RequestGoneError once a later request has taken its place.
    """
    change_id = view.change_id
    if change_id is None:
        try:
            change_id = _propose(desk, view, grant_id, purpose)
        except (NotFoundError, WrongStateError):
            return OAuthCode.INVALID_GRANT_ID
        except InvalidTermsError:
            return OAuthCode.INVALID_AUTHORIZATION_DETAILS
        session, subject_id = desk.work.session, desk.subject_id
        interaction.attach_consent(
            session, view.interaction_id, subject_id, grant_id, desk.now, change_id=change_id
        )
    try:
        proposal = changing.proposal_of(desk.work, desk.keyring, change_id, desk.subject_id, desk.now)
    except NotFoundError as error:
        raise RequestGoneError from error
    return Proposed(change_id, proposal.terms)


def standing_choices(standing: Terms, proposed: Terms) -> frozenset[str]:
    """The optional items that a merge leaves as the person chose them before: they stay ticked."""
    return frozenset(
        item.record_type
        for item in proposed.items
        if not item.required and standing.item(item.record_type) == item
    )


def _propose(desk: Desk, view: InteractionView, grant_id: str, purpose: Purpose) -> str:
    expires_at = desk.now + timedelta(minutes=desk.installation.settings.oauth.interaction_minutes)
    if view.is_merge:
        return changing.propose_merge(
            desk.work,
            desk.keyring,
            grant_id,
            subject_id=desk.subject_id,
            client_id=view.client_id,
            asked=view.terms,
            purpose=purpose,
            catalogue=desk.installation.catalogue,
            expires_at=expires_at,
            now=desk.now,
        )
    return changing.propose(
        desk.work,
        desk.keyring,
        grant_id,
        subject_id=desk.subject_id,
        client_id=view.client_id,
        terms=view.terms,
        expires_at=expires_at,
        now=desk.now,
    )
