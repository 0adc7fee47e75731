"""The state machine as data (consent/states.py)."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.errors import WrongStateError
from consent.states import LIVING, OPEN, TRANSITIONS, after, replay
from consent.vocabulary import ConsentState, EventType

TERMINAL = (ConsentState.REFUSED, ConsentState.WITHDRAWN, ConsentState.REVOKED, ConsentState.INVALIDATED)
MOVING = sorted({event for of_state in TRANSITIONS.values() for event in of_state})
NOT_MOVING = sorted(set(EventType) - set(MOVING) - {EventType.CONSENT_REQUESTED})


@pytest.mark.parametrize(("state", "event"), list(product(TERMINAL, EventType)))
def test_terminal_states_have_no_way_out(state: ConsentState, event: EventType) -> None:
    with pytest.raises(WrongStateError):
        after(state, event)


@pytest.mark.parametrize("state", [ConsentState.FULFILLED, ConsentState.EXPIRED])
def test_what_has_ended_by_itself_can_only_be_withdrawn(state: ConsentState) -> None:
    assert TRANSITIONS[state] == {EventType.CONSENT_WITHDRAWN: ConsentState.WITHDRAWN}


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(ConsentState)
    reached = {state for of_state in TRANSITIONS.values() for state in of_state.values()}
    assert reached | {ConsentState.REQUESTED} == set(ConsentState)


def test_only_what_was_given_can_be_living() -> None:
    for state in OPEN:
        assert set(TRANSITIONS[state].values()) & LIVING == {ConsentState.GIVEN}


def test_a_history_begins_with_the_request() -> None:
    assert replay([]) is None
    assert replay([EventType.SOURCE_LINKED]) is None
    with pytest.raises(WrongStateError):
        replay([EventType.CONSENT_GIVEN])
    with pytest.raises(WrongStateError):
        replay([EventType.CONSENT_REQUESTED, EventType.CONSENT_REQUESTED])


@given(st.lists(st.sampled_from(MOVING), max_size=12), st.data())
def test_replaying_walks_the_table_and_passes_over_what_moves_nothing(
    moves: list[EventType], data: st.DataObject
) -> None:
    states = [ConsentState.REQUESTED]
    history = [EventType.CONSENT_REQUESTED]
    for event in moves:
        if event in TRANSITIONS[states[-1]]:
            states.append(TRANSITIONS[states[-1]][event])
            history.append(event)
            history += data.draw(st.lists(st.sampled_from(NOT_MOVING), max_size=2))
    assert replay(history) == states[-1]
    assert all(before not in TERMINAL for before, _ in pairwise(states))


@given(st.sampled_from(TERMINAL), st.sampled_from(MOVING))
def test_a_history_that_the_table_does_not_have_is_told(state: ConsentState, event: EventType) -> None:
    to_state = {
        ConsentState.REFUSED: [EventType.CONSENT_REFUSED],
        ConsentState.WITHDRAWN: [EventType.CONSENT_GIVEN, EventType.CONSENT_WITHDRAWN],
        ConsentState.REVOKED: [EventType.CONSENT_GIVEN, EventType.CONSENT_REVOKED],
        ConsentState.INVALIDATED: [EventType.CONSENT_GIVEN, EventType.CONSENT_INVALIDATED],
    }[state]
    with pytest.raises(WrongStateError):
        replay([EventType.CONSENT_REQUESTED, *to_state, event])
