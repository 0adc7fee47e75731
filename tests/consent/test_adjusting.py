"""Narrowing, renewing, agreeing again (consent/adjusting.py; invariant 17)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from sqlmodel import select

from broker.installation import load_purposes
from consent.adjusting import renewed_terms
from consent.errors import (
    InvalidTermsError,
    NotFoundError,
    NothingToChangeError,
    NoticeChangedError,
    RequiredItemMissingError,
    WrongStateError,
)
from consent.lifecycle import lock, pause_locked
from consent.models import ConsentVersion, Duty
from consent.outbox import DutyKind
from consent.purposes import Purpose
from consent.superseding import places_taken
from consent.vocabulary import ConsentState, EventType, StateReason, VersionKind
from tests.consent.changes import agreed, narrow_down, periodic, reconsent, renew, revised
from tests.consent.details import BILL, POLICY, PURPOSE
from tests.consent.office import Office


def pause_for(office: Office, grant_id: str, reason: StateReason) -> None:
    with office.work() as work:
        pause_locked(work, office.keyring, lock(work, grant_id), reason, office.clock())


def kind_of(office: Office, version_id: str) -> str:
    with office.installation.data.read() as session:
        return session.get_one(ConsentVersion, version_id).kind


# Narrowing


def test_nothing_can_be_added_by_narrowing(sqlite_office: Office) -> None:
    given = sqlite_office.agree(periodic(), granted=[BILL])
    for kept in (frozenset({BILL, POLICY}), frozenset({BILL})):
        with pytest.raises(NothingToChangeError):
            narrow_down(sqlite_office, given.grant_id, kept)
    later = given.terms.access.valid_until + timedelta(days=1)
    with pytest.raises(NothingToChangeError):
        narrow_down(sqlite_office, given.grant_id, valid_until=later)


def test_what_is_needed_cannot_be_taken_away(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    with pytest.raises(RequiredItemMissingError):
        narrow_down(sqlite_office, given.grant_id, frozenset({POLICY}))


def test_an_end_that_is_over_is_no_end(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    with pytest.raises(InvalidTermsError):
        narrow_down(sqlite_office, given.grant_id, valid_until=sqlite_office.clock())


def test_somebody_elses_consent_is_as_unknown(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    with pytest.raises(NotFoundError):
        narrow_down(sqlite_office, given.grant_id, subject_id=sqlite_office.newcomer())


def test_an_item_less_makes_a_version_that_opens_less(office: Office) -> None:
    given = agreed(office)
    before = office.shares(given.grant_id)
    changed = narrow_down(office, given.grant_id)
    assert [item.record_type for item in changed.terms.items] == [BILL]
    shares = office.shares(given.grant_id)
    assert {version for version, _ in shares} == {changed.version_id}
    assert {place for _, place in shares} < {place for _, place in before}
    assert office.event_types(given.grant_id)[-1] == EventType.CONSENT_NARROWED
    assert kind_of(office, changed.version_id) == VersionKind.NARROWING


def test_an_earlier_end_holds_at_once(office: Office) -> None:
    given = agreed(office)
    sooner = given.terms.access.valid_until - timedelta(days=10)
    narrow_down(office, given.grant_id, frozenset({BILL, POLICY}), valid_until=sooner)
    assert office.consent(given.grant_id).valid_until == sooner


def test_a_pause_stays_a_pause(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    sqlite_office.pause(given.grant_id)
    narrow_down(sqlite_office, given.grant_id)
    consent = sqlite_office.consent(given.grant_id)
    assert (consent.state, consent.state_reason) == (ConsentState.PAUSED, StateReason.BY_SUBJECT)


def test_what_was_pulled_counts_on(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    sqlite_office.deliver(given.grant_id, 1)
    sqlite_office.deliver(given.grant_id, 2)
    changed = narrow_down(sqlite_office, given.grant_id)
    assert changed.terms.access.max_pulls == sqlite_office.consent(given.grant_id).max_pulls == 5
    with sqlite_office.work() as work:
        assert places_taken(work, lock(work, given.grant_id)) == 2


def test_with_no_place_left_there_is_nothing_to_narrow(sqlite_office: Office) -> None:
    given = agreed(sqlite_office, {"access.max_pulls": 1})
    sqlite_office.deliver(given.grant_id)
    with pytest.raises(WrongStateError):
        narrow_down(sqlite_office, given.grant_id)


def test_a_text_that_must_be_read_first_is_not_gone_around(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    pause_for(sqlite_office, given.grant_id, StateReason.RECONSENT)
    with pytest.raises(WrongStateError):
        narrow_down(sqlite_office, given.grant_id)


# Renewing


def test_a_representative_does_not_renew(sqlite_office: Office) -> None:
    grant_id = agreed(sqlite_office).grant_id
    with sqlite_office.work() as work:
        lock(work, grant_id).signed_by = sqlite_office.subject_id
    sqlite_office.clock.advance(timedelta(days=1))
    with pytest.raises(WrongStateError):
        renew(sqlite_office, grant_id)


@pytest.mark.parametrize("reason", [StateReason.RECONSENT, StateReason.RECIPIENT_SUSPENDED])
def test_what_others_paused_is_not_renewed(sqlite_office: Office, reason: StateReason) -> None:
    given = agreed(sqlite_office)
    pause_for(sqlite_office, given.grant_id, reason)
    with pytest.raises(WrongStateError):
        renew(sqlite_office, given.grant_id)


def test_a_revised_text_is_read_before_renewing(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    sqlite_office.clock.advance(timedelta(days=1))
    with pytest.raises(NoticeChangedError):
        renew(sqlite_office, given.grant_id, revised(sqlite_office.purpose))


def test_the_window_cannot_be_renewed_before_time_has_passed(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    with pytest.raises(NothingToChangeError):
        renew(sqlite_office, given.grant_id)


def test_what_has_expired_is_over(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    sqlite_office.clock.now = given.terms.access.valid_until
    with pytest.raises(WrongStateError):
        renew(sqlite_office, given.grant_id)


def test_renewing_is_the_same_for_longer(office: Office) -> None:
    given = agreed(office)
    office.pause(given.grant_id)
    office.clock.advance(timedelta(days=20))
    changed = renew(office, given.grant_id)
    consent = office.consent(given.grant_id)
    assert (consent.state, consent.valid_until) == (ConsentState.GIVEN, changed.terms.access.valid_until)
    assert consent.valid_until > given.terms.access.valid_until
    assert changed.terms.data_period.to > given.terms.data_period.to
    assert office.event_types(given.grant_id)[-1] == EventType.CONSENT_RENEWED
    assert kind_of(office, changed.version_id) == VersionKind.RENEWAL
    assert {version for version, _ in office.shares(given.grant_id)} == {changed.version_id}


def claim_purpose() -> Purpose:
    return load_purposes().get(PURPOSE)


@for_all(st.integers(min_value=1, max_value=400), st.integers(min_value=0, max_value=500), st.booleans())
def test_renewal_never_adds_anything_but_time_within_the_caps(length: int, later: int, reaches: bool) -> None:  # noqa: FBT001 - drawn
    begin = datetime(2026, 12, 1, tzinfo=UTC)
    end = begin + timedelta(days=length)
    to = end.date() if reaches else begin.date()
    terms = periodic(
        {
            "access.valid_from": begin.isoformat(),
            "access.valid_until": end.isoformat(),
            "data_period.to": to.isoformat(),
        }
    )
    purpose = claim_purpose()
    now = begin + timedelta(days=later)
    try:
        renewed = renewed_terms(terms, purpose, now)
    except NothingToChangeError:
        return
    caps = purpose.caps_of(terms.access.kind)
    assert caps is not None
    assert renewed.access.valid_until > terms.access.valid_until
    assert renewed.access.valid_until - now <= timedelta(days=caps.max_days)
    assert (renewed.items, renewed.holders, renewed.purpose) == (terms.items, terms.holders, terms.purpose)
    assert (renewed.retention, renewed.access.cycle) == (terms.retention, terms.access.cycle)
    assert renewed.access.max_pulls == terms.access.max_pulls
    earliest = now.date() - timedelta(days=caps.max_lookback_days)
    assert renewed.data_period.from_ in {terms.data_period.from_, earliest}
    assert renewed.data_period.from_ >= terms.data_period.from_
    assert (renewed.data_period.to > to) == (reaches and renewed.access.valid_until.date() > to)


def test_a_renewal_looks_back_no_further_than_the_purpose_allows() -> None:
    caps, now = claim_purpose().periodic_caps, datetime(2027, 1, 20, tzinfo=UTC)
    assert caps is not None
    renewed = renewed_terms(periodic(), claim_purpose(), now)
    assert renewed.data_period.from_ == now.date() - timedelta(days=caps.max_lookback_days)
    assert renewed.data_period.from_ > periodic().data_period.from_


def test_a_kind_of_access_that_the_purpose_has_given_up_is_not_renewed() -> None:
    purpose = claim_purpose().model_copy(update={"periodic_caps": None})
    with pytest.raises(NothingToChangeError):
        renewed_terms(periodic(), purpose, datetime(2026, 12, 20, tzinfo=UTC))


def test_what_is_used_up_is_not_renewed(sqlite_office: Office) -> None:
    given = agreed(sqlite_office, {"access.max_pulls": 1})
    sqlite_office.deliver(given.grant_id)
    sqlite_office.clock.advance(timedelta(days=1))
    with pytest.raises(WrongStateError):
        renew(sqlite_office, given.grant_id)


def test_a_renewal_has_places_of_its_own(office: Office) -> None:
    given = agreed(office, {"access.max_pulls": 2})
    office.deliver(given.grant_id)
    office.clock.advance(timedelta(days=1))
    renew(office, given.grant_id)
    assert office.consent(given.grant_id).places_since == 2
    with office.work() as work:
        assert places_taken(work, lock(work, given.grant_id)) == 0


def test_a_purpose_that_allows_less_by_now_is_not_gone_around(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    sqlite_office.clock.advance(timedelta(days=1))
    caps = sqlite_office.purpose.periodic_caps
    assert caps is not None
    tighter = sqlite_office.purpose.model_copy(
        update={"periodic_caps": caps.model_copy(update={"max_pulls": 1})}
    )
    with pytest.raises(NothingToChangeError):
        renew(sqlite_office, given.grant_id, tighter)


def test_a_text_that_was_revised_is_read_and_renewed_in_one_step(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    sqlite_office.clock.advance(timedelta(days=1))
    newer = revised(sqlite_office.purpose, is_material=False)
    renew(sqlite_office, given.grant_id, newer, read=newer)
    detail = sqlite_office.timeline(given.grant_id)[-1].detail
    assert detail["notice"] == newer.notice_digest("ko").hex()


def test_two_changes_in_a_row_leave_the_last_ones_shares(office: Office) -> None:
    given = agreed(office)
    narrow_down(office, given.grant_id)
    office.clock.advance(timedelta(days=1))
    changed = renew(office, given.grant_id)
    office.keyring.delete_shares_before(f"{given.grant_id}.2")  # a duty that comes late
    assert {version for version, _ in office.shares(given.grant_id)} == {changed.version_id}


def test_who_was_paused_and_goes_on_is_told_to_the_recipient(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    sqlite_office.pause(given.grant_id)
    sqlite_office.clock.advance(timedelta(days=1))
    renew(sqlite_office, given.grant_id)
    with sqlite_office.installation.data.read() as session:
        kinds = list(session.exec(select(Duty.kind).where(Duty.target == given.grant_id)))
    assert DutyKind.TELL_RESUMED in kinds


# Agreeing again


def test_only_what_waits_for_it_is_agreed_to_again(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    purpose = revised(sqlite_office.purpose)
    with pytest.raises(WrongStateError):
        reconsent(sqlite_office, given.grant_id, purpose)
    sqlite_office.pause(given.grant_id)
    with pytest.raises(WrongStateError):
        reconsent(sqlite_office, given.grant_id, purpose)


def test_agreeing_again_is_to_the_text_as_it_reads_now(office: Office) -> None:
    given = agreed(office)
    office.deliver(given.grant_id)
    pause_for(office, given.grant_id, StateReason.RECONSENT)
    purpose = revised(office.purpose)
    with pytest.raises(NoticeChangedError):
        reconsent(office, given.grant_id, purpose, office.purpose.notice_digest("ko"))
    changed = reconsent(office, given.grant_id, purpose)
    consent = office.consent(given.grant_id)
    assert (consent.state, consent.state_reason, consent.places_since) == (ConsentState.GIVEN, None, 1)
    with office.work() as work:
        assert places_taken(work, lock(work, given.grant_id)) == 1
    assert changed.terms.items == given.terms.items
    assert office.timeline(given.grant_id)[-1].detail["notice"] == purpose.notice_digest("ko").hex()


def test_time_does_not_wait_for_the_reading(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    pause_for(sqlite_office, given.grant_id, StateReason.RECONSENT)
    sqlite_office.clock.now = given.terms.access.valid_until
    with pytest.raises(WrongStateError):
        reconsent(sqlite_office, given.grant_id, revised(sqlite_office.purpose))
