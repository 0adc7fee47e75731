"""`mydata source connect|sync|pending` and `mydata subject find`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.keeping import keep_faulty
from connectors.sources.base import Faulty
from connectors.sources.catalog import SEOUL_HOSPITAL
from consent.collection import NewLink, link
from tests.cli.conftest import Mydata
from tests.connectors.sources import clinic
from tests.connectors.sources.double import Double, Exported, hanging_up, page, refusal, serving_double
from tests.consent.details import BILL, HOSPITAL
from tests.consent.office import Office, open_office
from tests.installation import Clock

CLINIC = ("org", "add", "hanbit-clinic", "--name-ko", "한빛의원", "--name-en", "Hanbit Clinic", "--holder")
CLINIC_MORE = ("--registration-number", "120-90-10083", "--contact", "privacy@clinic.example")


@pytest.fixture
def office(sqlite_installation: Installation, clock: Clock) -> Office:
    return open_office(sqlite_installation, clock)


@pytest.fixture
def double() -> Iterator[Double]:
    with serving_double() as found:
        yield found


@pytest.fixture
def demo_environ(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A profile in which a holder may be on this machine; and holders that fail do so at once."""
    monkeypatch.setattr("connectors.sources.holder_api._PAUSES", ())
    environ["MYDATA__SERVER__PROFILE"] = "demo"
    return environ


def linked(office: Office, number: str = "P-0001", holder_id: str = HOSPITAL, name: str = "김하늘") -> str:
    with transaction(office.installation.data) as work:
        new = NewLink(office.subject_id, holder_id, number, (BILL,), "ko", name)
        return link(work, office.keyring, new, office.clock())


# Connecting


@pytest.mark.parametrize(
    "url",
    [
        "http://hospital.example/t",
        "http://127.0.0.1:1/t",
        "ftp://hospital.example",
        "https://user:word@hospital.example/t",
        "hospital.example",
        "https://",
    ],
)
def test_an_address_that_is_not_safe_is_refused(mydata: Mydata, office: Office, url: str) -> None:
    del office
    ran = mydata("source", "connect", HOSPITAL, "--url", url)
    assert (ran.code, "https" in ran.err, "word" in ran.err) == (2, True, False)


def test_who_is_no_holder_cannot_be_connected(mydata: Mydata, office: Office) -> None:
    del office
    ran = mydata("source", "connect", "hanbit-insurance", "--url", "https://insurer.example/t")
    assert (ran.code, "mydata org list" in ran.err) == (1, True)


# Asking


def test_nothing_to_ask_for_is_done(mydata: Mydata, office: Office) -> None:
    del office
    assert mydata("source", "sync", "-o", "json").json() == []


def test_a_holder_is_asked_and_its_records_are_in(
    demo_environ: dict[str, str], mydata: Mydata, office: Office, double: Double, tmp_path: Path
) -> None:
    del demo_environ
    linked(office)
    exported = Exported(tmp_path / "exports")
    double.will(page(exported.header, exported.of("P-0001")))
    assert mydata("source", "connect", HOSPITAL, "--url", double.url).code == 0
    ran = mydata("source", "sync", HOSPITAL, "-o", "json")
    (told,) = ran.json()
    assert (ran.code, told["added"], told["fault"]) == (0, len(exported.of("P-0001")), None)
    assert "P-0001" not in ran.out


def test_a_refusal_a_fault_and_a_holder_that_is_away_have_exit_codes(
    demo_environ: dict[str, str], mydata: Mydata, office: Office, double: Double
) -> None:
    del demo_environ
    linked(office)
    mydata("source", "connect", HOSPITAL, "--url", double.url)
    for reply, code, fault in (
        (hanging_up(), 3, "unreachable"),
        (page({}, []), 1, "unknown_format"),
        (refusal("CREDENTIAL_THEFT"), 1, "CREDENTIAL_THEFT"),
    ):
        double.will(reply)
        ran = mydata("source", "sync", "-o", "json")
        assert (ran.code, ran.json()[0]["fault"]) == (code, fault)


