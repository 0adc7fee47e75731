"""Everything about a person as one ZIP, and the erasure of it (consent/exporting.py, erasure.py)."""

import json
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from sqlmodel import col, delete, select

from consent.collection import unlink
from consent.delivery import receive_decision
from consent.dossier import consent_record
from consent.erasure import Erased, erase_source, erase_subject, finish_source
from consent.errors import NotFoundError
from consent.exporting import Exporter, record_export
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import ConsentCompartment, Duty, PendingRecord, SourceLink
from consent.outbox import DutyKind
from consent.rights import NewRight, file_right
from consent.staff import Staff
from consent.vocabulary import ConsentState, RightKind
from tests.consent.details import BILL, HOSPITAL, REGISTER
from tests.consent.office import PATIENT_NO, RECIPIENT, Office, consent_in
from tests.consent.test_collection import bill
from vault.errors import ErasedError, UnknownKeyError
from vault.keys.models import AuditKey, CompartmentKey, SubjectKey
from vault.store import Record, RecordVersion

STAFF = Staff("minji", "request 7")


def export(office: Office, subject_id: str | None = None) -> dict[str, Any]:
    """The files of an export, read; lines of records as a list."""
    with office.installation.data.read() as session:
        exporter = Exporter(session, office.keyring, subject_id or office.subject_id, office.clock())
        pieces = list(exporter.stream({"name": "김하늘"}))
    with ZipFile(BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        read = {name: archive.read(name) for name in archive.namelist()}
    return {
        name: [json.loads(line) for line in content.splitlines()]
        if name.endswith(".jsonl")
        else json.loads(content)
        for name, content in read.items()
    }


def erase(office: Office, holder_id: str | None = None) -> Erased:
    with office.work() as work:
        if holder_id is None:
            return erase_subject(work, office.keyring, office.subject_id, STAFF, office.clock())
        return erase_source(
            work, office.keyring, office.subject_id, holder_id, staff=STAFF, now=office.clock()
        )


def decide(office: Office, delivery_id: str) -> None:
    body, now = {"status": "approved"}, office.clock()
    with office.work() as work:
        receive_decision(work, office.keyring, delivery_id, recipient_id=RECIPIENT, body=body, now=now)


def events_of(office: Office, kind: str) -> list[Event]:
    with office.installation.data.read() as session:
        leaves = session.exec(select(LedgerEntry.leaf)).all()
    return [event for event in map(Event.from_leaf, leaves) if event.type == kind]


@pytest.mark.parametrize("staff", [None, STAFF])
def test_nobody_of_ours_is_exported_or_erased(office: Office, staff: Staff | None) -> None:
    with pytest.raises(NotFoundError), office.work() as work:
        record_export(work, office.keyring, "nobody", staff=staff, now=office.clock())
    with pytest.raises(NotFoundError), office.work() as work:
        erase_subject(work, office.keyring, "nobody", STAFF, office.clock())
    with pytest.raises(NotFoundError), office.work() as work:
        erase_source(work, office.keyring, "nobody", HOSPITAL, staff=STAFF, now=office.clock())
    with pytest.raises(NotFoundError):
        erase(office, HOSPITAL)  # never linked
    with office.installation.data.read() as session, pytest.raises(NotFoundError):
        consent_record(session, office.keyring, office.newcomer(), "no-such-grant")
    assert events_of(office, "subject.exported") == []


def test_somebody_else_is_not_in_it(office: Office) -> None:
    office.collect(office.link(), bill())
    office.agree()
    stranger = office.newcomer()
    found = export(office, stranger)
    assert [name for name in found if name.startswith("consents/")] == []
    assert (found["sources.json"], found["records.jsonl"], found["rights.json"]) == ([], [], [])


def test_everything_is_in_it_and_opened(office: Office) -> None:
    link_id = office.link()
    office.collect(link_id, bill("B-1"), bill("B-2"))
    office.collect(link_id, bill("B-1", total=1))
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    decide(office, delivery_id)
    new = NewRight(office.subject_id, RightKind.COMPLAIN, "왜 이렇게 많이 가져갔나요", given.grant_id)
    with office.work() as work:
        right_id = file_right(work, office.keyring, new, answer_within=timedelta(days=10), now=office.clock())
        work.session.add(_pending(office))
    found = export(office)
    assert found["manifest.json"]["profile"] == {"name": "김하늘"}
    records = found["records.jsonl"]
    assert sorted((one["data"]["bill_no"], one["version"], one["is_current"]) for one in records) == [
        ("B-1", 1, False),
        ("B-1", 2, True),
        ("B-2", 1, True),
    ]
    consent = found[f"consents/{given.grant_id}.json"]
    assert [one["number"] for one in consent["versions"]] == [0, 1]
    assert consent["versions"][1]["receipt"] == given.receipt_jws
    assert [one["body"] for one in consent["decisions"]] == [{"status": "approved"}]
    assert [one["type"] for one in consent["timeline"]][:2] == ["consent.requested", "consent.given"]
    assert [one["record_types"] for one in found["sources.json"]] == [[BILL]]
    assert found["rights.json"][0]["text"] == "왜 이렇게 많이 가져갔나요"
    assert found[f"rights/{right_id}.json"]["grant_id"] == given.grant_id
    assert [one["rule"] for one in found["other/pending_record.json"]] == ["name_differs"]
    assert not any("account" in name or "token" in name for name in found)


def test_an_export_is_on_record_with_who_and_why(office: Office) -> None:
    for staff in (None, STAFF):
        with office.work() as work:
            record_export(work, office.keyring, office.subject_id, staff=staff, now=office.clock())
    exported = events_of(office, "subject.exported")
    assert [event.facts for event in exported] == [{}, {}]
    details = [one["detail"] for one in export(office)["timeline.json"]]
    assert [detail["by"] for detail in details] == ["subject", "minji"]
    assert details[1]["because"] == "request 7"


def test_many_records_come_in_pages(sqlite_office: Office) -> None:
    sqlite_office.collect(sqlite_office.link(), *(bill(f"B-{number}") for number in range(205)))
    assert len(export(sqlite_office)["records.jsonl"]) == 205


def test_an_erasure_leaves_proof_and_no_value(office: Office) -> None:
    """Invariant 25."""
    office.collect(office.link(), bill())
    given = office.agree()
    office.deliver(given.grant_id)
    waiting = office.request()
    for state in (ConsentState.EXPIRED, ConsentState.REFUSED, ConsentState.WITHDRAWN):
        consent_in(office, state)
    with office.work() as work:
        work.session.add(_pending(office))
    assert erase(office) == Erased(consents=3, links=1, records=1)
    assert office.consent(given.grant_id).state == ConsentState.WITHDRAWN
    assert office.consent(waiting).state == ConsentState.REFUSED
    assert office.shares(given.grant_id) == set()
    with office.installation.keyring_database.read() as session:
        assert session.exec(select(SubjectKey)).all() == []
        assert session.exec(select(CompartmentKey)).all() == []
        assert len(session.exec(select(AuditKey)).all()) == 1
    with office.installation.data.read() as session:
        assert session.exec(select(RecordVersion)).all() == []
        assert session.exec(select(PendingRecord)).all() == []
        kept = consent_record(session, office.keyring, office.subject_id, given.grant_id)
    assert kept["versions"][1]["receipt"] == given.receipt_jws
    assert [one["payload_digest"] for one in kept["deliveries"]] == [(b"p" * 32).hex()]
    with pytest.raises(ErasedError):
        office.keyring.ensure_subject(office.subject_id, office.clock())


def test_a_decision_that_was_erased_is_told_as_such(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    decide(office, delivery_id)
    erase(office)
    assert [one["body"] for one in export(office)[f"consents/{given.grant_id}.json"]["decisions"]] == [None]


def test_a_second_erasure_changes_nothing(office: Office) -> None:
    office.collect(office.link(), bill())
    erase(office)
    assert erase(office) == Erased(consents=0, links=0, records=0)
    assert len(events_of(office, "subject.erased")) == 2


def test_an_unanswered_request_whose_time_is_over_is_left(office: Office) -> None:
    grant_id = office.request()
    office.expire(grant_id)
    assert erase(office).consents == 0


def test_the_erasure_of_one_source_takes_its_records_and_nothing_else(office: Office) -> None:
    office.collect(office.link(), bill())
    office.link(REGISTER, "R-1")
    given = office.agree()
    hospitals = office.keyring.compartment_id(office.subject_id, HOSPITAL, BILL)
    assert erase(office, HOSPITAL).records == 1
    with office.installation.data.read() as session:
        assert session.exec(select(Record)).all() == []
        opened = session.exec(select(ConsentCompartment.compartment_id)).all()
        living = [row.holder_id for row in session.exec(select(SourceLink)) if row.ended_at is None]
    assert hospitals not in opened
    assert hospitals not in {compartment for _, compartment in office.shares(given.grant_id)}
    assert living == [REGISTER]
    assert erase(office, HOSPITAL) == Erased(consents=0, links=0, records=0)


def test_what_is_collected_again_is_under_a_new_key_and_in_no_old_consent(office: Office) -> None:
    office.collect(office.link(), bill())
    given = office.agree()
    erase(office, HOSPITAL)
    office.collect(office.link(HOSPITAL, PATIENT_NO), bill())
    assert [one["data"]["bill_no"] for one in export(office)["records.jsonl"]] == ["B-1"]
    hospitals = office.keyring.compartment_id(office.subject_id, HOSPITAL, BILL)
    assert hospitals not in {compartment for _, compartment in office.shares(given.grant_id)}


def finish(office: Office, erased_at: datetime) -> None:
    """What the duty of an erased source does."""
    target, catalogue = f"{office.subject_id} {HOSPITAL}", office.installation.catalogue
    with office.work() as work:
        finish_source(work.session, office.keyring, catalogue, target, erased_at)


def test_an_erased_source_owes_its_keys_until_they_are_gone(office: Office) -> None:
    """After a death in between no record is left to tell which keys they were."""
    hospital = office.link()
    office.collect(hospital, bill())
    given = office.agree()
    stranger = office.newcomer()
    office.collect(office.link(HOSPITAL, "S-1", subject_id=stranger), bill("S-1"))
    hospitals, others = (
        office.keyring.compartment_id(whose, HOSPITAL, BILL) for whose in (office.subject_id, stranger)
    )
    with office.work() as work:  # the rows went, the keys did not
        unlink(work, office.keyring, hospital, office.subject_id, office.clock())
        work.session.execute(delete(RecordVersion).where(col(RecordVersion.subject_id) == office.subject_id))
        work.session.execute(delete(Record).where(col(Record.subject_id) == office.subject_id))
    assert erase(office, HOSPITAL) == Erased(consents=0, links=0, records=0)
    with office.installation.data.read() as session:
        (duty,) = session.exec(select(Duty).where(Duty.kind == DutyKind.ERASE_SOURCE))
    assert (duty.target, duty.created_at) == (f"{office.subject_id} {HOSPITAL}", office.clock())
    office.keyring.compartment_key(office.subject_id, hospitals)
    for _ in range(2):
        finish(office, duty.created_at)
        with pytest.raises(UnknownKeyError):
            office.keyring.compartment_key(office.subject_id, hospitals)
    assert hospitals not in {compartment for _, compartment in office.shares(given.grant_id)}
    with office.installation.data.read() as session:
        assert hospitals not in session.exec(select(ConsentCompartment.compartment_id)).all()
    office.keyring.compartment_key(stranger, others)


def test_what_was_linked_anew_after_the_erasure_stays(office: Office) -> None:
    office.collect(office.link(), bill())
    office.link(REGISTER, "R-1")
    old = office.agree()
    erased_at = office.clock()
    erase(office, HOSPITAL)
    office.clock.advance(timedelta(seconds=1))
    office.collect(office.link(HOSPITAL, PATIENT_NO), bill())
    new = office.agree()
    finish(office, erased_at)
    assert [one["data"]["bill_no"] for one in export(office)["records.jsonl"]] == ["B-1"]
    hospitals = office.keyring.compartment_id(office.subject_id, HOSPITAL, BILL)
    opened = {grant: {name for _, name in office.shares(grant)} for grant in (old.grant_id, new.grant_id)}
    assert (hospitals in opened[old.grant_id], hospitals in opened[new.grant_id]) == (False, True)
    with office.installation.data.read() as session:
        rows = session.exec(select(ConsentCompartment).where(ConsentCompartment.compartment_id == hospitals))
        assert [row.version_id for row in rows] == [f"{new.grant_id}.1"]


def test_records_whose_key_is_gone_are_told_without_data(office: Office) -> None:
    office.collect(office.link(), bill())
    office.keyring.erase_subject(office.subject_id, office.clock())
    assert [one["data"] for one in export(office)["records.jsonl"]] == [None]


def _pending(office: Office) -> PendingRecord:
    return PendingRecord(
        pending_id="p",
        name_index=b"n",
        content_index=b"c",
        holder_id=HOSPITAL,
        record_type=BILL,
        rule="name_differs",
        subject_id=office.subject_id,
        told_sealed=b"t",
        state="waiting",
        received_at=office.clock(),
        expires_at=office.clock(),
    )
