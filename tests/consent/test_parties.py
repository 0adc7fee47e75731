"""Representation: who may begin to act for whom, and who may not (feature rows 14 and 15; invariant 20)."""

from datetime import UTC, date, datetime, timedelta

import pytest

from consent import lifecycle, standing
from consent.errors import NotFoundError, SignerRefusedError
from consent.parties import (
    given_by,
    held_by,
)
from consent.party_ends import end_by_staff, lapse
from consent.party_records import Refused
from consent.people_vocabulary import Action, RepresentationEnd, RepresentationState
from consent.standing import Scope, birthday, find_acting
from consent.vocabulary import ConsentState, EventType, RefusalReason, StateReason
from tests.consent.details import PURPOSE
from tests.consent.office import Office, at_once
from tests.consent.representing import STAFF, Parties
from vault.schema import random_id


@pytest.fixture
def parties(office: Office) -> Parties:
    return Parties(office)


@pytest.fixture
def sqlite_parties(sqlite_office: Office) -> Parties:
    return Parties(sqlite_office)


# Mandates that are refused


def test_nobody_represents_themselves(sqlite_parties: Parties) -> None:
    own = sqlite_parties.office.subject_id
    assert sqlite_parties.offer(own, own) == Refused(RefusalReason.AGENT_UNVERIFIED, "self")
    assert sqlite_parties.refusals(own) == [("AGENT_UNVERIFIED", "self")]


@pytest.mark.parametrize("days", [0, -1, 366])
def test_a_period_that_is_over_or_too_long(sqlite_parties: Parties, days: int) -> None:
    own = sqlite_parties.office.subject_id
    refused = sqlite_parties.offer(own, sqlite_parties.office.newcomer(), days=days)
    assert refused == Refused(RefusalReason.AGENT_UNVERIFIED, "period")
    assert sqlite_parties.refusals(own) == [("AGENT_UNVERIFIED", "period")]


def test_a_mandate_for_nothing(sqlite_parties: Parties) -> None:
    own = sqlite_parties.office.subject_id
    refused = sqlite_parties.offer(own, sqlite_parties.office.newcomer(), Scope(frozenset()))
    assert refused == Refused(RefusalReason.AGENT_UNVERIFIED, "scope")


def test_a_circle_of_two_is_refused_when_it_is_offered(parties: Parties) -> None:
    one, other = parties.office.subject_id, parties.office.newcomer()
    parties.mandate(one, other)
    assert parties.offer(other, one) == Refused(RefusalReason.AGENT_UNVERIFIED, "circle")
    assert parties.refusals(other) == [("AGENT_UNVERIFIED", "circle")]


def test_a_circle_of_three_is_refused_to_whoever_would_close_it(parties: Parties) -> None:
    one, two, three = parties.office.subject_id, parties.office.newcomer(), parties.office.newcomer()
    parties.mandate(one, two)
    parties.mandate(two, three)
    offered = parties.offer(three, one)
    assert isinstance(offered, str)
    assert parties.accept(offered, one) == Refused(RefusalReason.AGENT_UNVERIFIED, "circle")
    assert parties.row(offered).state == RepresentationState.ENDED
    assert parties.refusals(three) == [("AGENT_UNVERIFIED", "circle")]
    assert parties.acting(offered, one) is None


def test_two_who_accept_at_the_same_moment_close_no_circle(postgresql_office: Office) -> None:
    parties = Parties(postgresql_office)
    one, other = postgresql_office.subject_id, postgresql_office.newcomer()
    there, back = parties.offer(one, other), parties.offer(other, one)
    assert isinstance(there, str)
    assert isinstance(back, str)
    answers: list[Refused | None] = []
    at_once(
        lambda: answers.append(parties.accept(there, other)),
        lambda: answers.append(parties.accept(back, one)),
    )
    assert [answer.fault for answer in answers if answer is not None] == ["circle"]


def test_a_second_one_to_the_same_person(sqlite_parties: Parties) -> None:
    one, other = sqlite_parties.office.subject_id, sqlite_parties.office.newcomer()
    first, second = sqlite_parties.offer(one, other), sqlite_parties.offer(one, other)
    assert isinstance(first, str)
    assert isinstance(second, str)
    assert sqlite_parties.accept(first, other) is None
    assert sqlite_parties.accept(second, other) == Refused(RefusalReason.AGENT_UNVERIFIED, "there_already")


