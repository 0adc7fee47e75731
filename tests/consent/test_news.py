"""News for recipients: owed for what a periodic consent covers to the letter, and for nothing else."""

import threading
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlmodel import select

from consent.collection import Arrival, collect
from consent.models import ConsentVersion, Duty, SourceLink
from consent.outbox import DutyKind
from tests.consent.details import BILL, POLICY, terms_with
from tests.consent.office import Office
from vault.record_types.catalogue import Catalogue

WEEKLY: Final[dict[str, Any]] = {
    "access.kind": "periodic",
    "access.cycle": "P1W",
    "access.max_pulls": 9,
    "data_period.to": "2026-12-31",
    "items.0.filter.period.to": "2026-12-31",
}
PATIENCE: Final = 120


def bill(number: str, day: str = "2026-12-02", institution: str = "11100079") -> Arrival:
    data: dict[str, Any] = dict(Catalogue.load().get(BILL).example)
    data |= {"bill_no": number, "period": {"from": day, "to": day}}
    data["institution"] = data["institution"] | {"hira_code": institution}
    return Arrival(BILL, number, data)


def told(office: Office) -> list[str]:
    """The grants that somebody is to be told of, an entry for each duty."""
    with office.installation.data.read() as session:
        duties = session.exec(select(Duty).where(Duty.kind == DutyKind.TELL_RECIPIENT))
        return [duty.target for duty in duties]


def test_a_new_record_is_news_once_and_so_is_its_correction(office: Office) -> None:
    link_id = office.link()
    grant_id = office.agree(terms_with(WEEKLY)).grant_id
    assert told(office) == []
    office.collect(link_id, bill("B-1"))
    assert told(office) == [grant_id]
    office.collect(link_id, bill("B-1"))
    assert told(office) == [grant_id]
    corrected = bill("B-1")
    office.collect(link_id, Arrival(BILL, "B-1", {**corrected.data, "department": "corrected"}))
    assert told(office) == [grant_id, grant_id]


def test_what_arrives_together_is_one_event_for_each_consent(office: Office) -> None:
    link_id = office.link()
    grant_ids = {office.agree(terms_with(WEEKLY)).grant_id for _ in range(2)}
    office.collect(link_id, *(bill(f"B-{number}") for number in range(5)))
    assert len(told(office)) == 2
    assert set(told(office)) == grant_ids


@pytest.mark.parametrize(
    ("changes", "arrival"),
    [
        ({"access.kind": "once", "access.max_pulls": 1}, bill("B-1")),
        ({}, bill("B-1", institution="11200001")),
        ({}, bill("B-1", day="2025-12-31")),
        ({"items.0.filter.period.to": "2026-12-01"}, bill("B-1")),
        ({"data_period.to": "2026-12-01"}, bill("B-1")),
    ],
)
def test_what_a_consent_does_not_cover_is_no_news(
    office: Office, changes: dict[str, Any], arrival: Arrival
) -> None:
    terms = {**WEEKLY, **changes}
    if terms["access.kind"] == "once":
        del terms["access.cycle"]
    link_id = office.link()
    office.agree(terms_with(terms))
    office.collect(link_id, arrival)
    assert told(office) == []


def test_an_item_that_was_left_off_is_no_news(office: Office) -> None:
    changes = {**WEEKLY, "items.0.required": False, "items.1.required": True}
    link_id = office.link()
    office.agree(terms_with(changes), (POLICY,))
    office.collect(link_id, bill("B-1"))
    assert told(office) == []


def test_a_consent_that_is_over_hears_nothing(office: Office) -> None:
    link_id = office.link()
    withdrawn, expired = (office.agree(terms_with(WEEKLY)) for _ in range(2))
    requested = office.request(terms_with(WEEKLY))
    office.withdraw(withdrawn.grant_id)
    office.clock.now = expired.terms.access.valid_until - timedelta(microseconds=1)
    office.collect(link_id, bill("B-1"))
    assert told(office) == [expired.grant_id]
    office.clock.now = expired.terms.access.valid_until
    office.collect(link_id, bill("B-2"))
    assert told(office) == [expired.grant_id]
    assert requested not in told(office)


def test_a_paused_consent_hears_of_it_when_it_goes_on(office: Office) -> None:
    link_id, grant_id = office.link(), office.agree(terms_with(WEEKLY)).grant_id
    office.pause(grant_id)
    office.collect(link_id, bill("B-1"))
    assert told(office) == [grant_id]


def test_a_consent_without_a_place_left_hears_nothing(office: Office) -> None:
    link_id = office.link()
    grant_id = office.agree(terms_with({**WEEKLY, "access.max_pulls": 1})).grant_id
    office.deliver(grant_id)
    office.collect(link_id, bill("B-1"))
    assert told(office) == []


def test_terms_that_were_tampered_with_hold_up_nobody_else(office: Office) -> None:
    link_id = office.link()
    whole, broken = (office.agree(terms_with(WEEKLY)) for _ in range(2))
    with office.installation.data.write() as session:
        version = session.get_one(ConsentVersion, broken.version_id)
        version.terms_sealed = version.terms_sealed[:-1] + bytes([version.terms_sealed[-1] ^ 1])
    office.collect(link_id, bill("B-1"))
    assert told(office) == [whole.grant_id]


def test_another_persons_record_is_no_news(office: Office) -> None:
    office.link()
    office.agree(terms_with(WEEKLY))
    theirs = office.link(patient_no="P-0002", subject_id=office.newcomer())
    office.collect(theirs, bill("B-1"))
    assert told(office) == []


def test_giving_waits_for_what_is_being_stored(postgresql_office: Office) -> None:
    """Either the first pull sees the record or it is announced: never neither."""
    office = postgresql_office
    link_id, grant_id = office.link(), office.request(terms_with(WEEKLY))
    given = threading.Event()

    def give() -> None:
        office.give(grant_id)
        given.set()

    giver = threading.Thread(target=give)
    with office.work() as work:
        row = work.session.get_one(SourceLink, link_id)
        now, catalogue = office.clock(), office.installation.catalogue
        collect(work, office.keyring, catalogue, row, arrivals=[bill("B-1")], now=now)
        giver.start()
        assert not given.wait(1)
    giver.join(PATIENCE)
    assert given.is_set()
    assert told(office) == []
    office.collect(link_id, bill("B-2"))
    assert told(office) == [grant_id]
