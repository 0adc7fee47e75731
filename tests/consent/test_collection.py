"""Collecting: nothing without a living link that covers it; linking, unlinking and arrivals are on record."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlmodel import select

from consent.collection import (
    COLLECTION_PURPOSE,
    VALID_FOR,
    Arrival,
    NewLink,
    collect,
    collect_all,
    expire_link,
    find_link,
    link,
    link_all,
    overdue_links,
    record_types_of,
    unlink,
)
from consent.errors import AlreadyLinkedError, NotFoundError, NotLinkedError, UnknownOrganisationError
from consent.evidence import open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import SourceLink, Subject
from consent.organisations import suspend
from consent.vocabulary import EventType
from tests.consent.details import BILL, HOSPITAL, POLICY, REGISTER
from tests.consent.office import PATIENT_NO, RECIPIENT, Office, at_once
from vault.errors import ErasedError, TamperedError, UnknownKeyError
from vault.keys.models import SubjectKey
from vault.store import PutResult, Record, latest, open_record


def bill(number: str = "B-1", total: int = 164400) -> Arrival:
    """What a hospital sends; its content is not looked at here."""
    return Arrival(BILL, number, {"bill_no": number, "totals": {"total": total}})


def row(office: Office, link_id: str) -> SourceLink:
    with office.installation.data.read() as session:
        return session.get_one(SourceLink, link_id)


def found(office: Office, patient_no: str = PATIENT_NO, holder_id: str = HOSPITAL) -> str | None:
    with office.installation.data.read() as session:
        living = find_link(session, office.keyring, holder_id, patient_no)
        return None if living is None else living.link_id


def stop(office: Office, link_id: str, subject_id: str | None = None) -> None:
    with office.work() as work:
        unlink(work, office.keyring, link_id, subject_id or office.subject_id, office.clock())


def told(office: Office, link_id: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Type, facts and opened detail of every event of a link."""
    key = office.keyring.audit_key(office.subject_id)
    with office.installation.data.read() as session:
        handle = session.get_one(SourceLink, link_id).handle
        entries = session.exec(select(LedgerEntry).where(LedgerEntry.handle == handle)).all()
    events = []
    for entry in sorted(entries, key=lambda entry: entry.idx):
        event = Event.from_leaf(entry.leaf)
        assert event.purpose == COLLECTION_PURPOSE
        detail = open_detail(
            key, handle=handle, commitment=event.commitment, detail_sealed=entry.detail_sealed
        )
        events.append((event.type, dict(event.facts), detail))
    return events


def records(office: Office) -> list[dict[str, Any]]:
    """The newest version of every record of the hospital's bills, opened."""
    keyring = office.keyring
    compartment_id = keyring.compartment_id(office.subject_id, HOSPITAL, BILL)
    with office.installation.data.read() as session:
        sealed = latest(session, office.subject_id, [compartment_id])
    key = keyring.compartment_key(office.subject_id, compartment_id)
    return [open_record(key, record.identity, record.ciphertext) for record in sealed]


def record_count(office: Office) -> int:
    with office.installation.data.read() as session:
        return len(session.exec(select(Record)).all())


# What cannot be linked


def test_a_number_that_is_linked_cannot_be_linked_again_by_anybody(office: Office) -> None:
    office.link()
    size = office.log_size()
    for subject_id in (office.subject_id, office.newcomer()):
        with pytest.raises(AlreadyLinkedError) as caught:
            office.link(subject_id=subject_id)
        assert caught.value.args == ()
    assert office.log_size() == size


@pytest.mark.parametrize("holder_id", ["no-such-holder", RECIPIENT])
def test_what_holds_nothing_cannot_be_linked(office: Office, holder_id: str) -> None:
    with pytest.raises(UnknownOrganisationError) as caught:
        office.link(holder_id)
    assert caught.value.organisation_ids == [holder_id]


def test_a_suspended_holder_cannot_be_linked(office: Office) -> None:
    with office.work() as work:
        suspend(work.session, HOSPITAL)
    with pytest.raises(UnknownOrganisationError):
        office.link()


def test_an_unknown_person_cannot_be_linked(office: Office) -> None:
    with pytest.raises(UnknownKeyError):
        office.link(subject_id="nobody")


def test_linking_one_number_at_once_is_one_link(office: Office) -> None:
    outcomes = at_once(*[office.link] * 3)
    assert sorted(outcomes) == ["AlreadyLinkedError", "AlreadyLinkedError", "done"]
    assert found(office) is not None


# Linking


def test_a_link_is_found_by_holder_and_number_only(office: Office) -> None:
    link_id = office.link()
    assert found(office) == link_id
    assert found(office, "P-0002") is None
    assert found(office, holder_id=REGISTER) is None


def test_the_same_number_at_another_holder_is_another_link(office: Office) -> None:
    assert office.link(HOSPITAL) != office.link(REGISTER, subject_id=office.newcomer())


