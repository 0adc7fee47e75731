"""What was opened in an emergency without asking me: by whom, why, what the review found, and what I say."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.web.citizen.desk import DeskOf, ReaderOf
from broker.web.citizen.people_wording import (
    emergency_answer_in_words,
    emergency_reason_in_words,
    emergency_state_in_words,
)
from broker.web.csrf import OwnForm
from broker.web.errors import BadChoiceError
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_citizen
from consent.emergency import answer, emergencies
from consent.models import Organisation
from consent.people_vocabulary import EmergencyAnswer
from consent.reading import party

router = APIRouter(prefix="/emergencies", dependencies=[Depends(require_citizen)])


@router.get("", name="emergencies")
def show_emergencies(page: PageOf, reader: ReaderOf) -> Response:
    """Every access, what waits for its review first."""
    found = emergencies(reader.session, reader.keyring, reader.now, subject_id=reader.subject_id)
    return page.answer(
        "citizen/emergencies.html",
        rows=[
            {
                "view": view,
                "recipient": party(reader.session.get_one(Organisation, view.recipient_id)).name(
                    page.language,
                ),
                "reason": emergency_reason_in_words(page.words, view.reason),
                "state": emergency_state_in_words(page.words, view.state, view.finding),
                "answer": emergency_answer_in_words(page.words, view.answer),
            }
            for view in found
        ],
    )


@router.post("/{emergency_id}", name="emergencies.answer")
def post_answer(emergency_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Say whether it was right; the staff sees it with the review."""
    said = form.one("answer") or ""
    if said not in set(EmergencyAnswer):
        raise BadChoiceError
    answer(desk.work, desk.keyring, emergency_id, desk.subject_id, EmergencyAnswer(said), desk.now)
    return page.redirect("/emergencies")