def test_an_offer_that_waited_too_long(parties: Parties) -> None:
    one, other = parties.office.subject_id, parties.office.newcomer()
    offered = parties.offer(one, other)
    assert isinstance(offered, str)
    parties.office.clock.advance(timedelta(days=7))
    assert parties.accept(offered, other) == Refused(RefusalReason.AGENT_UNVERIFIED, "over")
    assert parties.row(offered).end_reason == RepresentationEnd.EXPIRED
    with pytest.raises(NotFoundError):
        parties.accept(offered, other)


def test_somebody_elses_offer_is_as_unknown(sqlite_parties: Parties) -> None:
    one, other = sqlite_parties.office.subject_id, sqlite_parties.office.newcomer()
    offered = sqlite_parties.offer(one, other)
    assert isinstance(offered, str)
    for representation_id, who in ((offered, one), (offered, random_id()), (random_id(), other)):
        with pytest.raises(NotFoundError):
            sqlite_parties.accept(representation_id, who)


def test_a_flood_of_offers(sqlite_parties: Parties) -> None:
    own = sqlite_parties.office.subject_id
    answers = [sqlite_parties.offer(own, None) for _ in range(21)]
    assert all(isinstance(answer, str) for answer in answers[:20])
    assert answers[20] == Refused(RefusalReason.EXCESSIVE_REPEAT, "too_many_offers")


def test_a_name_that_is_nobodys_is_answered_and_logged_like_any_other(sqlite_parties: Parties) -> None:
    own, other = sqlite_parties.office.subject_id, sqlite_parties.office.newcomer()
    before = sqlite_parties.office.log_size()
    to_nobody = sqlite_parties.offer(own, None)
    between = sqlite_parties.office.log_size()
    to_somebody = sqlite_parties.offer(own, other)
    assert between - before == sqlite_parties.office.log_size() - between == 2
    with sqlite_parties.office.installation.data.read() as session:
        views = given_by(session, sqlite_parties.office.keyring, own, sqlite_parties.office.clock())
    shown = {(view.state, view.representative_name) for view in views}
    assert {view.representation_id for view in views} == {to_nobody, to_somebody}
    assert shown == {(RepresentationState.OFFERED, "jeongsuk")}
    assert isinstance(to_nobody, str)
    sqlite_parties.end(to_nobody, own)


# Guardians


def test_a_guardian_without_evidence_is_refused_on_the_childs_record(parties: Parties) -> None:
    child, guardian = parties.office.newcomer(), parties.office.subject_id
    refused = parties.guardian(child, guardian, evidence=None)
    assert refused == Refused(RefusalReason.GUARDIAN_UNVERIFIED, "evidence")
    assert parties.refusals(child) == [("GUARDIAN_UNVERIFIED", "evidence")]


def test_guardians_that_cannot_be(sqlite_parties: Parties) -> None:
    child, guardian = sqlite_parties.office.newcomer(), sqlite_parties.office.subject_id
    faults = [
        sqlite_parties.guardian(child, child),
        sqlite_parties.guardian(child, guardian, scope=Scope(frozenset())),
        sqlite_parties.guardian(child, guardian, born_on=date(2012, 12, 1)),
    ]
    assert isinstance(sqlite_parties.guardian(child, guardian), str)
    faults += [sqlite_parties.guardian(child, guardian), sqlite_parties.guardian(guardian, child)]
    sqlite_parties.mandate(guardian, adult := sqlite_parties.office.newcomer())
    faults.append(sqlite_parties.guardian(adult, guardian))
    told = [fault.fault for fault in faults if isinstance(fault, Refused)]
    assert told == ["self", "scope", "of_age", "there_already", "child", "circle"]


def test_a_refusal_about_nobody_is_on_the_staffs_record(sqlite_parties: Parties) -> None:
    sqlite_parties.guardian("nobody", sqlite_parties.office.subject_id, evidence=None)
    assert sqlite_parties.refusals() == [("GUARDIAN_UNVERIFIED", "evidence")]


def test_children_give_no_mandates_and_take_none(sqlite_parties: Parties) -> None:
    child, guardian = sqlite_parties.office.newcomer(), sqlite_parties.office.newcomer()
    own = sqlite_parties.office.subject_id
    sqlite_parties.guardian(child, guardian)
    assert sqlite_parties.offer(child, own) == Refused(RefusalReason.AGENT_UNVERIFIED, "child")
    offered = sqlite_parties.offer(own, child)
    assert isinstance(offered, str)
    assert sqlite_parties.accept(offered, child) == Refused(RefusalReason.AGENT_UNVERIFIED, "child")