def test_the_list_says_how_each_holder_does(
    demo_environ: dict[str, str], mydata: Mydata, office: Office, double: Double
) -> None:
    del demo_environ
    link_id = linked(office)
    mydata("source", "connect", HOSPITAL, "--url", double.url)
    double.will(hanging_up())
    mydata("source", "sync")
    found = {row["holder_id"]: row for row in mydata("source", "list", "-o", "json").json()}
    assert (
        found[HOSPITAL] | {"endpoint": double.url, "links": 1, "failing": 1, "fault": "unreachable"}
        == (found[HOSPITAL])
    )
    others = [row for holder_id, row in found.items() if holder_id != HOSPITAL]
    assert [(row["endpoint"], row["links"], row["fault"]) for row in others] == [(None, 0, None)]
    assert link_id not in mydata("source", "list").out


# Importing CSV


def test_a_clinics_csv_is_imported_and_each_fault_named(
    mydata: Mydata, office: Office, tmp_path: Path
) -> None:
    assert mydata(*CLINIC, *CLINIC_MORE).code == 0
    linked(office, "K-0001", "hanbit-clinic")
    rows = [clinic.bill(1), clinic.bill(2, 발급일="2026-02-30"), clinic.bill(3, 환자번호="K-0002")]
    path = clinic.saved(tmp_path, rows, encoding="cp949")
    ran = mydata("source", "import", str(path), "-o", "json")
    report = ran.json()
    assert (ran.code, report["added"]) == (1, 1)
    assert [(one["place"], one["path"], one["rule"]) for one in report["faults"]] == [
        ("line 3, column 3", "$.발급일", "impossible_date"),
        ("line 4", "$", "person_not_linked"),
    ]
    again = mydata("source", "import", str(path), "-o", "json").json()
    assert (again["added"], again["unchanged"]) == (0, 1)
    broken = tmp_path / "broken.csv"
    broken.write_bytes(path.read_bytes()[:-3] + b"\xff\r\n")
    ran = mydata("source", "import", str(broken))
    assert (ran.code, "broken.csv:line 4, byte " in ran.err) == (1, True)
    assert "neither_utf8_nor_cp949" in ran.err


def test_a_file_of_a_holder_that_is_not_registered_is_refused_by_name(
    mydata: Mydata, office: Office, tmp_path: Path
) -> None:
    del office
    path = clinic.saved(tmp_path, [clinic.bill(1), clinic.bill(2, 발급일="2026-02-30")])
    ran = mydata("source", "import", str(path), "-o", "json")
    assert (ran.code, ran.json()["faults"]) == (
        1,
        [
            {
                "file": "clinic.csv",
                "place": "line 1",
                "path": "$",
                "rule": "holder_not_registered_or_suspended",
            }
        ],
    )


# Deciding


@pytest.fixture
def pending_id(mydata: Mydata, office: Office, tmp_path: Path) -> str:
    """A record under a collection consent, with another name."""
    linked(office, name="이정숙")
    exported = Exported(tmp_path / "exports")
    file = tmp_path / "exports" / "hospital.jsonl"
    lines = file.read_text("utf-8").splitlines()
    own = next(line for line in lines if "P-0001" in line)
    file.write_text(f"{lines[0]}\n{own}\n", "utf-8")
    assert mydata("source", "import", str(file)).code == 1
    assert exported.of("P-0001")
    (told,) = mydata("source", "pending", "list", "-o", "json").json()
    return str(told["pending_id"])


def test_the_list_shows_place_holder_and_rule_and_nothing_of_the_person(
    mydata: Mydata, pending_id: str
) -> None:
    ran = mydata("source", "pending", "list", "-o", "json")
    (told,) = ran.json()
    assert (told["holder_id"], told["rule"], told["kept"]) == (HOSPITAL, "name_differs", "record")
    assert (told["place"], told["pending_id"]) == ("hospital.jsonl: line 2", pending_id)
    assert not any(secret in ran.out for secret in ("김하늘", "이정숙", "P-0001"))
    assert "name_differs" in mydata("source", "pending", "list").out


@pytest.mark.parametrize("command", ["show", "accept", "reject"])
def test_a_decision_needs_a_reason_and_something_to_decide_on(
    mydata: Mydata, pending_id: str, command: str
) -> None:
    assert mydata("source", "pending", command, pending_id).code == 2
    assert mydata("source", "pending", command, pending_id, "--reason", "  ").code == 2
    assert mydata("source", "pending", command, "nothing", "--reason", "x").code == 1


