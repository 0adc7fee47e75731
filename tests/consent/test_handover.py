"""Children come of age: what a guardian agreed to waits for them (feature row 15; invariant 20)."""

from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from consent import changing, lifecycle
from consent.adjusting import renew
from consent.cascades import follow_recipient
from consent.errors import SignerRefusedError, WrongStateError
from consent.granting import current_version
from consent.models import Representation
from consent.party_ends import due_handovers, hand_over
from consent.party_records import Refused, name_of, refuse_acting
from consent.people_vocabulary import RepresentationEnd, RepresentationState
from consent.reading import consent_of
from consent.standing import birthday, is_standing
from consent.versions import open_terms
from consent.vocabulary import ConsentState, EventType, RefusalReason, StateReason
from tests.consent.changes import sign_with
from tests.consent.office import Office
from tests.consent.representing import Parties

BORN_ON = date(2012, 12, 11)  # turns 14 while the consents of these tests run
HANDOVER = birthday(BORN_ON, 14)


@pytest.fixture
def parties(office: Office) -> Parties:
    return Parties(office)


@pytest.fixture
def sqlite_parties(sqlite_office: Office) -> Parties:
    return Parties(sqlite_office)


def given_by_guardian(parties: Parties) -> tuple[str, str]:
    """A consent that a guardian gave, and the guardian."""
    guardian = parties.office.newcomer()
    assert isinstance(parties.guardian(parties.office.subject_id, guardian, born_on=BORN_ON), str)
    grant_id = parties.office.request(signed_by=guardian)
    parties.office.give(grant_id)
    return grant_id, guardian


def hand_over_due(office: Office) -> list[bool]:
    with office.installation.data.read() as session:
        found = due_handovers(session, office.clock())
    done = []
    for grant_id in found:
        with office.work() as work:
            done.append(hand_over(work, office.keyring, grant_id, office.clock()))
    return done


def state_shown(office: Office, grant_id: str) -> ConsentState:
    with office.installation.data.read() as session:
        return consent_of(session, office.keyring, office.subject_id, grant_id, office.clock()).state


def test_it_waits_from_the_very_instant_and_goes_on_when_the_young_person_says_so(parties: Parties) -> None:
    office = parties.office
    grant_id, _ = given_by_guardian(parties)
    office.clock.now = HANDOVER - timedelta(microseconds=1)
    assert hand_over_due(office) == []
    assert state_shown(office, grant_id) == ConsentState.GIVEN
    office.clock.now = HANDOVER
    assert state_shown(office, grant_id) == ConsentState.PAUSED  # and no job has run
    assert parties.lapse_all() == [True]
    assert hand_over_due(office) == [True]
    assert hand_over_due(office) == []
    consent = office.consent(grant_id)
    assert (consent.state, consent.state_reason) == (ConsentState.PAUSED, StateReason.HANDOVER)
    office.resume(grant_id)
    assert state_shown(office, grant_id) == ConsentState.GIVEN
    assert office.event_types(grant_id)[-2:] == [EventType.CONSENT_PAUSED, EventType.CONSENT_RESUMED]


def test_the_guardians_open_requests_die_with_the_hand_over(sqlite_parties: Parties) -> None:
    office = sqlite_parties.office
    _, guardian = given_by_guardian(sqlite_parties)
    asked = office.request(signed_by=guardian)
    office.clock.now = HANDOVER
    assert sqlite_parties.lapse_all() == [True]
    assert office.consent(asked).state_reason == StateReason.MANDATE_ENDED
    with office.installation.data.read() as session:
        (row,) = session.exec(select(Representation)).all()
    assert row.end_reason == RepresentationEnd.HANDOVER
    assert not is_standing(row, HANDOVER)


