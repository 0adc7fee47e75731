"""`decide`: the only place that says yes. Pure: no clock, no database, no HTTP.

Invariant 1 of the model: no delivery without a GIVEN consent whose window contains the instant. A
permit or a refusal is a value; a refusal that concerns proven parties is committed to the log.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from consent.terms import Item, Terms
from consent.vocabulary import AccessKind, ConsentState, Reason

_NOT_GIVEN: Final = {
    ConsentState.REQUESTED: Reason.CONSENT_REQUESTED,
    ConsentState.PARTIALLY_SIGNED: Reason.CONSENT_PARTIALLY_SIGNED,
    ConsentState.PAUSED: Reason.CONSENT_PAUSED,
    ConsentState.FULFILLED: Reason.CONSENT_FULFILLED,
    ConsentState.REFUSED: Reason.CONSENT_REFUSED,
    ConsentState.EXPIRED: Reason.CONSENT_EXPIRED,
    ConsentState.WITHDRAWN: Reason.CONSENT_WITHDRAWN,
    ConsentState.REVOKED: Reason.CONSENT_REVOKED,
    ConsentState.INVALIDATED: Reason.CONSENT_INVALIDATED,
}


@dataclass(frozen=True, slots=True)
class ConsentFacts:
    """What is true of a consent at the instant of a pull."""

    state: ConsentState
    version_is_current: bool
    recipient_is_active: bool
    valid_from: datetime
    valid_until: datetime
    max_pulls: int
    places_taken: int
    last_place_at: datetime | None
    redelivery_window: timedelta
    pause_at: datetime | None = None

    def is_used_up(self, now: datetime) -> bool:
        """Every place is taken and the last one's redelivery window is over."""
        if self.last_place_at is None or self.places_taken < self.max_pulls:
            return False
        return now >= self.last_place_at + self.redelivery_window


@dataclass(frozen=True, slots=True)
class PastDelivery:
    """The delivery that a request's idempotency key made before."""

    delivery_id: str
    request_digest: bytes
    as_of: datetime


@dataclass(frozen=True, slots=True)
class SignIn:
    """The sign-in that a token came of: when it was, and of which class (`acr`)."""

    at: datetime
    acr: str


@dataclass(frozen=True, slots=True)
class SignInRule:
    """What the sign-in behind a token must be for these record types to leave (RFC 9470).

    At most `max_age` ago, if that is not None; of one of `acr_values`, if there are any. Not for consents of
    `exempt_purposes`: in an emergency the person cannot sign in.
    """

    record_types: frozenset[str]
    max_age: timedelta | None = None
    acr_values: tuple[str, ...] = ()
    exempt_purposes: frozenset[str] = frozenset()

    def is_met_by(self, sign_in: SignIn | None, now: datetime) -> bool:
        """Whether it was late and strong enough; one that nobody knows of never was."""
        if sign_in is None or (self.acr_values and sign_in.acr not in self.acr_values):
            return False
        return self.max_age is None or now <= sign_in.at + self.max_age


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What a recipient asks for now: everything granted, or one record type.

    `sign_in` is the one behind its token, if any is known, and `sign_in_rule` what that is held to.
    """

    record_type: str | None
    request_digest: bytes
    past: PastDelivery | None
    sign_in: SignIn | None = None
    sign_in_rule: SignInRule | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Yes: these items, on a new place (its ordinal, from 1) or again as `past`.

    `needs_news`: only if something among the records is news to the recipient (`is_news`), because the cycle
    of a periodic consent is not over.
    """

    items: tuple[Item, ...]
    ordinal: int | None
    past: PastDelivery | None
    needs_news: bool = False


@dataclass(frozen=True, slots=True)
class Disclosed:
    """How often a record version was delivered under this consent, when last, and whether with an answer."""

    times: int
    last_at: datetime | None
    is_acknowledged: bool