@pytest.mark.parametrize(
    ("born_on", "age", "first_day"),
    [
        (date(2013, 5, 7), 14, (2027, 5, 7)),
        (date(2012, 2, 29), 14, (2026, 3, 1)),
        (date(2012, 2, 29), 16, (2028, 2, 29)),
        (date(2086, 2, 28), 14, (2100, 2, 28)),
        (date(2088, 2, 29), 12, (2100, 3, 1)),
        (date(1984, 2, 29), 16, (2000, 2, 29)),
    ],
)
def test_when_an_age_begins_in_korea(born_on: date, age: int, first_day: tuple[int, int, int]) -> None:
    year, month, day = first_day
    assert birthday(born_on, age) == datetime(year, month, day, tzinfo=UTC) - timedelta(hours=9)


# Acting


def test_acting_is_for_the_one_person_and_while_it_lasts(parties: Parties) -> None:
    own, other = parties.office.subject_id, parties.office.newcomer()
    mandate = parties.mandate(own, other, Scope(frozenset({Action.SEE}), frozenset({PURPOSE})))
    acting = parties.acting(mandate, other, is_held=True)
    assert acting is not None
    assert (acting.subject_id, acting.representative_id) == (own, other)
    assert acting.scope.allows(Action.SEE)
    assert acting.scope.allows(Action.SEE, PURPOSE)
    assert not acting.scope.allows(Action.SEE, "another.purpose")
    assert not acting.scope.allows(Action.WITHDRAW)
    assert parties.acting(mandate, own) is None
    assert parties.acting(random_id(), other) is None
    parties.office.clock.advance(timedelta(days=30))
    assert parties.acting(mandate, other) is None


def test_who_acts_for_somebody_reaches_nobody_through_them(sqlite_parties: Parties) -> None:
    """Depth one: the mandate that the represented person holds is not the representative's."""
    one, two, three = (sqlite_parties.office.newcomer() for _ in range(3))
    first = sqlite_parties.mandate(one, two)
    sqlite_parties.mandate(two, three)
    assert sqlite_parties.acting(first, three) is None


def test_both_sides_see_it_with_each_others_names(parties: Parties) -> None:
    own, other = parties.office.subject_id, parties.office.newcomer()
    mandate = parties.mandate(own, other)
    keyring, now = parties.office.keyring, parties.office.clock()
    with parties.office.installation.data.read() as session:
        given, held = given_by(session, keyring, own, now), held_by(session, keyring, other, now)
    assert given == held
    assert (given[0].subject_name, given[0].representative_name) == ("김하늘", "이정숙")
    keyring.erase_subject(other, now)
    with parties.office.installation.data.read() as session:
        (left,) = given_by(session, keyring, own, now)
    assert (left.subject_name, left.representative_name) == ("김하늘", None)
    row = parties.row(mandate)
    assert parties.events(row.handle) == parties.events(row.notice_handle)
    assert parties.detail(own, row.handle)["subject"] == own


@pytest.mark.parametrize(("by_subject", "reason"), [(True, "by_subject"), (False, "by_representative")])
def test_either_side_ends_it_and_open_requests_die(
    parties: Parties,
    *,
    by_subject: bool,
    reason: str,
) -> None:
    office = parties.office
    own, other = office.subject_id, office.newcomer()
    mandate = parties.mandate(own, other)
    asked = office.request(signed_by=other)
    given = office.request(signed_by=other)
    office.give(given)
    by_hand = office.request()
    with pytest.raises(NotFoundError):
        parties.end(mandate, office.newcomer())
    with pytest.raises(NotFoundError):
        parties.end(random_id(), own)
    for _ in range(2):
        parties.end(mandate, own if by_subject else other)
    assert parties.row(mandate).end_reason == reason
    assert parties.acting(mandate, other) is None
    dead = office.consent(asked)
    assert (dead.state, dead.state_reason) == (ConsentState.EXPIRED, StateReason.MANDATE_ENDED)
    assert office.consent(given).state == ConsentState.GIVEN
    assert office.consent(by_hand).state == ConsentState.REQUESTED
    with pytest.raises(NotFoundError):
        parties.accept(mandate, other)


def test_an_offer_is_declined(sqlite_parties: Parties) -> None:
    own, other = sqlite_parties.office.subject_id, sqlite_parties.office.newcomer()
    offered = sqlite_parties.offer(own, other)
    assert isinstance(offered, str)
    sqlite_parties.end(offered, other)
    assert sqlite_parties.row(offered).end_reason == RepresentationEnd.DECLINED


