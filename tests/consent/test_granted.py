"""A grant in its client's eyes: reading it, and giving it up (consent/granted.py)."""

from datetime import timedelta
from functools import partial

import pytest

from consent.errors import NotFoundError
from consent.granted import Granted, give_up, granted_to
from consent.lifecycle import lock, pause_locked
from consent.vocabulary import ConsentState, DueCause, EventType, StateReason, VersionKind
from tests.consent.changes import agreed, narrow_down, periodic
from tests.consent.details import BILL, POLICY
from tests.consent.keeping import Keeper
from tests.consent.office import CLIENT, Office, at_once, consent_in
from tests.consent.telling import notifications, tell

NOT_LIVING = [state for state in ConsentState if state not in {ConsentState.GIVEN, ConsentState.PAUSED}]


def query(office: Office, grant_id: str, client_id: str = CLIENT) -> Granted:
    with office.installation.data.read() as session:
        return granted_to(session, office.keyring, grant_id, client_id, office.clock())


def give_up_as(office: Office, grant_id: str, client_id: str = CLIENT) -> None:
    with office.work() as work:
        give_up(work, office.keyring, grant_id, client_id, office.clock())


def is_nothing(office: Office, grant_id: str, client_id: str = CLIENT) -> bool:
    """Whether the client can neither read nor end it, and nothing of the try goes on record."""
    before = office.log_size()
    with pytest.raises(NotFoundError):
        query(office, grant_id, client_id)
    with pytest.raises(NotFoundError):
        give_up_as(office, grant_id, client_id)
    return office.log_size() == before


@pytest.mark.parametrize("grant_id", ["unknown", "", "끝", "a\x00b"])
def test_an_unknown_grant_is_none(office: Office, grant_id: str) -> None:
    assert is_nothing(office, grant_id)


def test_another_clients_grant_is_none(sqlite_office: Office) -> None:
    assert is_nothing(sqlite_office, agreed(sqlite_office).grant_id, "another")


@pytest.mark.parametrize("state", NOT_LIVING)
def test_what_does_not_live_is_none(sqlite_office: Office, state: ConsentState) -> None:
    assert is_nothing(sqlite_office, consent_in(sqlite_office, state))


def test_it_is_none_from_the_end_of_its_window_on(sqlite_office: Office) -> None:
    grant_id = agreed(sqlite_office).grant_id
    sqlite_office.clock.now = sqlite_office.consent(grant_id).valid_until
    assert is_nothing(sqlite_office, grant_id)


def test_the_client_reads_what_was_granted_and_not_what_was_asked(office: Office) -> None:
    begun = office.clock()
    given = office.agree(periodic(), granted=(BILL,))
    granted = query(office, given.grant_id)
    assert granted == Granted(
        given.grant_id, given.terms, VersionKind.GRANT, begun, begun, given.terms.access.valid_until
    )
    assert [item.record_type for item in granted.terms.items] == [BILL]


def test_the_client_reads_the_version_that_stands(sqlite_office: Office) -> None:
    office = sqlite_office
    grant_id, begun = agreed(office).grant_id, office.clock()
    office.clock.advance(timedelta(hours=1))
    narrow_down(office, grant_id)
    granted = query(office, grant_id)
    assert granted.terms.item(POLICY) is None
    assert (granted.kind, granted.created_at, granted.updated_at) == (
        VersionKind.NARROWING,
        begun,
        office.clock(),
    )


@pytest.mark.parametrize("is_paused", [False, True])
def test_giving_up_ends_it_on_record_and_its_shares_are_gone(office: Office, *, is_paused: bool) -> None:
    grant_id = agreed(office).grant_id
    if is_paused:
        with office.work() as work:
            pause_locked(work, office.keyring, lock(work, grant_id), StateReason.BY_SUBJECT, office.clock())
        assert query(office, grant_id).grant_id == grant_id
    give_up_as(office, grant_id)
    consent = office.consent(grant_id)
    assert (consent.state, consent.state_reason) == (ConsentState.REVOKED, StateReason.BY_RECIPIENT)
    assert consent.ended_at == office.clock()
    assert office.event_types(grant_id)[-1] == EventType.CONSENT_REVOKED
    assert office.shares(grant_id) == set()
    assert is_nothing(office, grant_id)


def test_what_was_stored_must_be_deleted_and_the_person_is_told(sqlite_office: Office) -> None:
    keeper = Keeper(sqlite_office)
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    give_up_as(sqlite_office, grant_id)
    assert keeper.view(grant_id).cause is DueCause.REVOKED
    assert keeper.events(grant_id) == [(EventType.OBLIGATION_DUE, DueCause.REVOKED)]
    assert "tell_ended" in keeper.duties(grant_id)
    tell(sqlite_office)
    (told,) = notifications(sqlite_office, EventType.CONSENT_REVOKED)
    assert (told.subject_id, told.grant_id) == (sqlite_office.subject_id, grant_id)


def test_of_many_that_give_up_at_once_one_does(office: Office) -> None:
    grant_id = agreed(office).grant_id
    results = at_once(*[partial(give_up_as, office, grant_id)] * 4)
    assert sorted(results) == ["NotFoundError"] * 3 + ["done"]
    assert office.event_types(grant_id).count(EventType.CONSENT_REVOKED) == 1


def test_giving_up_and_stopping_at_once_is_one_end(office: Office) -> None:
    grant_id = agreed(office).grant_id
    at_once(partial(give_up_as, office, grant_id), partial(office.withdraw, grant_id))
    ends = {EventType.CONSENT_REVOKED, EventType.CONSENT_WITHDRAWN}
    assert len(ends & set(office.event_types(grant_id))) == 1
