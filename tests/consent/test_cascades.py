"""What follows when a recipient or a source falls (consent/cascades.py; invariants 21, 22)."""

from functools import partial

import pytest

from consent import cascades
from consent.errors import NotFoundError, UnknownOrganisationError, WrongStateError
from consent.organisations import reinstate, remove, suspend
from consent.vocabulary import ConsentState, EventType, StateReason
from tests.consent.changes import agreed
from tests.consent.details import HOSPITAL, REGISTER
from tests.consent.office import RECIPIENT, Office, at_once, consent_in

ACTS = {"suspend": suspend, "reinstate": reinstate, "remove": remove}


def say(office: Office, act: str, organisation_id: str = RECIPIENT) -> None:
    with office.work() as work:
        ACTS[act](work.session, organisation_id)


def follow(office: Office) -> int:
    with office.installation.data.read() as session:
        grant_ids = cascades.out_of_step(session, office.clock())
    for grant_id in grant_ids:
        with office.work() as work:
            cascades.follow_recipient(work, office.keyring, grant_id, office.clock())
    return len(grant_ids)


def state(office: Office, grant_id: str) -> tuple[str, str | None]:
    consent = office.consent(grant_id)
    return consent.state, consent.state_reason


def unlink(office: Office, link_id: str, subject_id: str | None = None) -> list[str]:
    with office.work() as work:
        return cascades.unlink_source(
            work, office.keyring, link_id, subject_id or office.subject_id, office.clock()
        )


@pytest.mark.parametrize("act", list(ACTS))
def test_an_unknown_recipient_has_no_status(sqlite_office: Office, act: str) -> None:
    with pytest.raises(UnknownOrganisationError):
        say(sqlite_office, act, "nobody")


@pytest.mark.parametrize("act", ["suspend", "reinstate", "remove"])
def test_what_was_removed_stays_removed(sqlite_office: Office, act: str) -> None:
    say(sqlite_office, "remove")
    with pytest.raises(UnknownOrganisationError):
        say(sqlite_office, act)


def test_a_suspension_pauses_and_its_end_resumes_only_what_it_paused(office: Office) -> None:
    given, own_pause = agreed(office).grant_id, agreed(office).grant_id
    office.pause(own_pause)
    ended = consent_in(office, ConsentState.WITHDRAWN)
    say(office, "suspend")
    assert [follow(office), follow(office)] == [1, 0]
    assert state(office, given) == (ConsentState.PAUSED, StateReason.RECIPIENT_SUSPENDED)
    assert state(office, own_pause) == (ConsentState.PAUSED, StateReason.BY_SUBJECT)
    say(office, "reinstate")
    assert [follow(office), follow(office)] == [1, 0]
    assert state(office, given) == (ConsentState.GIVEN, None)
    assert state(office, own_pause) == (ConsentState.PAUSED, StateReason.BY_SUBJECT)
    assert state(office, ended)[0] == ConsentState.WITHDRAWN


def test_the_persons_own_pause_outlives_a_suspension(
    office: Office,
) -> None:
    grant_id = agreed(office).grant_id
    say(office, "suspend")
    follow(office)
    with pytest.raises(WrongStateError):
        office.resume(grant_id)
    office.pause(grant_id)  # now they want it themselves
    say(office, "reinstate")
    assert follow(office) == 0
    assert state(office, grant_id) == (ConsentState.PAUSED, StateReason.BY_SUBJECT)


def test_a_removal_ends_everything_for_good(office: Office) -> None:
    living = [agreed(office).grant_id, consent_in(office, ConsentState.PAUSED)]
    ended = consent_in(office, ConsentState.WITHDRAWN)
    say(office, "remove")
    assert [follow(office), follow(office)] == [2, 0]
    for grant_id in living:
        assert state(office, grant_id) == (ConsentState.INVALIDATED, StateReason.RECIPIENT_REMOVED)
        assert office.shares(grant_id) == set()
    assert state(office, ended)[0] == ConsentState.WITHDRAWN


def test_what_is_over_is_left_to_its_expiry(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    say(sqlite_office, "suspend")
    sqlite_office.clock.now = given.terms.access.valid_until
    assert follow(sqlite_office) == 0
    with sqlite_office.work() as work:  # found a moment before
        cascades.follow_recipient(work, sqlite_office.keyring, given.grant_id, sqlite_office.clock())
    assert state(sqlite_office, given.grant_id) == (ConsentState.GIVEN, None)


def test_what_has_changed_since_it_was_found_is_left_alone(sqlite_office: Office) -> None:
    given, paused = agreed(sqlite_office), agreed(sqlite_office)
    sqlite_office.pause(paused.grant_id)
    ended = consent_in(sqlite_office, ConsentState.WITHDRAWN)
    size = sqlite_office.log_size()
    for grant_id in (given.grant_id, paused.grant_id, ended):
        with sqlite_office.work() as work:
            cascades.follow_recipient(work, sqlite_office.keyring, grant_id, sqlite_office.clock())
    say(sqlite_office, "suspend")
    with sqlite_office.work() as work:
        cascades.follow_recipient(work, sqlite_office.keyring, paused.grant_id, sqlite_office.clock())
    assert sqlite_office.log_size() == size


# Sources


def test_a_foreign_link_is_as_unknown(sqlite_office: Office) -> None:
    link_id = sqlite_office.link()
    for name, subject_id in ((link_id, sqlite_office.newcomer()), ("unknown", None)):
        with pytest.raises(NotFoundError):
            unlink(sqlite_office, name, subject_id)


def test_a_consent_whose_last_source_falls_is_invalid(office: Office) -> None:
    link_id = office.link()
    given = office.agree()
    assert unlink(office, link_id) == [given.grant_id]
    assert state(office, given.grant_id) == (ConsentState.INVALIDATED, StateReason.SOURCE_UNLINKED)
    assert office.shares(given.grant_id) == set()
    assert unlink(office, link_id) == []


def test_one_source_of_two_is_enough(office: Office) -> None:
    first = office.link()
    second = office.link(REGISTER, "R-1")
    given = office.agree()
    assert unlink(office, first) == []
    assert state(office, given.grant_id) == (ConsentState.GIVEN, None)
    assert unlink(office, second) == [given.grant_id]


def test_a_consent_of_other_holders_is_not_touched(sqlite_office: Office) -> None:
    link_id = sqlite_office.link(REGISTER, "R-1")
    elsewhere = agreed(sqlite_office, {"holders": [HOSPITAL]})
    ended = consent_in(sqlite_office, ConsentState.WITHDRAWN)
    assert unlink(sqlite_office, link_id) == []
    assert state(sqlite_office, elsewhere.grant_id) == (ConsentState.GIVEN, None)
    assert state(sqlite_office, ended)[0] == ConsentState.WITHDRAWN


def test_unlinking_and_stopping_at_once_is_one_end(office: Office) -> None:
    link_id = office.link()
    given = office.agree()
    outcomes = at_once(partial(unlink, office, link_id), partial(office.withdraw, given.grant_id))
    assert outcomes[0] == "done"
    ends = [
        event
        for event in office.event_types(given.grant_id)
        if event in {EventType.CONSENT_WITHDRAWN, EventType.CONSENT_INVALIDATED}
    ]
    assert len(ends) == 1
