"""What a citizen may want of a decision: that a person looks at it again (PIPA article 37-2)."""

from datetime import datetime
from typing import Final

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from broker.api.guards import CitizenHere, require_citizen_here
from broker.deps import Installed, Now, Tx
from broker.web.csrf import read_own_form
from consent.review import ask_for_review

# A browser sends its cookie with what another site makes it send, too: the rule is that of our pages' forms.
router = APIRouter(
    prefix="/v1/decisions",
    tags=["decisions"],
    dependencies=[Depends(require_citizen_here), Depends(read_own_form)],
)

_ACCEPTED: Final = 202


class ReviewRequested(BaseModel):
    """The wish is on record; the recipient is told."""

    decision_id: str
    review_requested_at: datetime


@router.post("/{decision_id}/review", responses={_ACCEPTED: {"model": ReviewRequested}})
def request_review(  # noqa: PLR0913, PLR0917 - what the framework injects
    decision_id: str, citizen: CitizenHere, installation: Installed, work: Tx, now: Now, response: Response
) -> ReviewRequested:
    """Ask that a person looks at the decision again: 202, and 200 when it was asked before.

    For the signed-in citizen, without a body or with the pages' `form_token`. Works after the consent ended.
    """
    asked = ask_for_review(work, installation.keyring, decision_id, citizen.subject_id, now)
    response.status_code = 200 if asked.is_repeated else _ACCEPTED
    return ReviewRequested(decision_id=decision_id, review_requested_at=asked.requested_at)