def test_what_was_paused_already_waits_for_the_young_person_too(sqlite_parties: Parties) -> None:
    office = sqlite_parties.office
    grant_id, _ = given_by_guardian(sqlite_parties)
    office.pause(grant_id)
    office.clock.now = HANDOVER
    assert hand_over_due(office) == [True]
    assert office.consent(grant_id).state_reason == StateReason.HANDOVER


def test_a_recipient_that_comes_back_does_not_skip_the_young_person(sqlite_parties: Parties) -> None:
    office = sqlite_parties.office
    grant_id, _ = given_by_guardian(sqlite_parties)
    with office.work() as work:
        consent = lifecycle.lock(work, grant_id)
        lifecycle.pause_locked(work, office.keyring, consent, StateReason.RECIPIENT_SUSPENDED, office.clock())
    office.clock.now = HANDOVER
    assert hand_over_due(office) == [True]
    with office.work() as work:
        follow_recipient(work, office.keyring, grant_id, office.clock())
    assert office.consent(grant_id).state_reason == StateReason.HANDOVER


def test_what_waits_for_a_new_text_keeps_waiting_for_it(sqlite_parties: Parties) -> None:
    office = sqlite_parties.office
    grant_id, _ = given_by_guardian(sqlite_parties)
    with office.work() as work:
        consent = lifecycle.lock(work, grant_id)
        lifecycle.pause_locked(work, office.keyring, consent, StateReason.RECONSENT, office.clock())
    office.clock.now = HANDOVER
    assert hand_over_due(office) == [False]
    consent = office.consent(grant_id)
    assert (consent.state_reason, consent.pause_at) == (StateReason.RECONSENT, None)


def test_nothing_to_hand_over(sqlite_parties: Parties) -> None:
    office = sqlite_parties.office
    grant_id, _ = given_by_guardian(sqlite_parties)
    until = office.consent(grant_id).valid_until
    for now in (HANDOVER - timedelta(seconds=1), until):
        with office.work() as work:
            assert not hand_over(work, office.keyring, grant_id, now)
    office.withdraw(grant_id)
    with office.work() as work:
        assert not hand_over(work, office.keyring, grant_id, HANDOVER)


def test_a_representative_renews_nothing_and_the_young_person_does(sqlite_parties: Parties) -> None:
    office = sqlite_parties.office
    grant_id, guardian = given_by_guardian(sqlite_parties)
    for acting in ({"representative": guardian}, None):
        with pytest.raises(WrongStateError):
            renew_as(office, grant_id, acting)
    office.clock.now = HANDOVER
    assert hand_over_due(office) == [True]
    office.resume(grant_id)
    with pytest.raises(WrongStateError):
        renew_as(office, grant_id, {"representative": guardian})
    renew_as(office, grant_id, None)
    assert office.event_types(grant_id)[-1] == EventType.CONSENT_RENEWED


def renew_as(office: Office, grant_id: str, acting: Mapping[str, str] | None) -> None:
    with office.work() as work:
        work.acting = acting
        renew(
            work,
            office.keyring,
            grant_id,
            office.subject_id,
            purpose=office.purpose,
            catalogue=office.installation.catalogue,
            sign_receipt=office.sign_receipt,
            now=office.clock(),
        )


def test_a_name_that_nobody_gave(sqlite_parties: Parties) -> None:
    own, other = sqlite_parties.office.subject_id, sqlite_parties.office.newcomer()
    nameless = sqlite_parties.row(sqlite_parties.mandate(own, other))
    nameless.subject_name_sealed = None
    assert name_of(sqlite_parties.office.keyring, nameless, "subject") is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["mandate", "end"]), st.integers(0, 3), st.integers(0, 3)),
    max_size=12,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_order_of_mandates_ever_makes_a_circle(
    sqlite_parties: Parties,
    steps: list[tuple[str, int, int]],
) -> None:
    people = [sqlite_parties.office.newcomer() for _ in range(4)]
    standing: dict[tuple[int, int], str] = {}
    for step, giver, taker in steps:
        if step == "end":
            if found := standing.pop((giver, taker), None):
                sqlite_parties.end(found, people[giver])
            continue
        offered = sqlite_parties.offer(people[giver], people[taker])
        is_refused = isinstance(offered, Refused) or sqlite_parties.accept(offered, people[taker]) is not None
        is_allowed = giver != taker and (giver, taker) not in standing and not reaches(standing, taker, giver)
        assert is_refused is not is_allowed
        if not isinstance(offered, Refused) and not is_refused:
            standing[giver, taker] = offered
    for (giver, taker), found in standing.items():
        for who in range(4):
            acting = sqlite_parties.acting(found, people[who])
            assert (acting is not None) is (who == taker)
            assert acting is None or acting.subject_id == people[giver]


