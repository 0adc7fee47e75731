"""What the sign-in behind a token must be before sensitive records leave (RFC 9470): decided here too."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.policy import ConsentFacts, Permit, PullRequest, Refusal, SignIn, SignInRule, decide
from consent.vocabulary import Reason
from tests.consent.details import BILL, POLICY
from tests.consent.test_policy import (
    AGAIN,
    ALL,
    FACTS,
    INSTANTS,
    NOON,
    PAST,
    PULLED,
    TAKEN,
    TERMS,
    WEEKLY,
    facts,
    requests,
)

AGE: Final = timedelta(minutes=5)
MOMENT: Final = timedelta(microseconds=1)
WEAK: Final = "urn:mydata:acr:1fa"
LATE: Final = SignInRule(frozenset({BILL}), max_age=AGE)
STRONG: Final = SignInRule(frozenset({BILL}), acr_values=("strong", "stronger"))
NOT_ENOUGH: Final = Refusal(Reason.INSUFFICIENT_USER_AUTHENTICATION)

sign_ins = st.builds(SignIn, INSTANTS, st.sampled_from([WEAK, "strong"]))
rules = st.builds(
    SignInRule,
    st.sampled_from([frozenset(), frozenset({BILL}), frozenset({POLICY}), frozenset({BILL, POLICY})]),
    st.sampled_from([None, timedelta(0), AGE]),
    st.sampled_from([(), ("strong",), (WEAK, "strong")]),
)


def asked(rule: SignInRule, sign_in: SignIn | None, request: PullRequest = ALL) -> PullRequest:
    return replace(request, sign_in=sign_in, sign_in_rule=rule)


@pytest.mark.parametrize(
    ("rule", "sign_in"),
    [
        (LATE, None),
        (LATE, SignIn(NOON - AGE - MOMENT, WEAK)),
        (STRONG, None),
        (STRONG, SignIn(NOON, WEAK)),
        (STRONG, SignIn(NOON, "")),
        (replace(STRONG, max_age=AGE), SignIn(NOON - AGE - MOMENT, "strong")),
        (replace(STRONG, max_age=AGE), SignIn(NOON, WEAK)),
    ],
)
def test_a_sign_in_that_does_not_do(rule: SignInRule, sign_in: SignIn | None) -> None:
    assert decide(TERMS, FACTS, asked(rule, sign_in), NOON) == NOT_ENOUGH
    assert decide(TERMS, TAKEN, asked(rule, sign_in, AGAIN), NOON) == NOT_ENOUGH


@pytest.mark.parametrize(
    ("rule", "sign_in"),
    [
        (LATE, SignIn(NOON - AGE, WEAK)),
        (LATE, SignIn(NOON + MOMENT, "anything")),  # the clock of another worker
        (STRONG, SignIn(NOON - timedelta(days=900), "stronger")),
        (replace(STRONG, max_age=AGE), SignIn(NOON - AGE, "strong")),
    ],
)
def test_a_sign_in_that_does(rule: SignInRule, sign_in: SignIn) -> None:
    assert decide(TERMS, FACTS, asked(rule, sign_in), NOON) == Permit(TERMS.items, 1, None)
    assert decide(TERMS, TAKEN, asked(rule, sign_in, AGAIN), NOON) == Permit(TERMS.items, None, PAST)


def test_what_is_not_sensitive_needs_no_sign_in() -> None:
    alone = asked(LATE, None, replace(ALL, record_type=POLICY))
    assert decide(TERMS, FACTS, alone, NOON) == Permit((TERMS.items[1],), 1, None)
    assert decide(TERMS, FACTS, asked(LATE, None), NOON) == NOT_ENOUGH  # together with what is


def test_periodic_access_is_for_when_the_person_is_away() -> None:
    permit = decide(WEEKLY, PULLED, asked(LATE, None), NOON + timedelta(days=7))
    assert permit == Permit(WEEKLY.items, 2, None)


def test_in_an_emergency_nobody_can_sign_in() -> None:
    rule = replace(LATE, exempt_purposes=frozenset({TERMS.purpose}))
    assert decide(TERMS, FACTS, asked(rule, None), NOON) == Permit(TERMS.items, 1, None)
    other = replace(LATE, exempt_purposes=frozenset({"another"}))
    assert decide(TERMS, FACTS, asked(other, None), NOON) == NOT_ENOUGH


@pytest.mark.parametrize(
    ("known", "request_", "reason"),
    [
        (TAKEN, ALL, Reason.NO_PLACE_LEFT),
        (replace(FACTS, recipient_is_active=False), ALL, Reason.RECIPIENT_SUSPENDED),
        (FACTS, replace(ALL, record_type="x"), Reason.ITEM_NOT_GRANTED),
        (TAKEN, replace(AGAIN, request_digest=b"other"), Reason.KEY_REUSED),
    ],
)
def test_nobody_signs_in_again_for_what_is_refused_all_the_same(
    known: ConsentFacts, request_: PullRequest, reason: Reason
) -> None:
    assert decide(TERMS, known, asked(LATE, None, request_), NOON) == Refusal(reason)


@given(known=facts(), request_=requests(), rule=rules, sign_in=st.one_of(st.none(), sign_ins), now=INSTANTS)
def test_a_rule_only_ever_takes_away(
    known: ConsentFacts, request_: PullRequest, rule: SignInRule, sign_in: SignIn | None, now: datetime
) -> None:
    without = decide(TERMS, known, request_, now)
    verdict = decide(TERMS, known, asked(rule, sign_in, request_), now)
    if verdict != without:
        assert isinstance(without, Permit)
        assert verdict == NOT_ENOUGH
        assert {item.record_type for item in without.items} & rule.record_types
    elif isinstance(verdict, Permit) and {item.record_type for item in verdict.items} & rule.record_types:
        assert sign_in is not None
        assert rule.max_age is None or now - sign_in.at <= rule.max_age
        assert not rule.acr_values or sign_in.acr in rule.acr_values
