"""One consent: what was agreed, what happened, the decisions and their review, and stopping it.

Somebody else's consent is answered like an unknown one: the reading raises NotFoundError (404).
"""

from contextlib import suppress

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.web.citizen import wording
from broker.web.citizen.adjusting import can_be_adjusted
from broker.web.citizen.desk import Desk, DeskOf, ReaderOf
from broker.web.citizen.outcomes import outcomes
from broker.web.citizen.views import steps
from broker.web.errors import PageNotFoundError
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_citizen
from consent import deals, lifecycle
from consent.attestation import dispute
from consent.errors import DecisionReplacedError, ReconsentNeededError, WrongStateError
from consent.party_ends import hand_over
from consent.review import ask_for_review
from consent.vocabulary import ConsentState, StateReason

router = APIRouter(prefix="/consents", dependencies=[Depends(require_citizen)])


@router.get("/{grant_id}", name="consents.one")
def show_consent(grant_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """Everything about one consent."""
    consent = reader.consent(grant_id)
    return page.answer(
        "citizen/consent_detail.html",
        consent=consent,
        terms=reader.in_words(page.words, consent.terms, consent.recipient),
        state=wording.state_in_words(page.words, consent.state),
        group=wording.group_of(consent.state),
        reason=wording.state_reason_in_words(page.words, consent.state_reason),
        can_be_adjusted=reader.acting is None and can_be_adjusted(consent),
        must_be_read_again=consent.state_reason == StateReason.RECONSENT
        and consent.state == ConsentState.PAUSED,
        can_be_paused=consent.state == ConsentState.GIVEN,
        can_be_resumed=consent.state == ConsentState.PAUSED
        and consent.state_reason not in {StateReason.RECONSENT, StateReason.RECIPIENT_SUSPENDED}
        and not (reader.acting and consent.state_reason == StateReason.HANDOVER),
        can_be_stopped=wording.can_be_stopped(consent.state, was_given=consent.given_at is not None),
        steps=steps(page.words, consent.timeline),
        outcomes=outcomes(page.words, consent.decisions),
        deletion=reader.deletion(page.words, grant_id),
    )


@router.get("/{grant_id}/stop", name="consents.stop")
def show_stop(grant_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """The one confirmation: what stops, from when, and what the recipient must do."""
    consent = reader.consent(grant_id)
    if not wording.can_be_stopped(consent.state, was_given=consent.given_at is not None):
        return page.redirect(f"/consents/{grant_id}")
    return page.answer(
        "citizen/stop.html",
        consent=consent,
        terms=reader.in_words(page.words, consent.terms, consent.recipient),
        group=wording.group_of(consent.state),
    )


@router.post("/{grant_id}/stop", name="consents.stop.post")
def post_stop(grant_id: str, page: PageOf, desk: DeskOf) -> Response:
    """Stop it. Commit and the end of the shares come before the answer; a second time changes nothing."""
    try:
        _withdraw(desk, grant_id)
    except WrongStateError:
        return page.redirect(f"/consents/{grant_id}")
    return page.redirect(f"/consents/{grant_id}/stopped")


def _withdraw(desk: Desk, grant_id: str) -> None:
    """In a deal that not everybody has signed yet it is off for all of them; after that for this person."""
    if desk.reader.consent(grant_id).deal_id is None:
        lifecycle.withdraw(desk.work, desk.keyring, grant_id, desk.subject_id, desk.now)
    else:
        deals.withdraw(desk.work, desk.keyring, grant_id, desk.subject_id, desk.now)


@router.post("/{grant_id}/pause", name="consents.pause.post")
def post_pause(grant_id: str, page: PageOf, desk: DeskOf) -> Response:
    """Stop it for a time, with one press; what has ended meanwhile stays as it is."""
    with suppress(WrongStateError):
        lifecycle.pause(desk.work, desk.keyring, grant_id, desk.subject_id, desk.now)
    return page.redirect(f"/consents/{grant_id}")


@router.post("/{grant_id}/resume", name="consents.resume.post")
def post_resume(grant_id: str, page: PageOf, desk: DeskOf) -> Response:
    """Let it go on, with one press. What a guardian had agreed to, the young person alone."""
    hand_over(desk.work, desk.keyring, grant_id, desk.now)
    if desk.acting is not None and desk.reader.consent(grant_id).state_reason == StateReason.HANDOVER:
        return page.redirect(f"/consents/{grant_id}")
    with suppress(WrongStateError, ReconsentNeededError):
        lifecycle.resume(desk.work, desk.keyring, grant_id, desk.subject_id, desk.now)
    return page.redirect(f"/consents/{grant_id}")


@router.get("/{grant_id}/stopped", name="consents.stopped")
def show_stopped(grant_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """What has stopped, when, and what happens next."""
    consent = reader.consent(grant_id)
    if consent.state != ConsentState.WITHDRAWN:
        return page.redirect(f"/consents/{grant_id}")
    terms = reader.in_words(page.words, consent.terms, consent.recipient)
    return page.answer("citizen/stopped.html", consent=consent, terms=terms)


@router.post("/{grant_id}/dispute", name="consents.dispute.post")
def post_dispute(grant_id: str, page: PageOf, desk: DeskOf) -> Response:
    """Doubt that the recipient deleted what it says it did; what is not attested any more stays as it is."""
    with suppress(WrongStateError):
        dispute(desk.work, desk.keyring, grant_id, desk.subject_id, desk.now)
    return page.redirect(f"/consents/{grant_id}")


@router.post("/{grant_id}/decisions/{decision_id}/review", name="consents.review.post")
def post_review(grant_id: str, decision_id: str, page: PageOf, desk: DeskOf) -> Response:
    """Ask that a person looks at a decision again; a second time changes nothing."""
    try:
        asked = ask_for_review(desk.work, desk.keyring, decision_id, desk.subject_id, desk.now)
    except DecisionReplacedError:
        # The page was older than the decision that stands now: show that one.
        desk.reader.consent(grant_id)
    else:
        if asked.grant_id != grant_id:
            raise PageNotFoundError  # undoes what was asked
    return page.redirect(f"/consents/{grant_id}")
