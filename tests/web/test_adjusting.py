"""Changing a consent in pages: amended, narrowed, extended, read again (korea L6: no harder than giving)."""

from datetime import timedelta
from typing import Any

import pytest

from broker.db import transaction
from broker.oauth.models import Interaction, PushedRequest
from consent import adjusting
from consent.errors import NothingToChangeError
from consent.lifecycle import lock, pause_locked
from consent.reading import ConsentView
from consent.vocabulary import ConsentState, StateReason
from tests.web.stage import BILL, POLICY, Form, Stage, bill, policy, text_of


def one(stage: Stage, grant_id: str) -> ConsentView:
    return next(consent for consent in stage.consents() if consent.grant_id == grant_id)


def press(stage: Stage, path: str, **fields: Any) -> Any:  # noqa: ANN401 - an answer
    """Post the form of a page."""
    form = Form(stage.http.get(path).text).fields
    return stage.http.post(path, data=form | fields)


def asked_to_replace(stage: Stage, grant_id: str, *items: dict[str, Any]) -> str:
    """A request that is to replace what a consent says; answers the interaction's id."""
    interaction_id = stage.request(*items)
    with transaction(stage.installation.data) as work:
        row = work.session.get_one(Interaction, interaction_id)
        work.session.get_one(PushedRequest, row.request_id).grant_id = grant_id
    return interaction_id


def pause_for(stage: Stage, grant_id: str, reason: StateReason) -> None:
    with transaction(stage.installation.data) as work:
        consent = lock(work, grant_id)
        pause_locked(work, stage.installation.keyring, consent, reason, stage.clock())


# Amended by the recipient