def test_a_link_keeps_the_number_as_a_keyed_index_only(office: Office) -> None:
    stored = row(office, office.link())
    assert stored.patient_index is not None
    assert len(stored.patient_index) == 32
    assert PATIENT_NO.encode() not in stored.patient_index + stored.terms_sealed


def test_linking_is_on_record_with_what_was_agreed_to(office: Office) -> None:
    new = NewLink(office.subject_id, HOSPITAL, PATIENT_NO, (POLICY, BILL), "en")
    with office.work() as work:
        link_id = link(work, office.keyring, new, office.clock())
    terms = {
        "purpose": COLLECTION_PURPOSE,
        "holder": HOSPITAL,
        "record_types": [BILL, POLICY],
        "language": "en",
        "cycle": "P1D",
        "until": (office.clock() + VALID_FOR).isoformat(),
        "retention": "until_erased",
    }
    assert told(office, link_id) == [(EventType.SOURCE_LINKED, {}, terms)]
    assert record_types_of(office.keyring, row(office, link_id)) == (BILL, POLICY)


def test_a_new_person_has_an_id_that_says_nothing_and_keys(office: Office) -> None:
    subject_id = office.newcomer()
    with office.installation.data.read() as session:
        assert session.get_one(Subject, subject_id).created_at == office.clock()
    with office.installation.keyring_database.read() as session:
        assert session.get(SubjectKey, subject_id) is not None


# Unlinking


def test_a_foreign_link_is_as_unknown(office: Office) -> None:
    link_id, stranger = office.link(), office.newcomer()
    for asked, who in ((link_id, stranger), ("no-such-link", office.subject_id)):
        with pytest.raises(NotFoundError) as caught:
            stop(office, asked, who)
        assert caught.value.args == ()
    assert row(office, link_id).ended_at is None


def test_unlinking_ends_the_link_and_frees_the_number(office: Office) -> None:
    link_id = office.link()
    office.clock.advance(timedelta(days=1))
    stop(office, link_id)
    assert (row(office, link_id).ended_at, row(office, link_id).patient_index) == (office.clock(), None)
    assert found(office) is None
    assert told(office, link_id)[-1] == (EventType.SOURCE_UNLINKED, {}, {"holder": HOSPITAL})
    assert office.link(subject_id=office.newcomer()) == found(office)


def test_unlinking_twice_changes_nothing(office: Office) -> None:
    link_id = office.link()
    stop(office, link_id)
    before, size = row(office, link_id), office.log_size()
    office.clock.advance(timedelta(days=1))
    stop(office, link_id)
    assert (row(office, link_id), office.log_size()) == (before, size)


def test_unlinking_at_once_is_one_end(office: Office) -> None:
    link_id = office.link()
    assert at_once(*[partial(stop, office, link_id)] * 3) == ["done"] * 3
    assert [event for event, _, _ in told(office, link_id)] == [
        EventType.SOURCE_LINKED,
        EventType.SOURCE_UNLINKED,
    ]


def test_a_link_that_was_read_before_it_ended_is_read_again(office: Office) -> None:
    """As a handler might: load the row, then unlink, while somebody else already did."""
    link_id = office.link()
    if office.installation.data.is_sqlite:
        stop(office, link_id)  # a writing transaction is alone: nobody can come between
    with office.work() as work:
        loaded = work.session.get_one(SourceLink, link_id)
        if not office.installation.data.is_sqlite:
            stop(office, link_id)
        unlink(work, office.keyring, link_id, office.subject_id, office.clock())
        assert loaded.ended_at == office.clock()
    assert len(told(office, link_id)) == 2


# Time is over


def expire(office: Office, link_id: str, subject_id: str | None = None) -> bool:
    with office.work() as work:
        owner = subject_id or office.subject_id
        return expire_link(work, office.keyring, link_id, owner, office.clock())


def overdue(office: Office) -> list[tuple[str, str]]:
    with office.installation.data.read() as session:
        return overdue_links(session, office.clock())


def test_a_link_whose_time_is_not_over_does_not_expire(office: Office) -> None:
    link_id = office.link()
    office.clock.advance(VALID_FOR - timedelta(microseconds=1))
    before, size = row(office, link_id), office.log_size()
    assert (overdue(office), expire(office, link_id)) == ([], False)
    assert (row(office, link_id), office.log_size()) == (before, size)


def test_a_foreign_link_does_not_expire(office: Office) -> None:
    link_id = office.link()
    office.clock.advance(VALID_FOR)
    with pytest.raises(NotFoundError):
        expire(office, link_id, office.newcomer())


def test_nothing_is_collected_once_the_time_is_over_even_before_it_is_on_record(office: Office) -> None:
    link_id = office.link()
    office.clock.advance(VALID_FOR)
    with pytest.raises(NotLinkedError):
        office.collect(link_id, bill())
    assert record_count(office) == 0


