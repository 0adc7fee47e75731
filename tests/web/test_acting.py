"""Acting for somebody else in pages (feature rows 14 and 15): what it opens and never opens, how it ends."""

from datetime import date, timedelta
from typing import Any

import pytest
from httpx import Response
from sqlmodel import col, select

from broker.db import transaction
from broker.jobs.parting import end_representations
from broker.web.signin.models import AccountSession
from consent.evidence import open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import Consent, Representation
from consent.parties import Ages, NewGuardian, register_guardian
from consent.party_records import Names
from consent.people_vocabulary import GuardianEvidence
from consent.staff import Staff
from consent.vocabulary import ConsentState, EventType
from tests.web.stage import POLICY, Form, Stage, text_of

PURPOSE = "insurance.indemnity_claim"


def as_other(stage: Stage) -> Stage:
    """The second person's browser takes over."""
    stage.http.cookies.clear()
    assert stage.sign_in("jeongsuk").status_code == 303
    return stage


def as_own(stage: Stage) -> Stage:
    stage.http.cookies.clear()
    assert stage.sign_in().status_code == 303
    return stage


def post(stage: Stage, path: str, **fields: Any) -> Response:  # noqa: ANN401 - a form value or several
    token = Form(stage.http.get("/ko/representation").text).fields
    if not token:
        token = Form(stage.http.get("/ko").text).fields
    answer: Response = stage.http.post(
        path,
        data={k: v for k, v in token.items() if k != "representation"} | fields,
    )
    return answer


def representation(stage: Stage) -> Representation:
    with stage.installation.data.read() as session:
        return session.exec(select(Representation).order_by(col(Representation.created_at).desc())).first()  # type: ignore[return-value]


def offered(stage: Stage, **fields: Any) -> Response:  # noqa: ANN401 - a form value or several
    form = {"username": "jeongsuk", "action": ["consent", "withdraw"], "purposes": "all", "days": "30"}
    return post(stage, "/ko/representation", **(form | fields))


def mandated(stage: Stage, **fields: Any) -> str:  # noqa: ANN401 - a form value or several
    """The first person gives the second a mandate, who accepts it and is signed in then."""
    assert offered(as_own(stage), **fields).status_code == 303
    found = representation(stage).representation_id
    assert post(as_other(stage), f"/ko/representation/{found}/accept").status_code == 303
    return found


def act(stage: Stage, representation_id: str) -> Response:
    return post(stage, "/ko/acting", representation=representation_id)


def refusals(stage: Stage) -> list[tuple[str | int, str]]:
    """What was refused on the first person's record."""
    key = stage.installation.keyring.audit_key(stage.subject_id)
    with stage.installation.data.read() as session:
        rows = session.exec(select(LedgerEntry).order_by(col(LedgerEntry.idx))).all()
    found = []
    for row in rows:
        event = Event.from_leaf(row.leaf)
        if event.type == EventType.REPRESENTATION_REFUSED:
            detail = open_detail(
                key,
                handle=event.handle,
                commitment=event.commitment,
                detail_sealed=row.detail_sealed,
            )
            found.append((event.facts["reason"], detail["fault"]))
    return found


def newest(stage: Stage) -> Consent:
    with stage.installation.data.read() as session:
        return session.exec(select(Consent).order_by(col(Consent.created_at).desc())).first()  # type: ignore[return-value]


def made_guardian(stage: Stage, born_on: date) -> str:
    """The second person is the first one's guardian."""
    new = NewGuardian(
        stage.subject_id,
        stage.other_subject_id,
        born_on,
        Names("김하늘", "이정숙"),
        GuardianEvidence.SIGNED_PAPER,
    )
    with transaction(stage.installation.data) as work:
        made = register_guardian(
            work,
            stage.installation.keyring,
            new,
            ages=Ages(14, 14),
            staff=Staff("jimin", "at the counter"),
            now=stage.clock(),
        )
    assert isinstance(made, str)
    return made


# Giving a mandate


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"username": "haneul"}, "AGENT_UNVERIFIED"),
        ({"days": "366"}, "AGENT_UNVERIFIED"),
        ({"days": "soon"}, "AGENT_UNVERIFIED"),
        ({"purposes": "these"}, "AGENT_UNVERIFIED"),
    ],
)
def test_a_mandate_that_cannot_be_is_refused_with_its_reason(
    signed_in: Stage,
    fields: dict[str, str],
    code: str,
) -> None:
    answer = offered(signed_in, **fields)
    assert answer.status_code == 422
    assert code in answer.text
    assert [reason for reason, _ in refusals(signed_in)] == [code]


def test_forms_that_our_page_does_not_make(signed_in: Stage) -> None:
    assert offered(signed_in, username=" ").status_code == 422
    assert offered(signed_in, purposes="some").status_code == 400
    assert offered(signed_in, purposes="these", purpose="no.purpose").status_code == 400


