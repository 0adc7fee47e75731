"""A consent that goes on: a visit, a new bill, an event, a claim, between processes that nobody touches."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson
import pytest

from broker.demo.citizen import Citizen
from connectors.services.indemnity.claim import compute
from tests.flows.demos import RunningDemo, started

PATIENCE: Final = 120
PATIENT_NO: Final = "P-0001"


@dataclass(frozen=True)
class Watch:
    """A demo in which the first persona has agreed to a claim after every visit."""

    demo: RunningDemo
    grant_id: str
    citizen: Citizen

    def insurer(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        return call(self.demo, "insurer", method, path, body)

    def pulls(self) -> list[dict[str, Any]]:
        """The standing case's pulls, those that brought a claim."""
        cases = self.insurer("GET", "/staff/cases")
        return [case for case in cases if case["parent_id"] is not None and case["claim"]]

    def claims_of(self, bill_no: str) -> list[dict[str, Any]]:
        return [
            case for case in self.pulls() if bill_no in {line["bill_no"] for line in case["claim"]["lines"]}
        ]

    def payable(self) -> int:
        """What all claims together have paid."""
        return sum(case["claim"]["payable"] for case in self.pulls())

    def payable_at_once(self) -> int:
        """What one claim over everything would pay, from what the last pull brought."""
        with sqlite3.connect(self.demo.directory / "insurer" / "insurer.db") as connection:
            (raw,) = connection.execute(
                "SELECT records FROM claim_case WHERE records IS NOT NULL"
                " ORDER BY length(records) DESC LIMIT 1"
            ).fetchone()
        records = {kind: [one["data"] for one in found] for kind, found in orjson.loads(raw).items()}
        return compute(
            records["insurance.indemnity_policy"][0],
            records["health.medical_bill"],
            details=records.get("health.medical_bill_detail", []),
        ).payable

    def visit(self) -> str:
        told = call(self.demo, "hospital", "POST", "/staff/visits", {"patient_no": PATIENT_NO})
        return str(told["bill_no"])


def call(demo: RunningDemo, who: str, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    """The staff's interface of the insurer or the hospital."""
    token = orjson.loads((demo.directory / who / "config.json").read_bytes())["staff_token"]
    url = demo.announced["pages"][who] + path
    answer = httpx.request(
        method, url, headers={"Authorization": f"Bearer {token}"}, json=body, timeout=PATIENCE
    )
    answer.raise_for_status()
    return answer.json()


def eventually(found: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever is looked for
    deadline = time.monotonic() + PATIENCE
    while not (value := found()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return value


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    with started(tmp_path_factory.mktemp("watch") / "demo") as demo:
        opened = call(demo, "insurer", "POST", "/staff/cases?access=periodic")
        first = demo.announced["personas"][0]
        citizen = Citizen(demo.issuer, first["username"], first["password"])
        citizen.agree(opened["authorization_url"])
        standing = call(demo, "insurer", "GET", f"/staff/cases/{opened['case_id']}")
        assert standing["state"] == "standing"
        yield Watch(demo, standing["grant_id"], citizen)
        citizen.close()


def test_from_the_first_pull_to_the_end_nobody_lends_a_hand(watch: Watch) -> None:
    what_there_is_already_is_claimed_at_once(watch)
    a_visit_becomes_one_claim(watch)
    more_visits_of_a_day_are_paid_as_the_one_visit_that_they_are(watch)
    nothing_arrives_in_a_pause_and_everything_after_it(watch)
    after_the_person_stopped_it_a_visit_stays_theirs(watch)
    what_was_received_is_deleted_and_signed_for(watch)


def what_there_is_already_is_claimed_at_once(watch: Watch) -> None:
    first = eventually(lambda: [case for case in watch.pulls() if case["state"] == "closed"])
    assert len(first) == 1
    assert {line["bill_no"] for line in first[0]["claim"]["lines"]} == set(first[0]["bills"])
    assert len(first[0]["bills"]) > 1


def a_visit_becomes_one_claim(watch: Watch) -> None:
    bill_no = watch.visit()
    claimed = eventually(lambda: watch.claims_of(bill_no))
    assert len(claimed) == 1
    assert {line["bill_no"] for line in claimed[0]["claim"]["lines"]} == {bill_no}
    assert watch.payable() == watch.payable_at_once()
    page = eventually(lambda: _page_with(watch, bill_no))
    assert page
    assert "정기" in page


def more_visits_of_a_day_are_paid_as_the_one_visit_that_they_are(watch: Watch) -> None:
    numbers = [watch.visit() for _ in range(3)]
    assert eventually(lambda: all(watch.claims_of(number) for number in numbers))
    assert watch.payable() == watch.payable_at_once()


def nothing_arrives_in_a_pause_and_everything_after_it(watch: Watch) -> None:
    watch.citizen.press(f"/ko/consents/{watch.grant_id}", "pause")
    bill_no = watch.visit()
    time.sleep(3)
    assert watch.claims_of(bill_no) == []
    watch.citizen.press(f"/ko/consents/{watch.grant_id}", "resume")
    assert eventually(lambda: watch.claims_of(bill_no))
    assert watch.payable() == watch.payable_at_once()


def after_the_person_stopped_it_a_visit_stays_theirs(watch: Watch) -> None:
    watch.citizen.stop(watch.grant_id)
    bill_no = watch.visit()
    time.sleep(3)
    assert watch.claims_of(bill_no) == []


def what_was_received_is_deleted_and_signed_for(watch: Watch) -> None:
    assert eventually(lambda: _page_with(watch, "지웠다고 서명했어요"))
    with sqlite3.connect(watch.demo.directory / "insurer" / "insurer.db") as connection:
        kept = connection.execute(
            "SELECT count(*) FROM claim_case WHERE grant_id = ? AND records IS NOT NULL", (watch.grant_id,)
        )
        assert kept.fetchone() == (0,)


def test_an_event_that_nobody_signed_changes_nothing(watch: Watch) -> None:
    url = watch.demo.announced["pages"]["insurer"] + "/events"
    answer = httpx.post(
        url, content=b"e30.e30.e30", headers={"Content-Type": "application/secevent+jwt"}, timeout=PATIENCE
    )
    assert (answer.status_code, answer.json()["err"]) == (400, "authentication_failed")


def test_the_hospitals_button_is_for_its_own_page(watch: Watch) -> None:
    url = watch.demo.announced["pages"]["hospital"] + "/visits"
    foreign = httpx.post(
        url, data={"patient_no": "P-0002"}, headers={"Origin": "https://elsewhere.example"}, timeout=PATIENCE
    )
    unknown = httpx.post(url, data={"patient_no": "P-9999"}, timeout=PATIENCE)
    assert (foreign.status_code, unknown.status_code) == (403, 404)
    assert httpx.post(url, data={"patient_no": "P-0002"}, timeout=PATIENCE).status_code == 303


def _page_with(watch: Watch, text: str) -> str | None:
    page = watch.citizen.download(f"/ko/consents/{watch.grant_id}")
    return page if text in page else None