def test_it_is_opened_for_a_reason_and_accepted(mydata: Mydata, pending_id: str) -> None:
    shown = mydata("source", "pending", "show", pending_id, "--reason", "call 7").json()
    assert shown["person"] == {"number": "P-0001", "name": "김하늘", "born_on": None}
    assert shown["record"]["patient"]["name"] == "김하늘"
    ran = mydata("source", "pending", "accept", pending_id, "--reason", "she married", "-o", "json")
    assert (ran.code, ran.json()["outcome"]) == (0, "added")
    assert mydata("source", "pending", "list", "-o", "json").json() == []
    again = mydata("source", "pending", "accept", pending_id, "--reason", "again")
    assert (again.code, "admitted" in again.err) == (1, True)


def test_it_is_rejected_and_the_same_import_says_so(mydata: Mydata, pending_id: str, tmp_path: Path) -> None:
    assert mydata("source", "pending", "reject", pending_id, "--reason", "not hers").code == 0
    ran = mydata("source", "import", str(tmp_path / "exports" / "hospital.jsonl"), "-o", "json")
    assert [fault["rule"] for fault in ran.json()["faults"]] == ["dismissed_before"]


def test_a_faulty_record_is_shown_and_its_holder_must_mend_it(
    mydata: Mydata, office: Office, tmp_path: Path
) -> None:
    linked(office)
    exported = Exported(tmp_path / "exports")
    bill = exported.of("P-0001")[0] | {"TOT_AMT": "1"}
    header = SEOUL_HOSPITAL.header_of(exported.header, "header")
    read = SEOUL_HOSPITAL.record_of("line 2", bill, header, office.installation.catalogue)
    assert isinstance(read, Faulty)
    with transaction(office.installation.data) as work:
        keep_faulty(
            work,
            office.installation,
            [read],
            holder_id=HOSPITAL,
            origin="november.jsonl",
            now=office.clock(),
        )
    (told,) = mydata("source", "pending", "list", "-o", "json").json()
    assert (told["rule"], told["kept"]) == ("record_faulty", "record")
    assert told["place"] == "november.jsonl: line 2 $.TOT_AMT total_adds_up"
    shown = mydata("source", "pending", "show", told["pending_id"], "--reason", "call 8").json()
    assert json.loads(shown["record"]["raw"]) == bill
    ran = mydata("source", "pending", "accept", told["pending_id"], "--reason", "call 8")
    assert (ran.code, "Ask the holder" in ran.err) == (1, True)
    assert mydata("source", "pending", "reject", told["pending_id"], "--reason", "void").code == 0


def test_a_notice_cannot_be_accepted_and_it_is_said_what_to_do(
    mydata: Mydata, office: Office, tmp_path: Path
) -> None:
    del office
    Exported(tmp_path / "exports")
    file = tmp_path / "exports" / "hospital.jsonl"
    file.write_text("\n".join(file.read_text("utf-8").splitlines()[:2]), "utf-8")
    mydata("source", "import", str(file))
    (told,) = mydata("source", "pending", "list", "-o", "json").json()
    assert told["kept"] == "notice"
    ran = mydata("source", "pending", "accept", told["pending_id"], "--reason", "x")
    assert (ran.code, "mydata source sync" in ran.err) == (1, True)


# Finding


def test_a_subject_is_found_by_the_whole_number_only(mydata: Mydata, office: Office) -> None:
    linked(office)
    find = ("subject", "find", "--holder", HOSPITAL)
    ran = mydata(*find, "--number", "P-0001", "--reason", "call 7", "-o", "json")
    assert (ran.code, ran.json()["subject_id"]) == (0, office.subject_id)
    assert mydata(*find, "--number", "-", "-o", "json", stdin="P-0001\n").code == 0
    for number in ("P-000", "P-000%", "p-0001"):
        ran = mydata(*find, "--number", number)
        assert (ran.code, number in ran.err) == (1, False)
    assert office.log_size() == 1 + 5  # the linking, and every search
