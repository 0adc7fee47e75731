"""From the lane's answers to HTTP: one table of reasons (design/interfaces: answers to a pull)."""

from dataclasses import dataclass
from typing import Final

import orjson
from starlette.responses import Response

from broker.lane.pulls import Answer
from broker.logs import current_trace_id
from broker.oauth.dpop import ALGORITHMS
from broker.oauth.step_up import challenge_of
from consent.vocabulary import Reason

_RETRY_AFTER_SECONDS: Final = "1"
# RFC 9449 sections 7.1 and 9, RFC 9470 section 3: what of a 401 is not `invalid_token`.
_OWN_ERRORS: Final = frozenset(
    {"invalid_dpop_proof", "use_dpop_nonce", Reason.INSUFFICIENT_USER_AUTHENTICATION}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """An RFC 9457 problem of the lane. `is_challenge`: nothing was presented that could be wrong."""

    status: int
    code: str
    title: str
    is_challenge: bool = False


UNKNOWN_TOKEN: Final = Problem(401, "invalid_token", "The access token opens nothing for this caller")
REPLAYED_PROOF: Final = Problem(401, "invalid_dpop_proof", "This DPoP proof was used before")

REASONS: Final = {
    Reason.NO_CONSENT: Problem(401, Reason.NO_CONSENT, "This token has no consent behind it"),
    Reason.TOKEN_EXPIRED: Problem(401, Reason.TOKEN_EXPIRED, "The access token has expired: refresh it"),
    Reason.TOKEN_REVOKED: Problem(401, Reason.TOKEN_REVOKED, "The access token was revoked"),
    Reason.CONSENT_REQUESTED: Problem(401, Reason.CONSENT_REQUESTED, "The consent has not been given"),
    Reason.CONSENT_PARTIALLY_SIGNED: Problem(
        403, Reason.CONSENT_PARTIALLY_SIGNED, "Somebody else has yet to sign: try again later"
    ),
    Reason.CONSENT_REVOKED: Problem(401, Reason.CONSENT_REVOKED, "The consent was revoked"),
    Reason.CONSENT_INVALIDATED: Problem(
        401, Reason.CONSENT_INVALIDATED, "What the consent stood on has fallen: it is invalid"
    ),
    Reason.CONSENT_PAUSED: Problem(403, Reason.CONSENT_PAUSED, "The person has paused the consent"),
    Reason.CONSENT_FULFILLED: Problem(
        401, Reason.CONSENT_FULFILLED, "Everything the consent allows was delivered"
    ),
    Reason.CONSENT_REFUSED: Problem(401, Reason.CONSENT_REFUSED, "The person refused"),
    Reason.CONSENT_EXPIRED: Problem(401, Reason.CONSENT_EXPIRED, "The consent's time is over"),
    Reason.CONSENT_WITHDRAWN: Problem(401, Reason.CONSENT_WITHDRAWN, "The person withdrew the consent"),
    Reason.CONSENT_SUPERSEDED: Problem(
        401, Reason.CONSENT_SUPERSEDED, "A newer version of the consent stands: refresh the token"
    ),
    Reason.RECIPIENT_SUSPENDED: Problem(
        403, Reason.RECIPIENT_SUSPENDED, "The recipient or its client is suspended"
    ),
    Reason.ITEM_NOT_GRANTED: Problem(
        403, Reason.ITEM_NOT_GRANTED, "The consent does not cover this record type"
    ),
    Reason.OUTSIDE_WINDOW: Problem(
        403, Reason.OUTSIDE_WINDOW, "Outside the time in which the consent may be used"
    ),
    Reason.NO_PLACE_LEFT: Problem(403, Reason.NO_PLACE_LEFT, "Every pull that the consent allows was made"),
    Reason.CYCLE_NOT_OVER: Problem(
        403, Reason.CYCLE_NOT_OVER, "Nothing new has arrived, and the cycle of the consent is not over"
    ),
    Reason.ROLE_FORBIDS: Problem(
        403, Reason.ROLE_FORBIDS, "The role in which this broker is deployed does not let it deliver this"
    ),
    Reason.RECORD_UNREADABLE: Problem(
        403, Reason.RECORD_UNREADABLE, "A record did not authenticate, and nothing was released"
    ),
    Reason.KEY_REUSED: Problem(422, Reason.KEY_REUSED, "The Idempotency-Key was used for another request"),
    Reason.REDELIVERY_DIFFERS: Problem(
        410, Reason.REDELIVERY_DIFFERS, "The payload would differ from the one that was delivered"
    ),
    Reason.INSUFFICIENT_USER_AUTHENTICATION: Problem(
        401,
        Reason.INSUFFICIENT_USER_AUTHENTICATION,
        "The person must sign in again before this is delivered",
    ),
    Reason.ERASED: Problem(
        410, Reason.ERASED, "The records were erased, or this consent can no longer open them"
    ),
}


def answer_response(answer: Answer) -> Response:
    """The response for an answer whose commit holds."""
    if answer.body is not None:
        headers = {"Cache-Control": "no-store"}
        return Response(answer.body, media_type="application/json", headers=headers)
    if answer.is_replayed_proof:
        return problem_response(REPLAYED_PROOF)
    if answer.needs is not None:
        return problem_response(REASONS[Reason.INSUFFICIENT_USER_AUTHENTICATION], challenge_of(answer.needs))
    return problem_response(UNKNOWN_TOKEN if answer.reason is None else REASONS[answer.reason])


def problem_response(problem: Problem, needs: str = "") -> Response:
    """An RFC 9457 problem; 401 bears the challenge of RFC 9449 section 7.1, with what it `needs`."""
    body = {
        "type": f"urn:mydata:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": str(problem.code),
        "trace_id": current_trace_id(),
        "errors": [],
    }
    headers = {"Cache-Control": "no-store"}
    if problem.status == 401:  # noqa: PLR2004 - RFC 9110 section 15.5.2
        error = problem.code if problem.code in _OWN_ERRORS else "invalid_token"
        # RFC 6750 section 3.1: no error code where the request bore no authentication at all.
        told = "" if problem.is_challenge else f'error="{error}", {needs}'
        headers["WWW-Authenticate"] = f'DPoP {told}algs="{" ".join(ALGORITHMS)}"'
    if problem.status == 405:  # noqa: PLR2004 - RFC 9110 section 15.5.6
        headers["Allow"] = "GET"
    if problem.status == 503:  # noqa: PLR2004 - RFC 9110 section 15.6.4
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    return Response(
        orjson.dumps(body), status_code=problem.status, media_type="application/problem+json", headers=headers
    )
