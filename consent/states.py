"""The state machine of a consent as data: which event leads from which state to which. Pure.

The one table of `reference: consent model, transitions`: the lifecycle moves by it, and replaying a consent's
events through it gives the stored state (invariant 3). A change of terms keeps the consent living.
"""

from collections.abc import Iterable
from typing import Final

from consent.errors import WrongStateError
from consent.vocabulary import ConsentState as S
from consent.vocabulary import EventType as E

LIVING: Final = frozenset({S.GIVEN, S.PAUSED})
"""What may still open something, now or after a pause."""

OPEN: Final = frozenset({S.REQUESTED, S.PARTIALLY_SIGNED})
"""What waits for somebody's decision."""

_OF_OPEN: Final = {
    E.CONSENT_SIGNED: S.PARTIALLY_SIGNED,
    E.CONSENT_GIVEN: S.GIVEN,
    E.CONSENT_REFUSED: S.REFUSED,
    E.CONSENT_EXPIRED: S.EXPIRED,
}
_ENDS_OF_LIVING: Final = {
    E.CONSENT_EXPIRED: S.EXPIRED,
    E.CONSENT_WITHDRAWN: S.WITHDRAWN,
    E.CONSENT_REVOKED: S.REVOKED,
    E.CONSENT_INVALIDATED: S.INVALIDATED,
}
_CHANGES: Final = {E.CONSENT_AMENDED: S.GIVEN, E.CONSENT_RENEWED: S.GIVEN}
_AFTER_ACCESS: Final = {E.CONSENT_WITHDRAWN: S.WITHDRAWN}

TRANSITIONS: Final = {
    S.REQUESTED: _OF_OPEN,
    S.PARTIALLY_SIGNED: {**_OF_OPEN, E.CONSENT_WITHDRAWN: S.WITHDRAWN},
    S.GIVEN: {
        E.CONSENT_PAUSED: S.PAUSED,
        E.CONSENT_FULFILLED: S.FULFILLED,
        E.CONSENT_NARROWED: S.GIVEN,
        **_CHANGES,
        **_ENDS_OF_LIVING,
    },
    S.PAUSED: {
        E.CONSENT_PAUSED: S.PAUSED,  # for another reason
        E.CONSENT_RESUMED: S.GIVEN,
        E.CONSENT_NARROWED: S.PAUSED,
        **_CHANGES,
        **_ENDS_OF_LIVING,
    },
    S.FULFILLED: _AFTER_ACCESS,
    S.EXPIRED: _AFTER_ACCESS,
    S.REFUSED: {},
    S.WITHDRAWN: {},
    S.REVOKED: {},
    S.INVALIDATED: {},
}

_MOVING: Final = frozenset(event for of_state in TRANSITIONS.values() for event in of_state)


def after(state: S, event: E) -> S:
    """The state that an event leads to. Raises WrongStateError for a transition that is not in the table."""
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise WrongStateError(state, event)
    return following


def replay(events: Iterable[str]) -> S | None:
    """The state after a consent's events, in the order of the log; None before it was requested.

    Events that move nothing (deliveries, notices) are passed over. Raises WrongStateError for a history
    that the table does not have.
    """
    state: S | None = None
    for name in events:
        if name == E.CONSENT_REQUESTED:
            if state is not None:
                raise WrongStateError(state, name)
            state = S.REQUESTED
        elif name in _MOVING:
            if state is None:
                raise WrongStateError("none", name)
            state = after(state, E(name))
    return state
