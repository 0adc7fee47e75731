"""The page of a sign-in alone: a recipient asks who the person is, and for no records (OpenID Connect Core).

Nothing is remembered from one time to the next, but for clients of the profile `oidc`: there what the person
says holds for their session, and the page tells so. Nobody signs in for another: who acts for somebody does
not get here.
"""

from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.oauth import interaction
from broker.oauth.ciba_requests import NO_REDIRECT_URI
from broker.oauth.errors import InteractionGoneError
from broker.oauth.openid_sign_in import Demand, attach, demand_of
from broker.web.citizen import deciding
from broker.web.citizen.desk import Desk, DeskOf
from broker.web.citizen.fresh_sign_in import require_fresh_sign_in, turn_away
from broker.web.citizen.leaving import form_target, leave
from broker.web.csrf import OwnForm
from broker.web.errors import BadChoiceError, RequestGoneError
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_citizen
from consent.models import Organisation
from consent.reading import party
from consent.recognition import record_recognition

router = APIRouter(dependencies=[Depends(require_citizen), Depends(require_fresh_sign_in)])

_ALLOW: Final = deciding.ALLOW
_DENY: Final = deciding.DENY


@router.get("/recognise/{interaction_id}", name="recognise")
def show_recognise(interaction_id: str, page: PageOf, desk: DeskOf) -> Response:
    """Who asks, and what they learn."""
    turned_away = turn_away(page, desk, interaction_id)
    if turned_away is not None:
        return turned_away
    demand = _open(desk, interaction_id)
    recipient = party(desk.work.session.get_one(Organisation, demand.recipient_id))
    return page.answer(
        "citizen/recognise.html",
        form_target=form_target(demand.redirect_uri),
        is_backchannel=demand.redirect_uri == NO_REDIRECT_URI,
        binding_message=demand.kept.binding_message,
        recipient_name=recipient.name(page.language),
        is_remembered=demand.may_be_silent,
    )


@router.post("/recognise/{interaction_id}", name="recognise.post")
def post_recognise(interaction_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """The decision, then back to the recipient; the same form once more leads to the same place."""
    decision = form.one("decision") or ""
    turned_away = turn_away(page, desk, interaction_id)
    if turned_away is not None:
        return turned_away
    try:
        address = _decide(desk, interaction_id, decision)
    except RequestGoneError:
        desk.work.discard()
        repeated = deciding.repeat(desk, interaction_id, decision)
        if repeated is None:
            raise
        address = repeated
    return leave(page, address)


def _open(desk: Desk, interaction_id: str) -> Demand:
    try:
        demand = demand_of(desk.work.session, desk.keyring, interaction_id, desk.now)
        attach(desk.work.session, demand, desk.subject_id, desk.now)
    except InteractionGoneError as error:
        raise RequestGoneError from error
    return demand


def _decide(desk: Desk, interaction_id: str, decision: str) -> str:
    """Answers the address to go to. Raises RequestGoneError, BadChoiceError."""
    if decision not in {_ALLOW, _DENY}:
        raise BadChoiceError
    demand = _open(desk, interaction_id)
    session, keyring, settings = desk.work.session, desk.keyring, desk.installation.settings
    of = (session, keyring, settings.server.issuer, interaction_id, desk.subject_id)
    try:
        if decision == _DENY:
            address = interaction.deny(*of, desk.now)
        else:
            seconds = settings.oauth.code_seconds
            address = interaction.allow(*of, None, desk.now, code_seconds=seconds, signed_in=desk.signed_in)
    except InteractionGoneError as error:
        raise RequestGoneError from error
    interaction.keep_answer(session, keyring, interaction_id, decision, address)
    record_recognition(
        desk.work, keyring, desk.subject_id, demand.recipient_id, desk.now, is_told=decision == _ALLOW
    )
    return address