NEVER_DISCLOSED: Final = Disclosed(times=0, last_at=None, is_acknowledged=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """No, and the reason that goes on the record."""

    reason: Reason


def decide(terms: Terms, facts: ConsentFacts, request: PullRequest, now: datetime) -> Permit | Refusal:
    """Whether this pull may open records now. The order of checks is the order of the lines."""
    reason = access_refused(facts, now)
    if reason is not None:
        return Refusal(reason)
    items = terms.items
    if request.record_type is not None:
        item = terms.item(request.record_type)
        if item is None:
            return Refusal(Reason.ITEM_NOT_GRANTED)
        items = (item,)
    verdict = _decide_place(terms, facts, request, items, now)
    # Last of all: nobody is made to sign in again for what would be refused all the same.
    if isinstance(verdict, Permit) and not _is_signed_in_for(terms, request, items, now):
        return Refusal(Reason.INSUFFICIENT_USER_AUTHENTICATION)
    return verdict


def is_news(disclosed: Disclosed, redelivery_window: timedelta, now: datetime) -> bool:
    """Whether a record version still has to reach the recipient.

    What was delivered and never acknowledged may be lost once its key answers no more: it counts as new
    again, once. A recipient that never acknowledges gets no shorter cycle by it.
    """
    if disclosed.last_at is None:
        return True
    may_be_lost = disclosed.times == 1 and not disclosed.is_acknowledged
    return may_be_lost and now >= disclosed.last_at + redelivery_window


def access_refused(facts: ConsentFacts, now: datetime) -> Reason | None:
    """The reason why this consent opens nothing at all now, or None. Expiry is evaluated here."""
    if facts.state is ConsentState.PAUSED and now >= facts.valid_until:
        return Reason.CONSENT_EXPIRED
    if facts.state is not ConsentState.GIVEN:
        return _NOT_GIVEN[facts.state]
    if not facts.version_is_current:
        return Reason.CONSENT_SUPERSEDED
    if now >= facts.valid_until:
        return Reason.CONSENT_EXPIRED
    if facts.is_used_up(now):
        return Reason.CONSENT_FULFILLED
    if facts.pause_at is not None and now >= facts.pause_at:
        return Reason.CONSENT_PAUSED
    if now < facts.valid_from:
        return Reason.OUTSIDE_WINDOW
    if not facts.recipient_is_active:
        return Reason.RECIPIENT_SUSPENDED
    return None


def _decide_place(
    terms: Terms, facts: ConsentFacts, request: PullRequest, items: tuple[Item, ...], now: datetime
) -> Permit | Refusal:
    if request.past is not None:
        return _decide_repeat(facts, request, request.past, items, now)
    if facts.places_taken >= facts.max_pulls:
        return Refusal(Reason.NO_PLACE_LEFT)
    needs_news = _is_within_cycle(terms, facts, now)
    return Permit(items=items, ordinal=facts.places_taken + 1, past=None, needs_news=needs_news)


def _decide_repeat(
    facts: ConsentFacts, request: PullRequest, past: PastDelivery, items: tuple[Item, ...], now: datetime
) -> Permit | Refusal:
    if past.request_digest != request.request_digest:
        return Refusal(Reason.KEY_REUSED)
    if now >= past.as_of + facts.redelivery_window:
        return Refusal(Reason.OUTSIDE_WINDOW)
    return Permit(items=items, ordinal=None, past=past)


def _is_signed_in_for(terms: Terms, request: PullRequest, items: tuple[Item, ...], now: datetime) -> bool:
    """Periodic access is for when the person is away: no sign-in is asked for there."""
    rule = request.sign_in_rule
    if rule is None or terms.access.kind is not AccessKind.ONCE or terms.purpose in rule.exempt_purposes:
        return True
    if all(item.record_type not in rule.record_types for item in items):
        return True
    return rule.is_met_by(request.sign_in, now)


def _is_within_cycle(terms: Terms, facts: ConsentFacts, now: datetime) -> bool:
    cycle = terms.access.cycle_length
    return cycle is not None and facts.last_place_at is not None and now < facts.last_place_at + cycle
