"""Keys that follow one another: published before they sign, and published still afterwards; one turn each."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select, update

from tests.databases import Databases
from tests.vault.keys.test_keyring_races import race
from vault.errors import KeyringLockedError, TamperedError
from vault.keys.keyring import Keyring
from vault.keys.local import LocalProvider
from vault.keys.models import ServiceKeyRow
from vault.keys.rotation import Schedule, Turn
from vault.keys.service_keys import KeyState

DAY = timedelta(days=1)
SCHEDULE = Schedule(signs_for=90 * DAY, publish_before=7 * DAY, keep_previous=30 * DAY)
NEVER = Schedule(signs_for=None, publish_before=7 * DAY, keep_previous=30 * DAY)
NAME = "oauth"


def states(keyring: Keyring, name: str = NAME) -> list[str]:
    return [key.state for key in keyring.service_keys(name)]


def said(turns: list[Turn]) -> list[str]:
    return [str(turn.state) for turn in turns]


def test_a_locked_keyring_turns_nothing(databases: Databases, provider: LocalProvider) -> None:
    with pytest.raises(KeyringLockedError):
        Keyring(databases.keyring, provider).rotation.turn  # noqa: B018 - asking for it is what is refused


def test_the_first_key_of_a_name_is_never_made_by_turning(keyring: Keyring, now: datetime) -> None:
    keyring.ensure_service_key("receipt", "ES256", now)
    rotation = keyring.rotation
    assert rotation.turn(NAME, SCHEDULE, now) == []
    assert rotation.publish_next(NAME, signs_from=now, now=now) == []
    assert rotation.switch(NAME, "any", signs_from=now, keeps_previous=True, now=now) == []
    assert keyring.service_keys(NAME) == []


def test_a_next_key_without_a_current_one_does_not_begin_to_sign(
    keyring: Keyring, databases: Databases, now: datetime
) -> None:
    keyring.ensure_service_key(NAME, "ES256", now)
    keyring.rotation.publish_next(NAME, signs_from=now + DAY, now=now)
    with databases.keyring.write() as session:
        session.execute(delete(ServiceKeyRow).where(col(ServiceKeyRow.state) == KeyState.CURRENT))
    assert keyring.rotation.turn(NAME, SCHEDULE, now + 2 * DAY) == []
    assert states(keyring) == ["next"]


def test_a_name_never_has_two_current_or_two_next_keys(
    keyring: Keyring, databases: Databases, now: datetime
) -> None:
    keyring.ensure_service_key(NAME, "ES256", now)
    keyring.rotation.publish_next(NAME, signs_from=now + DAY, now=now)
    for state in (KeyState.CURRENT, KeyState.NEXT):
        with pytest.raises(IntegrityError), databases.keyring.write() as session:
            session.execute(update(ServiceKeyRow).values(state=state))


def test_a_key_of_another_name_that_is_made_next_is_refused(
    keyring: Keyring, databases: Databases, now: datetime
) -> None:
    keyring.ensure_service_key(NAME, "ES256", now)
    keyring.ensure_service_key("receipt", "ES256", now)
    with databases.keyring.write() as session:
        moved = update(ServiceKeyRow).where(col(ServiceKeyRow.name) == "receipt")
        session.execute(moved.values(name=NAME, state=KeyState.NEXT))
    with pytest.raises(TamperedError):
        keyring.service_keys(NAME)


def test_by_the_schedule_a_key_is_published_then_signs_then_is_previous_then_retired(
    keyring: Keyring, now: datetime
) -> None:
    first = keyring.ensure_service_key(NAME, "ES256", now)
    tick = timedelta(microseconds=1)

    def turn(at: datetime) -> list[str]:
        return said(keyring.rotation.turn(NAME, SCHEDULE, at))

    assert turn(now + 83 * DAY - tick) == []
    assert turn(now + 83 * DAY) == ["next"]
    assert turn(now + 90 * DAY - tick) == []
    assert states(keyring) == ["current", "next"]
    assert keyring.service_keys(NAME)[0] == first
    following = keyring.service_keys(NAME)[1]
    assert (following.kind, following.name, following.signs_from) == ("ES256", NAME, now + 90 * DAY)

    assert turn(now + 90 * DAY) == ["current", "previous"]
    current, previous = keyring.service_keys(NAME)
    assert (current.kid, current.signs_from, current.signed_until) == (following.kid, now + 90 * DAY, None)
    assert (previous.kid, previous.signed_until) == (first.kid, now + 90 * DAY)

    assert turn(now + 120 * DAY - tick) == []
    assert turn(now + 120 * DAY) == ["retired"]
    assert states(keyring) == ["current", "retired"]
    assert turn(now + 120 * DAY) == []
    assert turn(now + 173 * DAY) == ["next"]


def test_a_key_is_published_for_the_whole_time_before_it_signs_however_late_it_is_made(
    keyring: Keyring, now: datetime
) -> None:
    keyring.ensure_service_key(NAME, "ES256", now)
    late = now + 400 * DAY
    (made,) = keyring.rotation.turn(NAME, SCHEDULE, late)
    assert (made.state, made.signs_from) == (KeyState.NEXT, late + SCHEDULE.publish_before)
    assert keyring.rotation.turn(NAME, SCHEDULE, late + SCHEDULE.publish_before - DAY) == []
    # Nobody worked for a year: what is due happens, one thing after the other.
    much_later = late + 365 * DAY
    assert said(keyring.rotation.turn(NAME, SCHEDULE, much_later)) == ["current", "previous", "next"]
    assert states(keyring) == ["current", "next", "previous"]


def test_without_a_schedule_nothing_is_made_and_what_was_begun_by_hand_is_finished(
    keyring: Keyring, now: datetime
) -> None:
    keyring.ensure_service_key(NAME, "ES256", now)
    assert keyring.rotation.turn(NAME, NEVER, now + 4000 * DAY) == []
    assert said(keyring.rotation.publish_next(NAME, signs_from=now + 7 * DAY, now=now)) == ["next"]
    assert keyring.rotation.publish_next(NAME, signs_from=now + DAY, now=now) == []
    assert said(keyring.rotation.turn(NAME, NEVER, now + 7 * DAY)) == ["current", "previous"]
    assert said(keyring.rotation.turn(NAME, NEVER, now + 37 * DAY)) == ["retired"]


def test_a_switch_takes_the_next_key_and_never_later_than_was_planned(
    keyring: Keyring, now: datetime
) -> None:
    first = keyring.ensure_service_key(NAME, "ES256", now)
    keyring.rotation.publish_next(NAME, signs_from=now + 7 * DAY, now=now)
    planned = keyring.service_keys(NAME)[1]
    turns = keyring.rotation.switch(
        NAME, first.kid, signs_from=now + 9 * DAY, keeps_previous=True, now=now + DAY
    )
    assert [(turn.kid, str(turn.state)) for turn in turns] == [
        (planned.kid, "current"),
        (first.kid, "previous"),
    ]
    current, previous = keyring.service_keys(NAME)
    assert (current.kid, current.signs_from) == (planned.kid, now + 7 * DAY)
    assert previous.signed_until == now + DAY


def test_a_switch_makes_the_next_key_if_there_is_none(keyring: Keyring, now: datetime) -> None:
    first = keyring.ensure_service_key(NAME, "ES256", now)
    soon = now + timedelta(minutes=1)
    keyring.rotation.switch(NAME, first.kid, signs_from=soon, keeps_previous=True, now=now)
    current, previous = keyring.service_keys(NAME)
    assert (current.state, current.signs_from, previous.kid) == ("current", soon, first.kid)


def test_a_switch_from_a_key_that_does_not_sign_any_more_does_nothing(
    keyring: Keyring, now: datetime
) -> None:
    first = keyring.ensure_service_key(NAME, "ES256", now)
    keyring.rotation.switch(NAME, first.kid, signs_from=now, keeps_previous=True, now=now)
    before = keyring.service_keys(NAME)
    assert keyring.rotation.switch(NAME, first.kid, signs_from=now, keeps_previous=False, now=now) == []
    assert keyring.service_keys(NAME) == before


def test_a_switch_that_keeps_nothing_retires_every_key_that_signed(keyring: Keyring, now: datetime) -> None:
    first = keyring.ensure_service_key(NAME, "ES256", now)
    keyring.rotation.switch(NAME, first.kid, signs_from=now, keeps_previous=True, now=now)
    second = keyring.service_keys(NAME)[0]
    turns = keyring.rotation.switch(NAME, second.kid, signs_from=now, keeps_previous=False, now=now)
    assert said(turns) == ["current", "previous", "retired", "retired"]
    assert states(keyring) == ["current", "retired", "retired"]


def test_one_name_does_not_turn_another(keyring: Keyring, now: datetime) -> None:
    for name in (NAME, "receipt"):
        keyring.ensure_service_key(name, "ES256", now)
    before = keyring.service_keys("receipt")
    keyring.rotation.turn(NAME, SCHEDULE, now + 90 * DAY)
    assert (states(keyring), keyring.service_keys("receipt")) == (["current", "next"], before)


@pytest.mark.parametrize("round_number", range(3))
def test_of_workers_that_turn_a_key_at_the_same_time_one_does(
    databases: Databases, keyring: Keyring, provider: LocalProvider, now: datetime, round_number: int
) -> None:
    del round_number
    keyring.ensure_service_key(NAME, "ES256", now)
    for day, expected in ((83, ["next"]), (90, ["current", "previous"]), (120, ["retired"])):
        at = now + day * DAY

        def turn(mine: Keyring, _: int, at: datetime = at) -> list[str]:
            return said(mine.rotation.turn(NAME, SCHEDULE, at))

        answers = race(databases, provider, turn)
        assert sorted(answers) == sorted([expected, [], [], []])
    assert states(keyring) == ["current", "retired"]


@pytest.mark.parametrize("round_number", range(3))
def test_of_operators_that_switch_at_the_same_time_one_does(
    databases: Databases, keyring: Keyring, provider: LocalProvider, now: datetime, round_number: int
) -> None:
    del round_number
    first = keyring.ensure_service_key(NAME, "ES256", now)

    def switch(mine: Keyring, number: int) -> list[str]:
        if number % 2:
            return said(mine.rotation.turn(NAME, SCHEDULE, now + DAY))
        return said(mine.rotation.switch(NAME, first.kid, signs_from=now, keeps_previous=True, now=now + DAY))

    assert sorted(race(databases, provider, switch)) == [[], [], [], ["current", "previous"]]
    with databases.keyring.read() as session:
        assert len(session.exec(select(ServiceKeyRow)).all()) == 2