def test_the_staff_ends_it_and_a_child_does_not(sqlite_parties: Parties) -> None:
    office = sqlite_parties.office
    child, guardian = office.newcomer(), office.subject_id
    registered = sqlite_parties.guardian(child, guardian)
    assert isinstance(registered, str)
    with pytest.raises(NotFoundError):
        sqlite_parties.end(registered, child)
    for _ in range(2):
        with office.work() as work:
            end_by_staff(work, office.keyring, registered, STAFF, office.clock())
    row = sqlite_parties.row(registered)
    assert row.end_reason == RepresentationEnd.BY_STAFF
    assert sqlite_parties.detail(child, row.handle)["by"] == "jimin"
    assert "by" not in sqlite_parties.detail(guardian, row.notice_handle)
    with pytest.raises(NotFoundError), office.work() as work:
        end_by_staff(work, office.keyring, random_id(), STAFF, office.clock())


def test_time_ends_it_for_everybody_who_reads_and_the_job_puts_it_on_record(parties: Parties) -> None:
    office = parties.office
    own, other = office.subject_id, office.newcomer()
    mandate = parties.mandate(own, other)
    asked = office.request(signed_by=other)
    offered = parties.offer(own, other)
    assert isinstance(offered, str)
    office.clock.advance(timedelta(days=30))
    with office.installation.data.read() as session:
        views = given_by(session, office.keyring, own, office.clock())
    assert {view.state for view in views} == {RepresentationState.ENDED}
    assert parties.lapse_all() == [True, True]
    assert parties.lapse_all() == []
    with office.work() as work:
        assert not lapse(work, office.keyring, mandate, office.clock())
    with pytest.raises(NotFoundError), office.work() as work:
        lapse(work, office.keyring, random_id(), office.clock())
    assert parties.row(mandate).end_reason == RepresentationEnd.EXPIRED
    assert office.consent(asked).state == ConsentState.EXPIRED
    assert office.event_types(asked)[-1] == EventType.CONSENT_EXPIRED


# Signing


def test_a_representative_signs_within_the_mandate_only(parties: Parties) -> None:
    office = parties.office
    own, other, stranger = office.subject_id, office.newcomer(), office.newcomer()
    for scope in (Scope(frozenset({Action.SEE})), Scope(frozenset(Action), frozenset({"another.purpose"}))):
        mandate = parties.mandate(own, other, scope)
        with pytest.raises(SignerRefusedError) as refused:
            office.give(office.request(signed_by=other))
        assert refused.value.reason == RefusalReason.AGENT_UNVERIFIED
        parties.end(mandate, own)
    parties.mandate(own, other, Scope(frozenset({Action.CONSENT}), frozenset({PURPOSE})))
    grant_id = office.request(signed_by=other)
    with pytest.raises(SignerRefusedError):
        office.give(office.request(signed_by=stranger))
    office.give(grant_id)
    assert office.consent(grant_id).pause_at is None
    waiting = office.request(signed_by=other)
    office.clock.advance(timedelta(days=30))
    with office.installation.data.read() as session:
        reason = standing.signer_refused(session, office.consent(waiting), office.clock())
    assert reason is RefusalReason.AGENT_UNVERIFIED  # expired, and no job has run


def test_a_child_agrees_to_nothing_alone_and_a_guardian_for_it(parties: Parties) -> None:
    office = parties.office
    guardian = office.newcomer()
    registered = parties.guardian(office.subject_id, guardian)
    assert isinstance(registered, str)
    with pytest.raises(SignerRefusedError) as refused:
        office.give(office.request())
    assert refused.value.reason == RefusalReason.GUARDIAN_UNVERIFIED
    grant_id = office.request(signed_by=guardian)
    office.give(grant_id)
    assert office.consent(grant_id).pause_at == birthday(date(2015, 3, 1), 14)
    asked = office.request(signed_by=guardian)
    parties.end(registered, guardian)
    with office.installation.data.read() as session:
        reason = standing.signer_refused(session, office.consent(asked), office.clock())
    assert reason is RefusalReason.GUARDIAN_UNVERIFIED


def test_what_a_representative_does_is_on_record_as_theirs(parties: Parties) -> None:
    office = parties.office
    own, other = office.subject_id, office.newcomer()
    mandate = parties.mandate(own, other)
    grant_id = office.request(signed_by=other)
    office.give(grant_id)
    with office.work() as work:
        acting = find_acting(work.session, mandate, other, office.clock(), is_held=True)
        assert acting is not None
        work.acting = acting.detail()
        lifecycle.withdraw(work, office.keyring, grant_id, own, office.clock())
    *_, given, withdrawn = office.timeline(grant_id)
    assert "acting" not in given.detail
    assert withdrawn.detail["acting"] == {
        "representation_id": mandate,
        "representative": other,
        "capacity": "mandate",
    }
