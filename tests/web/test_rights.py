"""The pages about a person's rights: asking, deadlines, answers, complaints, and taking everything out."""

import json
import re
from datetime import timedelta
from io import BytesIO
from zipfile import ZipFile

import pytest
from httpx import Response
from sqlmodel import select

from broker.db import transaction
from consent.delivery import receive_decision
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import Decision, Delivery
from consent.review import ask_for_review
from consent.rights import STATUTORY_RETENTION, RightAnswer, answer_right
from consent.staff import Staff
from tests.web.stage import PASSWORD, Form, Stage, text_of
from vault.schema import random_id

STAFF = Staff("minji", "to answer it")
WORDS = "보험사가 너무 많이 가져갔어요 <b>"


def ask(stage: Stage, kind: str, text: str = WORDS, language: str = "ko", **fields: str) -> Response:
    page = stage.http.get(f"/{language}/rights")
    data = Form(page.text).fields | {"kind": kind, "text": text} | fields
    answer: Response = stage.http.post(f"/{language}/rights", data=data)
    return answer


def asked(stage: Stage, kind: str, **fields: str) -> str:
    answer = ask(stage, kind, **fields)
    assert answer.status_code == 303, text_of(answer.text)
    return answer.headers["location"]


def event_types(stage: Stage) -> list[str]:
    with stage.installation.data.read() as session:
        return [Event.from_leaf(leaf).type for leaf in session.exec(select(LedgerEntry.leaf))]


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("", {}, "kind"),
        ("everything", {}, "kind"),
        ("stop", {"text": " "}, "text"),
        ("complain", {}, "grant"),
        ("correct", {}, "organisation"),
        ("erase", {"organisation": "nobody"}, "organisation"),
        ("stop", {"for_authority": "yes"}, "for_authority"),
    ],
)
def test_a_form_that_is_not_complete_comes_back(
    signed_in: Stage, kind: str, fields: dict[str, str], field: str
) -> None:
    answer = ask(signed_in, kind, **{"text": WORDS} | fields)
    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert f'id="{field}"' in answer.text
    assert "right.requested" not in event_types(signed_in)


