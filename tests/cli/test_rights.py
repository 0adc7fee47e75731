"""`mydata right`, `mydata subject export|erase`, `mydata stats`: who acts is on record."""

import json
from datetime import timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest
from sqlmodel import select

from broker.installation import Installation
from broker.web.signin.accounts import NewAccount, create_account
from broker.web.signin.models import Account
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.rights import NewRight, file_right
from consent.vocabulary import RightKind
from tests.cli.conftest import Mydata
from tests.consent.details import HOSPITAL
from tests.consent.office import Office, open_office
from tests.consent.test_collection import bill
from tests.installation import Clock

WORDS = "제 기록을 지워 주세요"
WHY = ("--reason", "request 7")


@pytest.fixture
def office(sqlite_installation: Installation, clock: Clock) -> Office:
    return open_office(sqlite_installation, clock)


@pytest.fixture
def right_id(office: Office) -> str:
    new = NewRight(office.subject_id, RightKind.ERASE, WORDS)
    with office.work() as work:
        return file_right(work, office.keyring, new, answer_within=timedelta(days=10), now=office.clock())


def event_types(office: Office) -> list[str]:
    with office.installation.data.read() as session:
        return [Event.from_leaf(leaf).type for leaf in session.exec(select(LedgerEntry.leaf))]


# Requests


def test_without_a_reason_nothing_is_shown_or_answered(office: Office, right_id: str, mydata: Mydata) -> None:
    for arguments in (
        ("right", "show", right_id),
        ("right", "answer", right_id),
        ("subject", "export", office.subject_id, "--out", "x.zip"),
        ("subject", "erase", office.subject_id, "--yes"),
    ):
        assert mydata(*arguments, stdin="text").code == 2
        ran = mydata(*arguments, "--reason", " ", stdin="text")
        assert ran.code == 2
        assert WORDS not in ran.out
    assert event_types(office) == ["right.requested"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("--reject", "BECAUSE"), "no", 2),
        ((), "", 2),
        ((), "x" * 4001, 2),
    ],
)
def test_an_answer_that_is_none_is_refused(
    right_id: str, mydata: Mydata, arguments: tuple[str, ...], stdin: str, code: int
) -> None:
    assert mydata("right", "answer", right_id, *WHY, *arguments, stdin=stdin).code == code
    assert [one["state"] for one in mydata("right", "list", "-o", "json").json()] == ["FILED"]


def test_a_request_that_is_not_there_is_refused(office: Office, mydata: Mydata) -> None:
    assert mydata("right", "show", "nothing", *WHY).code == 1
    assert mydata("right", "answer", "nothing", *WHY, stdin="text").code == 1
    assert event_types(office) == []


def test_the_list_tells_deadlines_and_not_what_people_wrote(right_id: str, mydata: Mydata) -> None:
    ran = mydata("right", "list", "-o", "json")
    (told,) = ran.json()
    assert (told["right_id"], told["kind"]) == (right_id, "erase")
    assert WORDS not in ran.out
    assert told["state"] == "FILED"


def test_what_was_not_answered_in_time_is_overdue(right_id: str, mydata: Mydata, clock: Clock) -> None:
    clock.advance(timedelta(days=11))
    (told,) = mydata("right", "list", "-o", "json").json()
    assert (told["right_id"], told["state"]) == (right_id, "OVERDUE")


def test_looking_and_answering_are_on_record(office: Office, right_id: str, mydata: Mydata) -> None:
    shown = mydata("right", "show", right_id, *WHY)
    assert json.loads(shown.out)["text"] == WORDS
    answered = mydata("right", "answer", right_id, *WHY, "-o", "json", stdin="지웠어요\n")
    assert answered.json()["state"] == "ANSWERED"
    assert mydata("right", "answer", right_id, *WHY, stdin="again").code == 1
    assert mydata("right", "list", "-o", "json").json() == []
    assert [one["state"] for one in mydata("right", "list", "--all", "-o", "json").json()] == ["ANSWERED"]
    assert event_types(office) == ["right.requested", "right.inspected", "right.answered"]


def test_a_rejection_bears_its_ground(right_id: str, mydata: Mydata) -> None:
    ran = mydata(
        "right", "answer", right_id, *WHY, "--reject", "STATUTORY_RETENTION", "-o", "json", stdin="의료법"
    )
    assert ran.json()["state"] == "REJECTED"