def test_whether_a_sign_in_name_exists_is_told_to_nobody(signed_in: Stage) -> None:
    pages = []
    for username in ("jeongsuk", "jeongsun", "auditor-1"):
        assert offered(signed_in, username=username).status_code == 303
        page = text_of(signed_in.http.get("/ko/representation").text)
        pages.append(page.count("jeong") + page.count("auditor-1"))
        post(signed_in, f"/ko/representation/{representation(signed_in).representation_id}/end")
        signed_in.clock.advance(timedelta(seconds=1))
    assert pages[1] - pages[0] == pages[2] - pages[1] == 1 * (pages[1] - pages[0])


def test_a_circle_is_refused(stage: Stage) -> None:
    mandated(stage)
    answer = offered(stage, username="haneul")
    assert answer.status_code == 422
    assert "AGENT_UNVERIFIED" in answer.text


def test_somebody_elses_offer_is_not_accepted_and_a_declined_one_is_over(stage: Stage) -> None:
    offered(as_own(stage))
    found = representation(stage).representation_id
    assert post(stage, f"/ko/representation/{found}/accept").status_code == 404
    assert post(as_other(stage), f"/ko/representation/{found}/end").status_code == 303
    assert post(stage, f"/ko/representation/{found}/accept").status_code == 404
    assert act(stage, found).status_code == 403
    assert refusals(stage) == [("AGENT_UNVERIFIED", "over")]


def test_an_offer_that_is_over_is_not_begun(stage: Stage) -> None:
    offered(as_own(stage))
    found = representation(stage).representation_id
    stage.clock.advance(timedelta(days=8))
    answer = post(as_other(stage), f"/ko/representation/{found}/accept")
    assert answer.status_code == 422
    assert "AGENT_UNVERIFIED" in answer.text


# Acting


def test_every_page_says_for_whom_one_acts_and_goes_back_with_one_press(stage: Stage) -> None:
    found = mandated(stage, purposes="these", purpose=[PURPOSE])
    assert act(stage, found).status_code == 303
    interaction = stage.request()
    for path in ("/ko", "/en", f"/ko/consent/{interaction}", "/ko/coverage", "/ko/rights"):
        assert "김하늘" in stage.http.get(path).text
        assert 'id="stop-acting"' in stage.http.get(path).text
    token = Form(stage.http.get("/ko").text).fields
    assert stage.http.post("/ko/acting/end", data=token).headers["location"] == "/ko/acting"
    page = stage.http.get("/ko").text
    assert 'id="stop-acting"' not in page
    assert "이정숙" in page


def test_the_choice_is_the_servers_and_ends_with_the_session(stage: Stage) -> None:
    found = mandated(stage)
    act(stage, found)
    assert {cookie.name for cookie in stage.http.cookies.jar} == {"sid"}
    as_other(stage)
    assert 'id="stop-acting"' not in stage.http.get("/ko").text
    assert act(stage, "a-guess").status_code == 404
    as_own(stage)
    assert act(stage, found).status_code == 404  # one's own mandate is the other's to use
    assert refusals(stage) == []


def test_a_representative_agrees_and_stops_and_it_is_on_record_as_theirs(stage: Stage) -> None:
    act(stage, mandated(stage))
    answer = stage.decide(stage.request(), "allow", item=[POLICY])
    assert answer.headers["location"].startswith("https://insurer.example/")
    consent = newest(stage)
    assert (consent.subject_id, consent.signed_by) == (stage.subject_id, stage.other_subject_id)
    assert stage.http.get(f"/ko/consents/{consent.grant_id}").status_code == 200
    token = Form(stage.http.get("/ko").text).fields
    for step in ("pause", "resume", "stop"):
        assert stage.http.post(f"/ko/consents/{consent.grant_id}/{step}", data=token).status_code == 303
    assert newest(stage).state == ConsentState.WITHDRAWN
    events = stage.consents()[0].timeline
    assert {event.detail["acting"]["representative"] for event in events} == {stage.other_subject_id}
    assert {event.detail["acting"]["capacity"] for event in events} == {"mandate"}


def test_what_nobody_does_for_another(stage: Stage) -> None:
    grant_id = as_own(stage).agreed()
    found = mandated(stage)
    act(stage, found)
    token = Form(stage.http.get("/ko").text).fields
    closed = [
        "/ko/sources",
        "/ko/rights/export",
        "/ko/rights",
        "/ko/inbox",
        "/ko/representation",
        "/ko/acting",
    ]
    closed += ["/ko/approvals", "/ko/notifications", f"/ko/consents/{grant_id}/change"]
    for path in closed:
        assert stage.http.get(path).status_code == 403, path
    for path in (f"/ko/consents/{grant_id}/renew", "/ko/representation", f"/ko/representation/{found}/end"):
        assert stage.http.post(path, data=token).status_code == 403, path
    assert len(refusals(stage)) == len(closed) + 3
    assert {reason for reason, _ in refusals(stage)} == {"AGENT_UNVERIFIED"}
    with stage.installation.data.read() as session:
        assert session.get_one(Consent, grant_id).state == ConsentState.GIVEN