def test_nobody_else_reads_a_request_or_its_files(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    path = asked(signed_in, "complain", grant=grant_id, for_authority="yes")
    signed_in.http.cookies.clear()
    assert signed_in.sign_in(username="jeongsuk").status_code == 303
    for address in (path, f"{path}/record.json", f"{path}/authority.json"):
        assert signed_in.http.get(address).status_code == 404
    assert ask(signed_in, "complain", grant=grant_id).status_code == 404


def test_files_that_a_request_does_not_have_are_not_found(signed_in: Stage) -> None:
    path = asked(signed_in, "stop")
    assert signed_in.http.get(f"{path}/record.json").status_code == 404
    assert signed_in.http.get(f"{path}/authority.json").status_code == 404


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("kind", ["stop", "erase", "object"])
def test_a_request_is_listed_with_its_deadline(signed_in: Stage, language: str, kind: str) -> None:
    path = ask(signed_in, kind, language=language).headers["location"]
    due = "2026. 12. 11." if language == "ko" else "11 Dec 2026"
    for address in (f"/{language}/rights", path):
        page = signed_in.http.get(address)
        assert page.status_code == 200
        assert due in text_of(page.text)
    assert "&lt;b&gt;" in signed_in.http.get(path).text
    assert "right.requested" in event_types(signed_in)


def test_a_correction_names_the_holder_and_the_record(signed_in: Stage) -> None:
    path = asked(signed_in, "correct", organisation="seoul-hospital", record="health.medical_bill")
    shown = text_of(signed_in.http.get(path).text)
    assert "서울한빛병원" in shown
    assert "진료비 계산서" in shown


def test_a_late_answer_is_told_as_late(signed_in: Stage) -> None:
    path = asked(signed_in, "erase")
    signed_in.clock.advance(timedelta(days=10))
    signed_in.sign_in()
    assert "답변이 늦어지고 있어요" in text_of(signed_in.http.get(path).text)


def test_an_answer_and_its_ground_are_shown(signed_in: Stage) -> None:
    path = asked(signed_in, "erase")
    with transaction(signed_in.installation.data) as work:
        told = RightAnswer("의료법에 따라 10년 보관해요", STATUTORY_RETENTION)
        right_id = path.rsplit("/", 1)[1]
        answer_right(work, signed_in.installation.keyring, right_id, told, staff=STAFF, now=signed_in.clock())
    shown = text_of(signed_in.http.get(path).text)
    assert "의료법에 따라 10년 보관해요" in shown
    assert "다른 법에 따라 보관해야 해요" in shown
    assert "받아들이지 않음" in text_of(signed_in.http.get("/ko/rights").text)


def test_a_complaint_begins_at_its_consent_and_carries_the_record(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    link = re.search(r'href="([^"]+about=[^"]+)"', signed_in.http.get(f"/ko/consents/{grant_id}").text)
    assert link is not None
    form = signed_in.http.get(link[1].partition("#")[0]).text
    assert re.search(rf'<option value="{grant_id}" selected>', form)
    path = asked(signed_in, "complain", grant=grant_id, for_authority="yes")
    record = signed_in.http.get(f"{path}/record.json")
    assert record.headers["content-disposition"].startswith("attachment")
    assert record.headers["cache-control"] == "no-store"
    told = record.json()
    assert (told["grant_id"], len(told["timeline"])) == (grant_id, 2)
    copy = signed_in.http.get(f"{path}/authority.json").json()
    assert (copy["complaint"], copy["about"]["grant_id"]) == (WORDS, grant_id)


def test_reviews_are_listed_with_their_deadline(signed_in: Stage) -> None:
    installation, now = signed_in.installation, signed_in.clock()
    grant_id = signed_in.agreed()
    delivery_id = random_id()
    with transaction(installation.data) as work:
        work.session.add(
            Delivery(
                delivery_id=delivery_id,
                grant_id=grant_id,
                version_id=f"{grant_id}.1",
                subject_id=signed_in.subject_id,
                recipient_id="hanbit-insurance",
                ordinal=1,
                key_digest=b"k",
                request_digest=b"r",
                payload_digest=b"p",
                nonce_sealed=b"n",
                record_count=1,
                as_of=now,
            )
        )

    def decide(status: str) -> None:
        body = {"status": status}
        with transaction(installation.data) as work:
            receive_decision(
                work, installation.keyring, delivery_id, recipient_id="hanbit-insurance", body=body, now=now
            )

    decide("rejected")
    with transaction(installation.data) as work:
        (decision_id,) = work.session.exec(select(Decision.decision_id)).all()
        ask_for_review(work, installation.keyring, decision_id, signed_in.subject_id, now)
    shown = text_of(signed_in.http.get("/ko/rights").text)
    assert "한빛손해보험" in shown
    assert "2026. 12. 31." in shown
    decide("approved")
    assert "에 답변" in text_of(signed_in.http.get("/ko/rights").text)


def export(stage: Stage, password: str) -> Response:
    page = stage.http.get("/ko/rights/export")
    answer: Response = stage.http.post(
        "/ko/rights/export", data=Form(page.text).fields | {"password": password}
    )
    return answer


def test_without_the_password_nothing_goes_out(signed_in: Stage) -> None:
    for password in ("", "wrong-password"):
        answer = export(signed_in, password)
        assert answer.status_code == 422
        assert "zip" not in answer.headers["content-type"]
    assert "subject.exported" not in event_types(signed_in)


def test_guessing_the_password_is_slowed_down(signed_in: Stage) -> None:
    for _ in range(10):
        export(signed_in, "wrong-password")
    assert export(signed_in, PASSWORD).status_code == 422
    signed_in.clock.advance(timedelta(minutes=29))
    assert "subject.exported" not in event_types(signed_in)


def test_everything_goes_out_and_is_on_record(signed_in: Stage) -> None:
    grant_id = signed_in.agreed()
    asked(signed_in, "stop")
    answer = export(signed_in, PASSWORD)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith('.zip"')
    with ZipFile(BytesIO(answer.content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        consent = json.loads(archive.read(f"consents/{grant_id}.json"))
        rights = json.loads(archive.read("rights.json"))
    assert manifest["subject_id"] == signed_in.subject_id
    assert manifest["profile"] == {"name": "김하늘"}
    assert (consent["grant_id"], rights[0]["kind"]) == (grant_id, "stop")
    assert event_types(signed_in).count("subject.exported") == 1
    assert "내 정보 전체를 내려받았어요" in text_of(signed_in.http.get("/ko/rights").text)