def reaches(edges: dict[tuple[int, int], str], start: int, goal: int) -> bool:
    """Whether `goal` represents `start`, perhaps by way of others."""
    found: set[int] = set()
    reached = {start}
    while reached:
        found |= reached
        reached = {taker for giver, taker in edges if giver in reached} - found
    return goal in found


def test_who_may_not_act_any_more_is_refused_on_the_persons_record_only(parties: Parties) -> None:
    office = parties.office
    own, other = office.subject_id, office.newcomer()
    mandate = parties.mandate(own, other)
    with office.work() as work:
        refused = refuse_acting(work, office.keyring, mandate, other, "over", office.clock())
        foreign = refuse_acting(work, office.keyring, mandate, office.subject_id, "over", office.clock())
        unknown = refuse_acting(work, office.keyring, "unknown", other, "over", office.clock())
    assert refused == Refused(RefusalReason.AGENT_UNVERIFIED, "over")
    assert foreign is None
    assert unknown is None
    assert parties.refusals(own) == [("AGENT_UNVERIFIED", "over")]
    assert parties.detail(own, parties.row(mandate).handle)["representative"] == other


def test_a_child_does_not_change_alone_what_a_guardian_agreed_to(sqlite_parties: Parties) -> None:
    office = sqlite_parties.office
    grant_id, _ = given_by_guardian(sqlite_parties)
    now, subject_id = office.clock(), office.subject_id
    with office.work() as work:
        consent = lifecycle.lock(work, grant_id)
        terms = open_terms(office.keyring, subject_id, current_version(work, consent))
        retention = terms.retention.model_copy(update={"period": "P9D"})
        change_id = changing.propose(
            work,
            office.keyring,
            grant_id,
            subject_id=subject_id,
            client_id=consent.client_id,
            terms=terms.model_copy(update={"retention": retention}),
            expires_at=now + timedelta(hours=1),
            now=now,
        )
    granted = frozenset(item.record_type for item in terms.items)
    digest = office.purpose.notice_digest("ko")
    signature = changing.ChangeSignature(change_id, subject_id, granted, digest, "ko")
    with pytest.raises(SignerRefusedError):
        sign_with(office, signature)
    assert office.consent(grant_id).version_number == 1


def test_a_mandate_begins_and_signs_nothing_for_who_is_known_to_be_a_child_by_now(parties: Parties) -> None:
    office = parties.office
    child, friend, guardian, late = office.subject_id, office.newcomer(), office.newcomer(), office.newcomer()
    parties.mandate(child, friend)
    offered = parties.offer(child, late)
    assert isinstance(offered, str)
    assert isinstance(parties.guardian(child, guardian), str)
    assert parties.accept(offered, late) is not None
    assert parties.refusals(child)[-1] == (RefusalReason.AGENT_UNVERIFIED, "child")
    assert parties.row(offered).state == RepresentationState.ENDED
    with pytest.raises(SignerRefusedError) as raised:
        office.give(office.request(signed_by=friend))
    assert raised.value.args == (RefusalReason.GUARDIAN_UNVERIFIED,)
    grant_id = office.request(signed_by=guardian)
    office.give(grant_id)
    assert office.consent(grant_id).state == ConsentState.GIVEN
