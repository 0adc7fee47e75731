"""Signing in again where a request demands it, and as whom (OpenID Connect Core section 3.1.2.3).

Hangs on every page on which a request is decided, so none can forget it.
"""

from typing import Final

from fastapi import Request
from starlette.responses import Response

from broker.deps import Installed, Now
from broker.oauth import interaction
from broker.oauth.ciba_requests import NO_REDIRECT_URI
from broker.oauth.errors import InteractionGoneError, OAuthCode
from broker.oauth.openid_sign_in import demand_of
from broker.web.citizen.desk import Desk
from broker.web.errors import RequestGoneError, SignInRequiredError
from broker.web.rendering import Page
from broker.web.signin.guards import Citizen, signin_location
from consent.models import Organisation
from consent.reading import party

_CONFLICT: Final = 409


def require_fresh_sign_in(
    interaction_id: str, request: Request, installation: Installed, citizen: Citizen, now: Now
) -> None:
    """Leads to the sign-in page, and back here, until the sign-in is as fresh as the request demands.

    What is over or unknown is the page's to say. Raises SignInRequiredError (303).
    """
    with installation.data.read() as session:
        try:
            demand = demand_of(session, installation.keyring, interaction_id, now)
        except InteractionGoneError:
            return
    if citizen.signed_in is None or not demand.is_fresh(citizen.signed_in):
        raise SignInRequiredError(f"{signin_location(request)}&again=1")


def turn_away(page: Page, desk: Desk, interaction_id: str) -> Response | None:
    """The page for somebody whom the client does not expect; its request is answered with `login_required`.

    None if it is the person, or nobody in particular is expected. A page with a link, no redirect: after the
    sign-in form a browser follows none to another site. Raises RequestGoneError.
    """
    session, keyring = desk.work.session, desk.keyring
    try:
        demand = demand_of(session, keyring, interaction_id, desk.now)
    except InteractionGoneError:
        return None
    if demand.is_expected(keyring, desk.subject_id):
        return None
    if demand.redirect_uri == NO_REDIRECT_URI:  # it waits for its person: nobody else ends it
        raise RequestGoneError
    issuer = desk.installation.settings.server.issuer
    try:
        address = interaction.deny(
            session,
            keyring,
            issuer,
            interaction_id,
            desk.subject_id,
            desk.now,
            refusal=OAuthCode.LOGIN_REQUIRED,
        )
    except InteractionGoneError as error:
        raise RequestGoneError from error
    recipient_name = party(session.get_one(Organisation, demand.recipient_id)).name(page.language)
    template = "citizen/other_person_expected.html"
    return page.answer(template, status=_CONFLICT, address=address, recipient_name=recipient_name)