# Everything about a person


def test_an_export_does_not_overwrite_and_leaves_nothing_behind(
    office: Office, mydata: Mydata, elsewhere: Path
) -> None:
    (elsewhere / "there.zip").write_text("mine")
    assert mydata("subject", "export", office.subject_id, "--out", "there.zip", *WHY).code == 2
    assert (elsewhere / "there.zip").read_text() == "mine"
    assert mydata("subject", "export", "nobody", "--out", "new.zip", *WHY).code == 1
    assert not (elsewhere / "new.zip").exists()
    assert event_types(office) == []


def test_an_export_is_for_its_owner_alone_and_on_record(
    office: Office, mydata: Mydata, elsewhere: Path
) -> None:
    office.collect(office.link(), bill())
    given = office.agree()
    ran = mydata("subject", "export", office.subject_id, "--out", "all.zip", *WHY, "-o", "json")
    assert ran.code == 0, ran.err
    assert (elsewhere / "all.zip").stat().st_mode & 0o777 == 0o600
    with ZipFile(elsewhere / "all.zip") as archive:
        assert f"consents/{given.grant_id}.json" in archive.namelist()
        (line,) = archive.read("records.jsonl").splitlines()
    assert json.loads(line)["data"]["bill_no"]
    assert event_types(office)[-1] == "subject.exported"


def test_an_erasure_asks_first(office: Office, mydata: Mydata) -> None:
    assert mydata("subject", "erase", office.subject_id, *WHY, stdin="n\n").code != 0
    assert event_types(office) == []
    assert mydata("subject", "erase", "nobody", *WHY, "--yes").code == 1


def test_an_erasure_takes_records_consents_and_account(office: Office, mydata: Mydata) -> None:
    office.collect(office.link(), bill())
    office.agree()
    with office.work() as work:
        new = NewAccount("citizen", "haneul", "no password", office.subject_id)
        create_account(work.session, office.keyring, new, office.clock())
    ran = mydata("subject", "erase", office.subject_id, *WHY, "--yes", "-o", "json")
    assert ran.json() == {"subject_id": office.subject_id, "consents": 1, "links": 1, "records": 1}
    with office.installation.data.read() as session:
        assert session.exec(select(Account)).all() == []
    assert event_types(office)[-1] == "subject.erased"


def test_one_source_can_be_erased_alone(office: Office, mydata: Mydata) -> None:
    office.collect(office.link(), bill())
    ran = mydata("subject", "erase", office.subject_id, "--holder", HOSPITAL, *WHY, "--yes", "-o", "json")
    assert ran.json()["records"] == 1
    assert event_types(office)[-1] == "records.erased"


# Statistics


def test_small_numbers_are_stars(office: Office, mydata: Mydata) -> None:
    office.agree()
    ran = mydata("stats")
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert lines[0] == ["month", "purpose", "metric", "count"]
    assert {line[3] for line in lines[1:]} == {"*"}
    assert mydata("stats", "-o", "json").json()["activeAuthorisationCount"]["total"] is None


def test_with_a_smaller_cell_they_are_told(office: Office, mydata: Mydata, environ: dict[str, str]) -> None:
    office.agree()
    environ["MYDATA__STATISTICS__SMALLEST_CELL"] = "1"
    assert "activeAuthorisationCount\t1" in mydata("stats").out
    assert mydata("stats", "-o", "json").json()["activeAuthorisationCount"]["total"] == 1


# The role


@pytest.mark.parametrize(("special", "told"), [("true", "special manager"), ("false", "as manager")])
def test_the_doctor_tells_the_role(
    office: Office, mydata: Mydata, environ: dict[str, str], special: str, told: str
) -> None:
    office.link()
    environ["MYDATA__DEPLOYMENT__SPECIAL_MANAGER"] = special
    (finding,) = (one for one in mydata("doctor", "-o", "json").json() if one["check"] == "role")
    assert (finding["outcome"], told in finding["detail"]) == ("ok", True)


def test_the_doctor_warns_of_links_of_another_role(
    office: Office, mydata: Mydata, environ: dict[str, str]
) -> None:
    office.link()
    environ["MYDATA__DEPLOYMENT__ROLE"] = "receiver"
    (finding,) = (one for one in mydata("doctor", "-o", "json").json() if one["check"] == "role")
    assert (finding["outcome"], "1 links" in finding["detail"]) == ("warning", True)