def test_a_link_whose_time_is_over_expires_once_and_frees_the_number(office: Office) -> None:
    link_id = office.link()
    office.clock.advance(VALID_FOR)
    assert overdue(office) == [(link_id, office.subject_id)]
    assert [expire(office, link_id), expire(office, link_id)] == [True, False]
    assert (overdue(office), found(office)) == ([], None)
    ended = row(office, link_id)
    assert (ended.ended_at, ended.patient_index, ended.identity_sealed) == (office.clock(), None, None)
    assert [event for event, _, _ in told(office, link_id)] == [
        EventType.SOURCE_LINKED,
        EventType.SOURCE_EXPIRED,
    ]


# What cannot be collected


def test_a_record_type_that_the_link_does_not_cover_is_refused_with_all_that_came(office: Office) -> None:
    link_id = office.link()
    size = office.log_size()
    with pytest.raises(NotLinkedError):
        office.collect(link_id, bill(), Arrival(POLICY, "P-1", {"policy_no": "P-1"}))
    assert (record_count(office), office.log_size()) == (0, size)


def test_nothing_is_collected_through_an_ended_link(office: Office) -> None:
    link_id = office.link()
    stop(office, link_id)
    with pytest.raises(NotLinkedError):
        office.collect(link_id, bill())
    assert record_count(office) == 0


def test_a_link_that_ended_since_it_was_found_collects_nothing(office: Office) -> None:
    link_id = office.link()
    stale = row(office, link_id)
    stop(office, link_id)
    with pytest.raises(NotLinkedError):
        collect_through(office, stale)
    assert record_count(office) == 0


def collect_through(office: Office, found_before: SourceLink) -> None:
    catalogue = office.installation.catalogue
    with office.work() as work:
        collect(work, office.keyring, catalogue, found_before, arrivals=[bill()], now=office.clock())


def test_terms_of_a_link_that_were_changed_or_moved_cover_nothing(office: Office) -> None:
    link_id, other_id = office.link(HOSPITAL), office.link(REGISTER)
    changed, moved = row(office, link_id), row(office, link_id)
    changed.terms_digest = b"x" * 32
    with pytest.raises(NotLinkedError):
        record_types_of(office.keyring, changed)
    moved.terms_sealed = row(office, other_id).terms_sealed
    with pytest.raises(TamperedError):
        record_types_of(office.keyring, moved)


def test_nothing_is_collected_for_an_erased_person(office: Office) -> None:
    link_id = office.link()
    office.keyring.erase_subject(office.subject_id, office.clock())
    with pytest.raises(ErasedError):
        office.collect(link_id, bill())
    assert record_count(office) == 0


# Collecting


def test_what_arrives_is_sealed_and_on_record(office: Office) -> None:
    link_id = office.link()
    first, second = office.collect(link_id, bill("B-1"), bill("B-2"))
    assert [first.outcome, second.outcome] == ["added", "added"]
    stored = sorted(records(office), key=lambda data: str(data["bill_no"]))
    assert stored == [bill("B-1").data, bill("B-2").data]
    event, facts, detail = told(office, link_id)[-1]
    assert (event, facts["records"]) == (EventType.RECORDS_COLLECTED, 2)
    assert [place[:2] for place in detail["stored"]] == [[first.record_id, 1], [second.record_id, 1]]
    assert detail["holder"] == HOSPITAL


def test_the_same_arrival_again_changes_nothing(office: Office) -> None:
    link_id = office.link()
    (first,) = office.collect(link_id, bill())
    size = office.log_size()
    (again,) = office.collect(link_id, bill())
    assert (again.record_id, again.version, again.outcome) == (first.record_id, 1, "unchanged")
    assert office.log_size() == size


def test_nothing_that_arrives_leaves_no_event(office: Office) -> None:
    link_id = office.link()
    size = office.log_size()
    assert office.collect(link_id) == []
    assert office.log_size() == size


def test_a_changed_arrival_is_a_new_version_and_alone_in_the_event(office: Office) -> None:
    link_id = office.link()
    first, _ = office.collect(link_id, bill("B-1"), bill("B-2"))
    corrected, unchanged = office.collect(link_id, bill("B-1", total=1), bill("B-2"))
    assert (corrected.record_id, corrected.version, corrected.outcome) == (first.record_id, 2, "corrected")
    assert unchanged.outcome == "unchanged"
    _, facts, detail = told(office, link_id)[-1]
    assert facts["records"] == 1
    assert [place[:2] for place in detail["stored"]] == [[first.record_id, 2]]


def test_one_number_of_two_people_is_two_records(office: Office) -> None:
    office.collect(office.link(HOSPITAL, "1"), bill())
    office.collect(office.link(HOSPITAL, "2", subject_id=office.newcomer()), bill())
    assert record_count(office) == 2


