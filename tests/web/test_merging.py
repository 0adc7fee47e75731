"""A request to add something to a consent: its page, and what its client is told instead of it."""

from typing import Any

import pytest
from httpx import Response

from broker.db import transaction
from broker.oauth.kept_parameters import Kept, seal_kept
from broker.oauth.models import Interaction, PushedRequest
from consent.vocabulary import ConsentState
from tests.installation import ISSUER
from tests.oauth.world import answer_in
from tests.web.stage import BILL, POLICY, Form, Stage, bill, policy, text_of
from tests.web.test_adjusting import one, press

PRESCRIPTION = "health.prescription"


def prescription(**changes: object) -> dict[str, Any]:
    return {"record_type": PRESCRIPTION, "mode": "document", "required": False} | changes


def asked_to_merge(stage: Stage, grant_id: str, *items: dict[str, Any]) -> str:
    """A request that is to be merged into a consent; answers the interaction's id."""
    interaction_id = stage.request(*items)
    with transaction(stage.installation.data) as work:
        row = work.session.get_one(Interaction, interaction_id)
        request = work.session.get_one(PushedRequest, row.request_id)
        request.grant_id = grant_id
        kept = Kept(state="a state", is_merge=True)
        request.kept_sealed = seal_kept(stage.installation.keyring, request.request_id, kept)
    return interaction_id


def opened(stage: Stage, interaction_id: str) -> Response:
    answer: Response = stage.http.get(f"/ko/consent/{interaction_id}")
    return answer


def sent_back(answer: Response, error: str) -> bool:
    """Whether the client is told this, and the person sees no page."""
    told = {"error": error, "state": "a state", "iss": ISSUER, "flow": "claim"}
    answered = answer_in(answer.headers.get("location", ""))
    return answer.status_code == 303 and {name: answered.get(name) for name in told} == told


def ticked(page: str) -> set[str]:
    boxes = [field for field in Form(page).inputs if field.get("type") == "checkbox"]
    return {str(field["value"]) for field in boxes if "checked" in field}


# What its client is told instead


def test_who_is_not_the_person_of_the_grant_sees_nothing_of_it(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_merge(signed_in, grant_id, prescription())
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    answer = opened(signed_in, interaction_id)
    assert sent_back(answer, "invalid_grant_id")
    assert "grant_id" not in answer_in(answer.headers["location"])
    assert opened(signed_in, interaction_id).status_code == 410  # one answer to one request
    assert (one(signed_in, grant_id).version_number, len(one(signed_in, grant_id).timeline)) == (1, 2)


def test_what_has_ended_since_it_was_pushed_is_no_grant(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_merge(signed_in, grant_id, prescription())
    press(signed_in, f"/ko/consents/{grant_id}/stop")
    assert sent_back(opened(signed_in, interaction_id), "invalid_grant_id")


def test_what_is_no_whole_with_what_stands_by_now_is_refused(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    elsewhere = {"institution": ["11100087"]}
    interaction_id = asked_to_merge(signed_in, grant_id, bill(fields=["totals"], filter=elsewhere))
    assert sent_back(opened(signed_in, interaction_id), "invalid_authorization_details")
    assert one(signed_in, grant_id).state == ConsentState.GIVEN


def test_a_posted_decision_of_somebody_else_is_sent_back_too(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    fields = Form(opened(signed_in, signed_in.request()).text).fields
    interaction_id = asked_to_merge(signed_in, grant_id, prescription())
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    token = Form(signed_in.http.get("/ko").text).fields
    answer = signed_in.http.post(f"/ko/consent/{interaction_id}", data=fields | token | {"decision": "allow"})
    assert sent_back(answer, "invalid_grant_id")
    assert one(signed_in, grant_id).version_number == 1


# The page


def test_the_whole_and_the_difference_are_shown_and_signed_as_a_new_version(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_merge(signed_in, grant_id, bill(fields=["department"]), prescription())
    page = opened(signed_in, interaction_id)
    assert page.status_code == 200
    words = text_of(page.text)
    assert "무엇이 바뀌나요" in words
    assert "더 보내요: 처방전" in words.replace(" :", ":")
    assert "더는 보내지 않아요" not in words
    assert one(signed_in, grant_id).version_number == 1
    answer = signed_in.decide(interaction_id, "allow", item=[POLICY, PRESCRIPTION])
    assert answer.status_code == 303
    assert set(answer_in(answer.headers["location"])) == {"flow", "code", "state", "iss"}  # no grant_id
    after = one(signed_in, grant_id)
    assert after.version_number == 2
    assert [item.record_type for item in after.terms.items] == [BILL, POLICY, PRESCRIPTION]
    fields = ("institution", "period", "lines", "totals", "department")
    assert after.terms.items[0].fields == fields
    assert len(signed_in.consents()) == 1


def test_what_stands_stays_ticked_and_what_is_new_is_not(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_merge(signed_in, grant_id, prescription())
    assert ticked(opened(signed_in, interaction_id).text) == {POLICY}
    answer = signed_in.decide(interaction_id, "allow", item=[POLICY])
    assert answer.status_code == 303
    items = one(signed_in, grant_id).terms.items
    assert [item.record_type for item in items] == [BILL, POLICY]


def test_more_of_what_was_chosen_is_not_ticked(signed_in: Stage) -> None:
    grant_id = signed_in.agreed(bill(), policy(mode="fields", fields=["policy_no"]))
    interaction_id = asked_to_merge(signed_in, grant_id, policy())
    assert ticked(opened(signed_in, interaction_id).text) == set()


def test_what_the_person_has_taken_away_since_the_push_does_not_come_back(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_merge(signed_in, grant_id, prescription())
    press(signed_in, f"/ko/consents/{grant_id}/change", item=[BILL])
    assert signed_in.decide(interaction_id, "allow", item=[PRESCRIPTION]).status_code == 303
    items = one(signed_in, grant_id).terms.items
    assert [item.record_type for item in items] == [BILL, PRESCRIPTION]


def test_nothing_new_is_told_as_nothing_new(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    page = opened(signed_in, asked_to_merge(signed_in, grant_id, policy()))
    assert "바뀌는 것이 없어요" in text_of(page.text)


def test_declining_keeps_what_was_agreed(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    answer = signed_in.decide(asked_to_merge(signed_in, grant_id, prescription()), "deny")
    assert sent_back(answer, "access_denied")
    assert (one(signed_in, grant_id).state, one(signed_in, grant_id).version_number) == (
        ConsentState.GIVEN,
        1,
    )


def test_a_later_request_takes_the_place_of_an_earlier_one(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    earlier = asked_to_merge(signed_in, grant_id, prescription())
    assert opened(signed_in, earlier).status_code == 200
    later = asked_to_merge(signed_in, grant_id, bill(fields=["department"]))
    assert opened(signed_in, later).status_code == 200
    assert opened(signed_in, earlier).status_code == 410


@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_the_same_answer_twice_leads_to_the_same_address(signed_in: Stage, decision: str) -> None:
    interaction_id = asked_to_merge(signed_in, signed_in.agreed(), prescription())
    path = f"/ko/consent/{interaction_id}"
    fields = Form(signed_in.http.get(path).text).fields | {"decision": decision}
    first, second = (signed_in.http.post(path, data=fields) for _ in range(2))
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.headers["location"] == second.headers["location"]
