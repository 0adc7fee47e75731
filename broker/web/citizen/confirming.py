"""The page on which a person confirms by a later sign-in what they agreed to (RFC 9470 section 5).

Nothing that was agreed changes, so there is nothing to choose: the client gets a code for the version that
stands. Nobody signs in for another: who acts for somebody does not get here.
"""

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.oauth import interaction
from broker.oauth.ciba_requests import NO_REDIRECT_URI
from broker.oauth.errors import InteractionGoneError, OAuthCode
from broker.oauth.openid_sign_in import Demand, demand_of
from broker.oauth.scopes import OPENID
from broker.oauth.step_up import standing_version
from broker.web.citizen import deciding
from broker.web.citizen.desk import Desk, DeskOf
from broker.web.citizen.fresh_sign_in import require_fresh_sign_in, turn_away
from broker.web.citizen.leaving import form_target, leave
from broker.web.csrf import OwnForm
from broker.web.errors import BadChoiceError, RequestGoneError
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent.models import Consent, Organisation
from consent.reading import party
from consent.recognition import record_recognition

router = APIRouter(dependencies=[Depends(require_citizen), Depends(require_fresh_sign_in)])

_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class _Opened:
    """A request that this person has opened, and the version of theirs that it is for, if there is one."""

    demand: Demand
    version_id: str | None


@router.get("/confirm/{interaction_id}", name="confirm")
def show_confirm(interaction_id: str, page: PageOf, desk: DeskOf) -> Response:
    """Who asks, and what for."""
    turned_away = turn_away(page, desk, interaction_id)
    if turned_away is not None:
        return turned_away
    opened = _open(desk, interaction_id)
    if opened.version_id is None:
        return _close(page, desk, opened.demand)
    demand, session = opened.demand, desk.work.session
    purpose = desk.reader.purpose(session.get_one(Consent, demand.grant_id).purpose)
    return page.answer(
        "citizen/confirm.html",
        form_target=form_target(demand.redirect_uri),
        is_backchannel=demand.redirect_uri == NO_REDIRECT_URI,
        binding_message=demand.kept.binding_message,
        recipient_name=_recipient_name(page, desk, demand),
        purpose_name=purpose.name.in_language(page.language),
        is_sign_in=OPENID in demand.scope.split(),
    )


@router.post("/confirm/{interaction_id}", name="confirm.post")
def post_confirm(interaction_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """The decision, then back to the recipient; the same form once more leads to the same place."""
    decision = form.one("decision") or ""
    turned_away = turn_away(page, desk, interaction_id)
    if turned_away is not None:
        return turned_away
    try:
        opened = _open(desk, interaction_id)
        if opened.version_id is None:
            return _close(page, desk, opened.demand)
        return leave(page, _decide(desk, opened.demand, opened.version_id, decision))
    except RequestGoneError:
        desk.work.discard()
        repeated = deciding.repeat(desk, interaction_id, decision)
        if repeated is None:
            raise
        return leave(page, repeated)


def _open(desk: Desk, interaction_id: str) -> _Opened:
    """Raises RequestGoneError: over, answered, of another kind and somebody else's are one answer."""
    session = desk.work.session
    try:
        demand = demand_of(session, desk.keyring, interaction_id, desk.now)
        grant_id = demand.grant_id
        if demand.room != interaction.CONFIRM or grant_id is None:
            raise RequestGoneError
        if demand.subject_id not in {None, desk.subject_id}:
            raise RequestGoneError
        version_id = standing_version(session, grant_id, demand.client_id, desk.subject_id, desk.now)
        if version_id is not None and demand.subject_id is None:
            interaction.attach_consent(session, interaction_id, desk.subject_id, grant_id, desk.now)
    except InteractionGoneError as error:
        raise RequestGoneError from error
    return _Opened(demand, version_id)


def _close(page: Page, desk: Desk, demand: Demand) -> Response:
    """There is nothing to confirm for this person, and the client hears so. Raises RequestGoneError.

    A page with a link, no redirect: after the sign-in form a browser follows none to another site.
    """
    issuer, refusal = desk.installation.settings.server.issuer, OAuthCode.INVALID_GRANT_ID
    of = (desk.work.session, desk.keyring, issuer, demand.interaction_id, desk.subject_id)
    try:
        address = interaction.deny(*of, desk.now, refusal=refusal)
    except InteractionGoneError as error:
        raise RequestGoneError from error
    return page.answer(
        "citizen/nothing_to_confirm.html",
        status=_CONFLICT,
        address=None if demand.redirect_uri == NO_REDIRECT_URI else address,
        recipient_name=_recipient_name(page, desk, demand),
    )


def _decide(desk: Desk, demand: Demand, version_id: str, decision: str) -> str:
    """Answers the address to go to. Raises RequestGoneError, BadChoiceError."""
    if decision not in {deciding.ALLOW, deciding.DENY}:
        raise BadChoiceError
    session, settings = desk.work.session, desk.installation.settings
    of = (session, desk.keyring, settings.server.issuer, demand.interaction_id, desk.subject_id)
    try:
        if decision == deciding.DENY:
            address = interaction.deny(*of, desk.now)
        else:
            seconds = settings.oauth.code_seconds
            address = interaction.allow(
                *of, version_id, desk.now, code_seconds=seconds, signed_in=desk.signed_in
            )
    except InteractionGoneError as error:
        raise RequestGoneError from error
    if OPENID in demand.scope.split():
        is_told = decision == deciding.ALLOW
        record_recognition(
            desk.work, desk.keyring, desk.subject_id, demand.recipient_id, desk.now, is_told=is_told
        )
    interaction.keep_answer(session, desk.keyring, demand.interaction_id, decision, address)
    return address


def _recipient_name(page: Page, desk: Desk, demand: Demand) -> str:
    return party(desk.work.session.get_one(Organisation, demand.recipient_id)).name(page.language)