def test_of_many_links_each_with_news_has_its_own_event(office: Office) -> None:
    mine, others = office.link(HOSPITAL, "1"), office.link(HOSPITAL, "2", subject_id=office.newcomer())
    third = office.link(HOSPITAL, "3", subject_id=office.newcomer())
    office.collect(third, bill("B-1"))
    size = office.log_size()
    results = collect_through_all(office, {mine: [bill(), bill("B-2")], others: [bill()], third: [bill()]})
    outcomes = {link_id: [one.outcome for one in found] for link_id, found in results.items()}
    assert outcomes == {mine: ["added", "added"], others: ["added"], third: ["unchanged"]}
    assert (record_count(office), office.log_size()) == (4, size + 2)
    event, facts, detail = told(office, mine)[-1]
    assert (event, facts["records"]) == (EventType.RECORDS_COLLECTED, 2)
    assert [place[0] for place in detail["stored"]] == [one.record_id for one in results[mine]]


def test_if_one_of_many_links_has_ended_nothing_is_collected(office: Office) -> None:
    mine, others = office.link(HOSPITAL, "1"), office.link(HOSPITAL, "2", subject_id=office.newcomer())
    stop(office, mine)
    size = office.log_size()
    with pytest.raises(NotLinkedError):
        collect_through_all(office, {others: [bill()], mine: [bill()]})
    assert (record_count(office), office.log_size()) == (0, size)


def test_many_links_in_any_order_at_once_wait_for_each_other(office: Office) -> None:
    links = [office.link(HOSPITAL, str(number), subject_id=office.newcomer()) for number in range(20)]
    arrivals = {link_id: [bill("B-1"), bill("B-2")] for link_id in links}
    backwards = dict(reversed(arrivals.items()))
    orders = [arrivals, backwards, arrivals]
    assert at_once(*[partial(collect_through_all, office, order) for order in orders]) == ["done"] * 3
    assert record_count(office) == 2 * len(links)
    for link_id in links:
        with office.installation.data.read() as session:
            handle = session.get_one(SourceLink, link_id).handle
            entries = session.exec(select(LedgerEntry).where(LedgerEntry.handle == handle)).all()
        assert len(entries) == 2


def test_many_are_linked_or_none(office: Office) -> None:
    office.link(HOSPITAL, "3")
    size = office.log_size()
    news = [NewLink(office.newcomer(), HOSPITAL, number, (BILL,), "ko") for number in ("1", "2", "3")]
    with pytest.raises(AlreadyLinkedError), office.work() as work:
        link_all(work, office.keyring, news, office.clock())
    assert (found(office, "1"), office.log_size()) == (None, size)
    with office.work() as work:
        link_ids = link_all(work, office.keyring, news[:2], office.clock())
    assert link_ids == [found(office, "1"), found(office, "2")]
    assert office.log_size() == size + 2


def collect_through_all(
    office: Office, arrivals: Mapping[str, Sequence[Arrival]]
) -> dict[str, list[PutResult]]:
    with office.work() as work:
        catalogue, now = office.installation.catalogue, office.clock()
        return collect_all(work, office.keyring, catalogue, arrivals, now)


def test_the_same_arrival_at_once_is_one_record(office: Office) -> None:
    link_id = office.link()
    assert at_once(*[partial(office.collect, link_id, bill())] * 3) == ["done"] * 3
    assert record_count(office) == 1
    assert [event for event, _, _ in told(office, link_id)] == [
        EventType.SOURCE_LINKED,
        EventType.RECORDS_COLLECTED,
    ]


def test_collecting_while_unlinking_is_before_the_end_or_not_at_all(office: Office) -> None:
    link_id = office.link()
    outcomes = at_once(partial(office.collect, link_id, bill()), partial(stop, office, link_id))
    assert outcomes[1] == "done"
    events = [event for event, _, _ in told(office, link_id)]
    assert events[-1] == EventType.SOURCE_UNLINKED
    assert record_count(office) == (1 if outcomes[0] == "done" else 0)


def test_unlinking_waits_for_what_is_being_collected(office: Office) -> None:
    link_id = office.link()
    found_before, catalogue = row(office, link_id), office.installation.catalogue
    with ThreadPoolExecutor(1) as thread:
        with office.work() as work:
            collect(work, office.keyring, catalogue, found_before, arrivals=[bill()], now=office.clock())
            unlinking = thread.submit(stop, office, link_id)
            with pytest.raises(TimeoutError):
                unlinking.result(timeout=0.5)
        unlinking.result(timeout=120)
    assert [event for event, _, _ in told(office, link_id)] == [
        EventType.SOURCE_LINKED,
        EventType.RECORDS_COLLECTED,
        EventType.SOURCE_UNLINKED,
    ]