def test_only_what_the_mandate_names(stage: Stage) -> None:
    grant_id = as_own(stage).agreed()
    purposes = [code.code for code in stage.installation.purposes.all() if code.code != PURPOSE][:1]
    act(stage, mandated(stage, purposes="these", purpose=purposes))
    page = stage.http.get("/ko").text
    assert grant_id not in page
    assert "서울한빛병원" not in page  # and no sources
    assert stage.http.get(f"/ko/consents/{grant_id}").status_code == 404
    token = Form(page).fields
    assert stage.http.post(f"/ko/consents/{grant_id}/stop", data=token).status_code == 404
    assert stage.http.get("/ko/consents/unknown").status_code == 404
    assert stage.http.get(f"/ko/consent/{stage.request()}").status_code == 403
    assert refusals(stage) == [("AGENT_UNVERIFIED", "scope")]


def test_only_the_actions_that_the_mandate_names(stage: Stage) -> None:
    grant_id = as_own(stage).agreed()
    act(stage, mandated(stage, action=[]))
    assert stage.http.get(f"/ko/consents/{grant_id}").status_code == 200
    token = Form(stage.http.get("/ko").text).fields
    assert stage.http.get(f"/ko/consent/{stage.request()}").status_code == 403
    for step in ("stop", "pause", "resume"):
        assert stage.http.post(f"/ko/consents/{grant_id}/{step}", data=token).status_code == 403
    assert [fault for _, fault in refusals(stage)] == [
        "consent",
        "consents.stop.post",
        "consents.pause.post",
        "consents.resume.post",
    ]


def test_who_opened_a_request_decides_on_it(stage: Stage) -> None:
    act(stage, mandated(stage))
    interaction = stage.request()
    assert stage.http.get(f"/ko/consent/{interaction}").status_code == 200
    as_own(stage)
    assert stage.http.get(f"/ko/consent/{interaction}").status_code == 410


@pytest.mark.parametrize("is_ended", [True, False])
def test_it_is_over_at_once_and_refused_on_record(stage: Stage, *, is_ended: bool) -> None:
    found = mandated(stage, days="1")
    cookies = dict(stage.http.cookies)
    act(stage, found)
    interaction = stage.request()
    stage.http.get(f"/ko/consent/{interaction}")
    if is_ended:
        post(as_own(stage), f"/ko/representation/{found}/end")
    else:
        with transaction(stage.installation.data) as work:
            work.session.get_one(Representation, found).valid_until = stage.clock()
    stage.http.cookies.clear()
    stage.http.cookies.update(cookies)
    answer = stage.http.post(f"/ko/consent/{interaction}", data={"decision": "allow"})
    assert answer.status_code == 403
    assert refusals(stage) == [("AGENT_UNVERIFIED", "over")]
    assert newest(stage).state == (ConsentState.EXPIRED if is_ended else ConsentState.REQUESTED)
    end_representations(stage.installation, stage.clock())
    assert newest(stage).state == ConsentState.EXPIRED
    assert stage.http.get("/ko").status_code == 200  # their own pages again
    with stage.installation.data.read() as session:
        assert {row.representation_id for row in session.exec(select(AccountSession))} == {None}


# Children


def test_a_child_agrees_to_nothing_alone(signed_in: Stage) -> None:
    made_guardian(signed_in, date(2015, 5, 5))
    answer = signed_in.decide(signed_in.request(), "allow", item=[POLICY])
    assert answer.status_code == 403
    assert refusals(signed_in) == [("GUARDIAN_UNVERIFIED", "child")]
    assert newest(signed_in).state == ConsentState.REQUESTED


def test_the_hand_over_to_the_young_person(stage: Stage) -> None:
    found = made_guardian(as_other(stage), date(2012, 12, 11))
    act(stage, found)
    assert "보호자" in stage.http.get("/ko").text
    stage.decide(stage.request(), "allow", item=[POLICY])
    grant_id = newest(stage).grant_id
    stage.clock.now = stage.clock().replace(day=10, hour=15)  # the birthday in Korea
    assert act(as_other(stage), found).status_code == 403
    page = as_own(stage).http.get(f"/ko/consents/{grant_id}").text
    assert 'id="resume"' in page
    mandate = mandated(stage)
    act(stage, mandate)
    assert 'id="resume"' not in stage.http.get(f"/ko/consents/{grant_id}").text
    token = Form(stage.http.get("/ko").text).fields
    stage.http.post(f"/ko/consents/{grant_id}/resume", data=token)
    assert newest(stage).state == ConsentState.PAUSED
    assert end_representations(stage.installation, stage.clock()) == 1  # the guardianship
    as_own(stage)
    token = Form(stage.http.get("/ko").text).fields
    stage.http.post(f"/ko/consents/{grant_id}/resume", data=token)
    assert newest(stage).state == ConsentState.GIVEN
    assert newest(stage).signed_by is None
