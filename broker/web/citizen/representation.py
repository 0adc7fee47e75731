"""Who acts for me and for whom I act: giving a mandate, accepting one, ending either. PIPA article 38."""

from datetime import datetime, timedelta
from typing import Final

from fastapi import APIRouter, Depends
from sqlmodel import Session, select
from starlette.responses import Response

from broker.deps import FormData
from broker.web.citizen.desk import DeskOf, Reader, ReaderOf
from broker.web.citizen.people_wording import (
    action_in_words,
    end_in_words,
    evidence_in_words,
    fault_in_words,
    state_in_words,
)
from broker.web.csrf import OwnForm
from broker.web.errors import BadChoiceError
from broker.web.rendering import Page, PageOf
from broker.web.signin.accounts import username_index
from broker.web.signin.guards import Citizen, require_citizen
from broker.web.signin.models import Account
from consent import emergency
from consent.emergency import emergencies
from consent.parties import NewMandate, RepresentationView, accept_mandate, given_by, held_by, offer_mandate
from consent.party_ends import end_representation
from consent.party_records import Names, Refused
from consent.people_vocabulary import Action, RepresentationKind, RepresentationState
from consent.standing import Scope
from vault.keys.keyring import Keyring

router = APIRouter(prefix="/representation", dependencies=[Depends(require_citizen)])

_UNPROCESSABLE: Final = 422
_LONGEST_NAME: Final = 64
_MOST_DIGITS: Final = 5
_NAMELESS: Final = "—"


@router.get("", name="representation")
def show_representation(page: PageOf, reader: ReaderOf) -> Response:
    """Both lists, and the form that gives a mandate."""
    return _page(page, reader)


@router.post("", name="representation.post")
def post_mandate(page: PageOf, form: OwnForm, desk: DeskOf, citizen: Citizen) -> Response:
    """Offer a mandate. Whether the sign-in name is anybody's is not told."""
    username = (form.one("username") or "").strip()
    if not username or len(username) > _LONGEST_NAME:
        return _page(page, desk.reader, fault="username")
    new = NewMandate(
        subject_id=desk.subject_id,
        representative_id=_subject_of(desk.work.session, desk.keyring, username),
        names=Names(citizen.name or _NAMELESS, username),
        scope=_scope(form, frozenset(purpose.code for purpose in desk.installation.purposes.all())),
        valid_until=_until(form, desk.now),
    )
    longest = timedelta(days=desk.installation.settings.people.longest_mandate_days)
    made = offer_mandate(desk.work, desk.keyring, new, longest=longest, now=desk.now)
    if isinstance(made, Refused):
        return _page(page, desk.reader, fault=made.fault, reason=made.reason)
    return page.redirect("/representation")


@router.post("/{representation_id}/accept", name="representation.accept")
def post_accept(
    representation_id: str,
    page: PageOf,
    form: OwnForm,
    desk: DeskOf,
    citizen: Citizen,
) -> Response:
    """Accept what somebody offered; why it cannot begin is not told, for it may be others' business."""
    del form
    refused = accept_mandate(
        desk.work,
        desk.keyring,
        representation_id,
        desk.subject_id,
        name=citizen.name or _NAMELESS,
        now=desk.now,
    )
    if refused is not None:
        return _page(page, desk.reader, fault="cannot_begin", reason=refused.reason)
    return page.redirect("/representation")


@router.post("/{representation_id}/end", name="representation.end")
def post_end(representation_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """End it, take an offer back, or decline one."""
    del form
    end_representation(desk.work, desk.keyring, representation_id, desk.subject_id, desk.now)
    return page.redirect("/representation")


def _page(page: Page, reader: Reader, *, fault: str | None = None, reason: str | None = None) -> Response:
    people = (reader.session, reader.keyring, reader.subject_id, reader.now)
    purposes = reader.installation.purposes
    return page.answer(
        "citizen/representation.html",
        status=_UNPROCESSABLE if fault else 200,
        given=[_row(page, reader, view, is_given=True) for view in given_by(*people)],
        held=[_row(page, reader, view, is_given=False) for view in held_by(*people)],
        purposes=[
            (one.code, one.name.in_language(page.language))
            for one in purposes.all()
            if one.code != emergency.PURPOSE
        ],
        has_emergencies=bool(emergencies(*people[:2], reader.now, subject_id=reader.subject_id)),
        actions=[(action.value, action_in_words(page.words, action)) for action in _CHOSEN],
        longest=reader.installation.settings.people.longest_mandate_days,
        fault=None if fault is None else fault_in_words(page.words, fault),
        reason=reason,
    )


_CHOSEN: Final = (Action.CONSENT, Action.WITHDRAW)


def _row(page: Page, reader: Reader, view: RepresentationView, *, is_given: bool) -> dict[str, object]:
    """One representation in words."""
    purposes = reader.installation.purposes
    known = {one.code: one.name.in_language(page.language) for one in purposes.all()}
    named = view.scope.purposes
    is_open = view.state is not RepresentationState.ENDED
    return {
        "id": view.representation_id,
        "name": view.representative_name if is_given else view.subject_name,
        "state": state_in_words(page.words, view),
        "group": "active" if view.state is RepresentationState.ACTIVE else "waiting" if is_open else "ended",
        "actions": [action_in_words(page.words, action) for action in sorted(view.scope.actions)],
        "purposes": None if named is None else [known.get(code, code) for code in sorted(named)],
        "evidence": None if view.evidence is None else evidence_in_words(page.words, view.evidence),
        "valid_until": view.valid_until,
        "ended_at": view.ended_at,
        "end": None if view.end_reason is None else end_in_words(page.words, view.end_reason),
        "can_accept": not is_given and view.state is RepresentationState.OFFERED,
        "can_end": is_open and not (is_given and view.kind is RepresentationKind.GUARDIAN),
    }


def _subject_of(session: Session, keyring: Keyring, username: str) -> str | None:
    """The citizen with this sign-in name, if there is one."""
    return session.exec(
        select(Account.subject_id).where(
            Account.username_index == username_index(keyring, username),
            Account.role == "citizen",
        ),
    ).one_or_none()


def _scope(form: FormData, known: frozenset[str]) -> Scope:
    """Seeing is part of every mandate; the rest is what was ticked."""
    ticked = {action for action in _CHOSEN if action.value in form.all("action")}
    actions = frozenset({Action.SEE, *ticked})
    match form.one("purposes"):
        case "all":
            return Scope(actions)
        case "these":
            chosen = frozenset(form.all("purpose"))
            if not chosen <= known:
                raise BadChoiceError
            return Scope(actions if chosen else frozenset(), chosen)
        case _:
            raise BadChoiceError


def _until(form: FormData, now: datetime) -> datetime:
    """The end that was chosen, in whole days; what is no number is no period at all."""
    raw = form.one("days") or ""
    is_number = raw.isascii() and raw.isdigit() and len(raw) <= _MOST_DIGITS
    return now + timedelta(days=int(raw) if is_number else 0)
