"""The reference insurer: wrong answers, repeated answers, broken answers; then the claim, filed once."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.installation import load_purposes
from connectors.errors import UnreachableError
from connectors.http import Answer
from connectors.services.indemnity.claim import compute
from connectors.services.indemnity.continuing import Records
from connectors.services.indemnity.recipient.__main__ import main
from connectors.services.indemnity.recipient.book import Book
from connectors.services.indemnity.recipient.configuration import asked_terms
from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.indemnity.recipient.desk import BILL
from connectors.services.indemnity.recipient.store import Case, Store
from connectors.services.relying_party.broker_client import Delivered, Granted
from consent.caps import check_caps
from consent.terms import parse
from tests.connectors.services.indemnity.papers import LATER, POLICY, simple
from tests.connectors.services.indemnity.recipient.conftest import BrokerInPlace, Insurer, set_up
from vault.record_types.catalogue import Catalogue

PULL = "/v1/deliveries"
PATIENCE = 120


# Responses that no case waits for.


def test_a_wrong_state_takes_nothing(insurer: Insurer) -> None:
    case_id, came = insurer.agreed()
    asked = list(insurer.wire.asked)
    for state in ("", "x", came["state"] + "x", came["state"].swapcase()):
        answer = insurer.comes_back(came | {"state": state})
        assert (answer.status_code, "nothing was taken" in answer.text) == (400, True)
    assert insurer.wire.asked == asked
    assert insurer.case(case_id).state == "asked"


def test_a_response_of_another_issuer_takes_nothing(insurer: Insurer) -> None:
    """RFC 9207: in a mix-up the code would go to the wrong server."""
    case_id, came = insurer.agreed()
    asked = list(insurer.wire.asked)
    for issuer in ("https://mix-up.example", came["iss"] + "/", came["iss"].upper(), ""):
        assert insurer.comes_back(came | {"iss": issuer}).status_code == 400
    without = {name: value for name, value in came.items() if name != "iss"}
    assert insurer.comes_back(without).status_code == 400
    assert insurer.comes_back(without | {"iss": "x", "error": "access_denied"}).status_code == 400
    assert insurer.wire.asked == asked
    assert insurer.comes_back(came).status_code == 200
    assert insurer.case(case_id).state == "decided"


def test_a_person_who_says_no_is_told_so(insurer: Insurer) -> None:
    case_id, address = insurer.opens_case()
    came = insurer.person_says("deny", address, "minseo")
    assert came["error"] == "access_denied"
    answer = insurer.comes_back(came)
    assert (answer.status_code, "We received nothing (access_denied)" in answer.text) == (200, True)
    assert (insurer.case(case_id).state, insurer.case(case_id).refusal) == ("refused", "access_denied")
    assert PULL not in insurer.wire.asked


def test_what_an_error_says_is_text_on_the_page(insurer: Insurer) -> None:
    _, address = insurer.opens_case()
    came = insurer.person_says("deny", address, "minseo") | {"error": "<script>alert(1)</script>"}
    answer = insurer.comes_back(came)
    assert "<script>" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_code_that_is_none_ends_the_case(insurer: Insurer) -> None:
    for code, refusal in (("mdc_invented", "invalid_grant"), ("", "invalid_request")):
        case_id, came = insurer.agreed()
        assert f"We received nothing ({refusal})" in insurer.comes_back(came | {"code": code}).text
        assert insurer.comes_back(came).status_code == 200  # too late: the case is over
        assert insurer.case(case_id).state == "refused"
    case_id, came = insurer.agreed()
    insurer.comes_back({name: value for name, value in came.items() if name != "code"})
    assert insurer.case(case_id).refusal == "no_code"


# The staff's interface.


def test_staff_calls_need_the_token(insurer: Insurer) -> None:
    case_id, _ = insurer.opens_case()
    wrong = insurer.configuration.staff_token[:-1] + "!"
    for headers in (
        {},
        {"Authorization": f"Bearer {wrong}"},
        {"Authorization": insurer.configuration.staff_token},
        {"Authorization": f"Basic {insurer.configuration.staff_token}"},
        {"Authorization": "Bearer é"},
    ):
        for method, path in (
            ("GET", "/staff/cases"),
            ("POST", "/staff/cases"),
            ("GET", f"/staff/cases/{case_id}"),
            ("POST", f"/staff/cases/{case_id}/pull"),
            ("POST", f"/staff/cases/{case_id}/ack"),
            ("POST", f"/staff/cases/{case_id}/review"),
        ):
            raw = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = insurer.http.request(method, path, headers=raw)
            assert (answer.status_code, answer.json()) == (401, {"code": "staff_only"})
    assert len(insurer.store.cases()) == 1


def test_a_case_that_is_not_there(insurer: Insurer) -> None:
    assert insurer.http.get("/staff/cases/none", headers=insurer.staff).status_code == 404
    pulled = insurer.http.post("/staff/cases/none/pull?key=same", headers=insurer.staff)
    assert pulled.json() == {"status": 404, "code": "no_such_case"}
    case_id, _ = insurer.opens_case()
    assert insurer.http.post(f"/staff/cases/{case_id}/ack", headers=insurer.staff).status_code == 409


def test_staff_see_no_token(insurer: Insurer) -> None:
    case_id, came = insurer.agreed()
    insurer.comes_back(came)
    shown = insurer.http.get(f"/staff/cases/{case_id}", headers=insurer.staff).text
    listed = insurer.http.get("/staff/cases", headers=insurer.staff).text
    case = insurer.case(case_id)
    assert case.access_token is not None
    for secret in (case.access_token, case.code_verifier, came["code"]):
        assert secret not in shown + listed + repr(case)


# Deliveries that cannot be right, and brokers that are away.


def test_a_damaged_payload_is_refused(insurer: Insurer) -> None:
    for number, damage in enumerate(
        (
            lambda body: body["records"][BILL].pop(),
            lambda body: body["records"][BILL][0]["data"]["totals"].update(patient_total=1),
            lambda body: body.update(payload_digest="0" * 64),
            lambda body: body.update(grant_id="another"),
        )
    ):
        case_id, came = insurer.agreed()

        def damaged(path: str, answer: Answer, damage: object = damage) -> Answer:
            if path != PULL:
                return answer
            body = orjson.loads(answer.body)
            assert callable(damage)
            damage(body)
            return Answer(answer.status, answer.headers, orjson.dumps(body))

        insurer.wire.tap = damaged
        page = insurer.comes_back(came)
        assert (page.status_code, "payload_damaged" in page.text) == (200, True), number
        case = insurer.case(case_id)
        assert (case.state, case.records, case.claim) == ("refused", {}, None)
        insurer.wire.tap = lambda _, answer: answer
    assert not [path for path in insurer.wire.asked if path.endswith("/decision")]


@pytest.mark.parametrize("away_at", ["/token", PULL, "/decision", "/ack"])
@pytest.mark.parametrize("how", ["unreachable", "overloaded"])
def test_a_broker_that_is_away_for_a_while_costs_nothing(
    broker: BrokerInPlace, tmp_path: Path, away_at: str, how: str
) -> None:
    insurer = set_up(broker, tmp_path, acknowledge="at_once")
    case_id, came = insurer.agreed()
    before = insurer.wire.request

    def away(method: str, url: str, **more: object) -> Answer:
        if not url.endswith(away_at):
            return before(method, url, **more)  # type: ignore[arg-type]  # as they came
        if how == "overloaded":
            return Answer(503, {}, b'{"code": "overloaded"}')
        raise UnreachableError("127.0.0.1")

    insurer.wire.request = away  # type: ignore[method-assign]  # the wire is cut here, and mended below
    assert insurer.comes_back(came).status_code == 200
    assert insurer.case(case_id).state in {"asked", "granted", "filed", "decided"}
    assert insurer.comes_back(came).status_code == 200
    insurer.wire.request = before  # type: ignore[method-assign]
    assert "청구가 끝났습니다" in insurer.comes_back(came).text
    assert insurer.case(case_id).state == "closed"


# The claim.


def test_coming_back_twice_files_one_claim(insurer: Insurer) -> None:
    case_id, came = insurer.agreed()
    first, asked = insurer.comes_back(came), list(insurer.wire.asked)
    case = insurer.case(case_id)
    assert (case.state, case.claim_no is not None) == ("decided", True)
    second = insurer.comes_back(came)
    assert (second.status_code, second.text) == (200, first.text)
    assert insurer.wire.asked == asked
    assert insurer.case(case_id) == case
    assert insurer.comes_back(came | {"error": "access_denied"}).text == first.text
    assert [path for path in asked if path == PULL] == [PULL]


def test_coming_back_several_times_at_once_files_one_claim(insurer: Insurer) -> None:
    case_id, came = insurer.agreed()
    at_once = threading.Barrier(4)
    answers: list[Case | None] = []

    def come_back() -> None:
        at_once.wait(PATIENCE)
        answers.append(
            insurer.desk.come_back(came["state"], came["iss"], browser=None, code=came["code"], error=None)
        )

    threads = [threading.Thread(target=come_back) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(answers) == 4
    asked = insurer.wire.asked
    assert asked[: asked.index(PULL)].count("/token") == 1  # the code was presented once
    insurer.desk.advance(case_id)
    case = insurer.case(case_id)
    assert (case.state, case.refusal) == ("decided", None)
    assert case.claim is not None
    assert case.claim["payable"] > 0


def test_every_visit_is_claimed_once(insurer: Insurer) -> None:
    claimed = []
    for _ in range(2):
        case_id, came = insurer.agreed()
        insurer.comes_back(came)
        case = insurer.case(case_id)
        assert case.state == "decided"
        assert case.claim is not None
        claimed.append({line["bill_no"] for line in case.claim["lines"]})
        assert len(case.records[BILL]) == 5
    assert (len(claimed[0]), claimed[1]) == (5, set())
    assert insurer.store.cases()[1].claim is not None


def test_of_two_cases_over_the_same_visits_one_files(tmp_path: Path) -> None:
    database = InsurerDatabase(tmp_path / "insurer.db")
    store, book = Store(database), Book(database)
    both = Records(bills=[simple(50_000, 0, "B-1"), simple(60_000, 0, "B-2") | LATER])
    for case_id in ("one", "two"):
        received(store, case_id)
    at_once = threading.Barrier(2)

    def file(case_id: str) -> None:
        at_once.wait(PATIENCE)
        book.file_claim(case_id, f"C-{case_id}", POLICY, both)

    threads = [threading.Thread(target=file, args=(case_id,)) for case_id in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    cases = Store(InsurerDatabase(tmp_path / "insurer.db")).cases()
    assert [case.state for case in cases] == ["filed", "filed"]
    claimed = sorted([len(case.claim["lines"]), case.claim["payable"]] for case in cases if case.claim)
    assert claimed == [[0, 0], [2, compute(POLICY, both.bills).payable]]
    (first,) = [case.case_id for case in cases if case.claim and case.claim["lines"]]
    assert {case_id for case_id, _ in book.settled().values()} == {first}


def test_of_two_cases_each_files_what_the_other_has_not(tmp_path: Path) -> None:
    database = InsurerDatabase(tmp_path / "insurer.db")
    store, book = Store(database), Book(database)
    bills = [simple(50_000, 0, "B-1"), simple(60_000, 0, "B-2") | LATER]
    for case_id in ("one", "two"):
        received(store, case_id)
    book.file_claim("one", "C-1", POLICY, Records(bills=bills[1:]))
    book.file_claim("two", "C-2", POLICY, Records(bills=bills))
    claims = [case.claim for case in store.cases() if case.claim]
    assert [[line["bill_no"] for line in claim["lines"]] for claim in claims] == [["B-2"], ["B-1"]]
    assert {number: case_id for (_, number), (case_id, _) in book.settled().items()} == {
        "B-1": "two",
        "B-2": "one",
    }


def test_a_case_that_has_filed_files_nothing_more(tmp_path: Path) -> None:
    database = InsurerDatabase(tmp_path / "insurer.db")
    store, book = Store(database), Book(database)
    received(store, "one")
    book.file_claim("one", "C-1", POLICY, Records(bills=[simple(50_000, 0, "B-1")]))
    before, settled = store.case("one"), book.settled()
    more = Records(bills=[simple(50_000, 0, "B-1"), simple(60_000, 0, "B-2") | LATER])
    book.file_claim("one", "C-9", POLICY, more)
    book.file_claim("nobody's", "C-9", POLICY, more)
    assert (store.case("one"), book.settled()) == (before, settled)


def test_a_case_never_goes_back(tmp_path: Path) -> None:
    database = InsurerDatabase(tmp_path / "insurer.db")
    store, book = Store(database), Book(database)
    granted = received(store, "one")
    assert store.begin_redeeming("one") is False
    book.file_claim("one", "C-1", POLICY, Records(bills=[]))
    store.receive("one", Delivered("another", "grant", "digest", {}))
    store.ask_again("one")
    store.recover()
    store.refuse(granted, "late")
    store.grant(granted, Granted("other", None, "other", []))
    store.take_new_key(granted)
    store.close_without_news("one")
    store.close_case("one")
    assert store.answer_review("one", {}) is False
    filed = store.case("one")
    assert filed is not None
    assert (filed.state, filed.refusal, filed.key_number) == ("filed", None, 1)
    assert (filed.delivery_id, filed.access_token, filed.grant_id) == ("delivery of one", "token", "grant")


def received(store: Store, case_id: str) -> Case:
    """A case whose records are here, and what it was when it was granted."""
    store.open_case(case_id, f"state of {case_id}", "verifier")
    assert store.begin_redeeming(case_id)
    asked = store.case(case_id)
    assert asked is not None
    store.grant(asked, Granted("token", None, "grant", []))
    granted = store.case(case_id)
    assert granted is not None
    assert granted.state == "granted"
    store.receive(case_id, Delivered(f"delivery of {case_id}", "grant", "digest", {}))
    return granted


def test_staff_pull_again_and_confirm(insurer: Insurer) -> None:
    case_id, came = insurer.agreed()
    insurer.comes_back(came)
    path = f"/staff/cases/{case_id}"
    again = insurer.http.post(f"{path}/pull?key=same", headers=insurer.staff).json()
    assert again["payload_digest"] == insurer.case(case_id).payload_digest
    other = insurer.http.post(f"{path}/pull", headers=insurer.staff).json()
    assert other == {"status": 403, "code": "no_place_left"}
    for _ in range(2):
        assert insurer.http.post(f"{path}/ack", headers=insurer.staff).json() == {"acknowledged": True}
    assert insurer.case(case_id).state == "closed"


def test_a_person_starts_at_the_insurers_page(insurer: Insurer) -> None:
    start = insurer.http.get("/")
    assert 'action="/cases"' in start.text
    assert insurer.http.get("/insurer.css").headers["content-type"].startswith("text/css")
    begun = insurer.http.post("/cases")
    assert begun.status_code == 303
    came = insurer.person_says("allow", begun.headers["location"], "garam")
    assert "청구가 끝났습니다" in insurer.comes_back(came).text


def test_another_browser_cannot_bring_the_answer(insurer: Insurer) -> None:
    """RFC 9700 section 4.7: somebody else's answer, slipped under a person, or read by a stranger."""
    begun = insurer.http.post("/cases")
    came = insurer.person_says("allow", begun.headers["location"], "garam")
    own = insurer.http.cookies["claim"]
    assert "httponly" in begun.headers["set-cookie"].lower()
    assert "samesite=lax" in begun.headers["set-cookie"].lower()
    insurer.http.cookies.clear()
    asked = list(insurer.wire.asked)
    for other in (None, "another"):
        if other is not None:
            insurer.http.cookies.set("claim", other)
        assert insurer.comes_back(came).status_code == 400
    assert insurer.wire.asked == asked
    insurer.http.cookies.clear()
    insurer.http.cookies.set("claim", own)
    assert insurer.comes_back(came).status_code == 200
    insurer.http.cookies.clear()
    assert insurer.comes_back(came).status_code == 400  # nor read it afterwards


# What it asks for, and how it is started.


@given(
    now=st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis adds the zone
    access=st.sampled_from(["once", "periodic"]),
)
def test_what_it_asks_for_is_within_the_purpose_on_every_day(
    now: datetime, access: Literal["once", "periodic"]
) -> None:
    purpose = "insurance.indemnity_claim"
    detail = asked_terms(
        issuer="https://broker.example",
        purpose=purpose,
        institution="11100079",
        holders=("seoul-hospital", "insurance-register"),
        access=access,
        now=now,
    )
    terms = parse([detail])
    check_caps(terms, load_purposes().get(purpose), Catalogue.load(), now)
    longest = timedelta(days=30 if access == "once" else 365)
    assert terms.access.valid_from <= now < terms.access.valid_until <= now + longest
    is_periodic = access == "periodic"
    assert (terms.access.cycle is not None) == is_periodic
    assert (terms.item("health.pharmacy_bill") is not None) == is_periodic


def test_without_a_configuration_it_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipient"]) == 2
    assert "usage:" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        main(["recipient", "nowhere.json"])