def test_the_difference_is_shown_and_the_consent_stands_until_it_is_signed(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_replace(
        signed_in, grant_id, bill(fields=["institution", "period", "lines", "totals", "department"])
    )
    page = signed_in.http.get(f"/ko/consent/{interaction_id}").text
    assert "무엇이 바뀌나요" in text_of(page)
    assert "더는 보내지 않아요" in text_of(page)
    before = one(signed_in, grant_id)
    assert (before.state, before.version_number) == (ConsentState.GIVEN, 1)
    assert signed_in.decide(interaction_id, "allow").status_code == 303
    after = one(signed_in, grant_id)
    assert after.version_number == 2
    assert [item.record_type for item in after.terms.items] == [BILL]
    assert len(signed_in.consents()) == 1


def test_declining_a_change_keeps_what_was_agreed(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_replace(signed_in, grant_id, bill())
    answer = signed_in.decide(interaction_id, "deny")
    assert "error=access_denied" in answer.headers["location"]
    assert (one(signed_in, grant_id).state, one(signed_in, grant_id).version_number) == (
        ConsentState.GIVEN,
        1,
    )


def test_somebody_elses_consent_is_none_and_only_the_client_hears_of_it(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_replace(signed_in, grant_id, bill())
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    answer = signed_in.http.get(f"/ko/consent/{interaction_id}")
    assert answer.status_code == 303
    assert "error=invalid_grant_id" in answer.headers["location"]


def test_what_has_ended_meanwhile_cannot_be_changed(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    interaction_id = asked_to_replace(signed_in, grant_id, bill())
    signed_in.http.get(f"/ko/consent/{interaction_id}")
    press(signed_in, f"/ko/consents/{grant_id}/stop")
    assert signed_in.decide(interaction_id, "allow").status_code == 410
    answer = signed_in.http.get(f"/ko/consent/{asked_to_replace(signed_in, grant_id)}")
    assert "error=invalid_grant_id" in answer.headers["location"]


# Narrowed by the person


def test_an_optional_item_is_taken_away_with_one_form(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    assert press(signed_in, f"/ko/consents/{grant_id}/change", item=[BILL]).status_code == 303
    assert [item.record_type for item in one(signed_in, grant_id).terms.items] == [BILL]


def test_an_earlier_last_day_counts_to_its_end(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    path = f"/ko/consents/{grant_id}/change"
    assert press(signed_in, path, item=[BILL, POLICY], last_day="2026-12-20").status_code == 303
    assert one(signed_in, grant_id).valid_until.isoformat().startswith("2026-12-20T14:59:59")


@pytest.mark.parametrize("last_day", ["", "2027-05-01", "2025-01-01", "someday"])
def test_what_changes_nothing_or_is_impossible_is_told(signed_in: Stage, last_day: str) -> None:
    grant_id = signed_in.agreed()
    answer = press(signed_in, f"/ko/consents/{grant_id}/change", item=[BILL, POLICY], last_day=last_day)
    assert answer.status_code == 422
    assert "바뀌는 것이 없거나" in text_of(answer.text)
    assert one(signed_in, grant_id).version_number == 1


def test_what_has_ended_is_not_changed(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    form = Form(signed_in.http.get(f"/ko/consents/{grant_id}/change").text).fields
    press(signed_in, f"/ko/consents/{grant_id}/stop")
    assert signed_in.http.get(f"/ko/consents/{grant_id}/change").status_code == 303
    for path in ("change", "renew", "notice"):
        answer = signed_in.http.post(f"/ko/consents/{grant_id}/{path}", data=form | {"notice": "00"})
        assert answer.status_code == 303
    assert one(signed_in, grant_id).state == ConsentState.WITHDRAWN


@pytest.mark.parametrize("path", ["change", "notice"])
def test_a_foreign_consent_is_as_unknown(signed_in: Stage, path: str) -> None:
    grant_id = signed_in.agreed()
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    assert signed_in.http.get(f"/ko/consents/{grant_id}/{path}").status_code == 404


# Extended


def test_extending_is_one_press_and_adds_nothing(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    before = one(signed_in, grant_id)
    signed_in.clock.advance(timedelta(days=5))
    signed_in.sign_in()
    page = signed_in.http.get(f"/ko/consents/{grant_id}").text
    assert any(button.get("id") == "renew" for button in Form(page).buttons)
    form = Form(page).fields
    assert signed_in.http.post(f"/ko/consents/{grant_id}/renew", data=form).status_code == 303
    after = one(signed_in, grant_id)
    assert after.valid_until > before.valid_until
    assert after.terms.items == before.terms.items


def test_extending_too_early_changes_nothing(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    with pytest.raises(NothingToChangeError):
        adjusting.renewed_terms(
            one(signed_in, grant_id).terms,
            signed_in.installation.purposes.get("insurance.indemnity_claim"),
            one(signed_in, grant_id).terms.access.valid_from,
        )


# Read again


def test_a_revised_text_is_read_and_agreed_to_again(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    pause_for(signed_in, grant_id, StateReason.RECONSENT)
    page = signed_in.http.get(f"/ko/consents/{grant_id}").text
    assert "안내문이 중요한 부분에서 바뀌었어요" in text_of(page)
    assert 'id="resume"' not in page
    form = Form(page).fields
    signed_in.http.post(f"/ko/consents/{grant_id}/resume", data=form)
    assert one(signed_in, grant_id).state == ConsentState.PAUSED
    assert press(signed_in, f"/ko/consents/{grant_id}/notice").status_code == 303
    assert one(signed_in, grant_id).state == ConsentState.GIVEN


def test_another_text_than_the_one_that_reads_now_is_not_signed(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    pause_for(signed_in, grant_id, StateReason.RECONSENT)
    assert press(signed_in, f"/ko/consents/{grant_id}/notice", notice="00" * 32).status_code == 409
    assert press(signed_in, f"/ko/consents/{grant_id}/notice", notice="no hex").status_code == 400
    assert one(signed_in, grant_id).state == ConsentState.PAUSED


def test_stopping_takes_no_more_steps_than_agreeing(signed_in: Stage) -> None:
    """Requests that a browser makes, from the page where it begins to the end (korea L6)."""
    interaction_id = signed_in.request(bill(), policy())
    giving = 0
    page = signed_in.http.get(f"/ko/consent/{interaction_id}")
    giving += 1
    fields = Form(page.text).fields | {"decision": "allow"}
    assert signed_in.http.post(f"/ko/consent/{interaction_id}", data=fields).status_code == 303
    giving += 1
    grant_id = signed_in.consents()[0].grant_id
    stopping = 0
    page = signed_in.http.get(f"/ko/consents/{grant_id}/stop")
    stopping += 1
    assert (
        signed_in.http.post(f"/ko/consents/{grant_id}/stop", data=Form(page.text).fields).status_code == 303
    )
    stopping += 1
    assert one(signed_in, grant_id).state == ConsentState.WITHDRAWN
    assert stopping <= giving
