"""A pull whose token comes of a sign-in that does not do: challenged, on record, no more (RFC 9470)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from broker.db import transaction
from broker.installation import Installation
from broker.lane.answers import answer_response
from broker.lane.pulls import Answer
from broker.oauth import step_up
from broker.oauth.authentication_context import ONE_FACTOR, at_least
from broker.oauth.challenges import Challenges
from broker.oauth.confirmation import of_key
from broker.oauth.tokens import Binding, Grant, SignedIn, issue_access
from consent.policy import SignInRule
from consent.vocabulary import Reason, Sensitivity
from tests.configured import configured
from tests.consent.details import BILL
from tests.consent.office import CLIENT
from tests.installation import Clock
from tests.lane.world import BILLS, DELIVERIES, Granted, World, code_of, opened
from vault.jose import generate_private_jwk, thumbprint
from vault.record_types.catalogue import Catalogue

CODE: Final = "insufficient_user_authentication"
ALGORITHMS: Final = 'algs="ES256 PS256 EdDSA Ed25519"'
DESCRIPTION: Final = 'error_description="the person must sign in again, as max_age and acr_values say"'
AGE: Final = timedelta(seconds=300)
REFUSED: Final = ("delivery.refused", CODE)


@pytest.fixture
def world(installation: Installation, clock: Clock) -> Iterator[World]:
    """A lane that wants a sign-in of the last five minutes, on each kind of database."""
    with opened(configured(installation, "oauth", step_up_seconds=300), clock) as made:
        yield made


@pytest.fixture
def strict_world(sqlite_installation: Installation, clock: Clock) -> Iterator[World]:
    """A lane that wants a class of sign-in, however long ago."""
    with opened(configured(sqlite_installation, "oauth", step_up_acr=ONE_FACTOR), clock) as made:
        yield made


def token(world: World, granted: Granted, at: datetime, *, acr: str = ONE_FACTOR) -> str:
    """A token of this consent that comes of a sign-in at this instant."""
    given, subject_id = granted.given, world.office.subject_id
    grant = Grant(given.grant_id, given.version_id, subject_id, given.terms.access.valid_until, given.terms)
    signed_in = SignedIn(subject_id, at, acr)
    binding = Binding(CLIENT, "records.read", of_key(thumbprint(world.key)), grant, signed_in)
    with transaction(world.installation.data) as work:
        return issue_access(work.session, binding, seconds=300, now=world.clock())[0]


# Refused


def test_a_sign_in_of_too_long_ago_is_challenged_and_takes_no_place(world: World) -> None:
    granted = world.granted()
    old = token(world, granted, world.clock() - AGE - timedelta(microseconds=1))
    for path in (BILLS, DELIVERIES):
        answer = world.pull(old, path, idempotency_key="one")
        assert code_of(answer) == (401, CODE)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers.get_list("WWW-Authenticate") == [
            f'DPoP error="{CODE}", {DESCRIPTION}, max_age="300", {ALGORITHMS}'
        ]
    assert world.told(granted.grant_id) == [REFUSED, REFUSED]
    assert world.deliveries(granted.grant_id) == []
    assert world.pull(token(world, granted, world.clock()), BILLS, idempotency_key="one").status_code == 200
    assert [row.ordinal for row in world.deliveries(granted.grant_id)] == [1]


def test_a_token_of_no_known_sign_in_is_challenged(world: World) -> None:
    granted = world.granted()
    assert code_of(world.pull(granted.token)) == (401, CODE)
    world.tamper("UPDATE token SET auth_time = 1800000000000000, acr = NULL")
    assert code_of(world.pull(granted.token)) == (401, CODE)


def test_a_redelivery_is_held_to_the_same(world: World) -> None:
    granted = world.granted()
    assert world.pull(token(world, granted, world.clock()), idempotency_key="one").status_code == 200
    world.clock.advance(AGE + timedelta(seconds=1))
    old = token(world, granted, world.clock() - AGE - timedelta(seconds=1))
    assert code_of(world.pull(old, idempotency_key="one")) == (401, CODE)
    fresh = token(world, granted, world.clock())
    assert world.pull(fresh, idempotency_key="one").status_code == 200
    assert world.told(granted.grant_id) == [
        ("delivery.released", None),
        REFUSED,
        ("delivery.repeated", None),
    ]


def test_a_stranger_learns_nothing_of_the_rule_and_leaves_no_trace(world: World) -> None:
    granted = world.granted()
    old = token(world, granted, world.clock() - 2 * AGE)
    thief = generate_private_jwk("ES256")
    answers = [world.pull(raw, proofs=[world.proof(raw, key=thief)]) for raw in (old, "mda_unknown")]
    for answer in answers:
        assert code_of(answer) == (401, "invalid_token")
    assert len({answer.headers["WWW-Authenticate"] for answer in answers}) == 1
    assert world.told(granted.grant_id) == []


def test_what_has_ended_is_told_as_ever(world: World) -> None:
    granted = world.granted()
    old = token(world, granted, world.clock() - 2 * AGE)
    world.office.withdraw(granted.grant_id)
    answer = world.pull(old)
    assert code_of(answer) == (401, "consent_withdrawn")
    assert CODE not in answer.headers["WWW-Authenticate"]


def test_a_class_that_does_not_do(strict_world: World) -> None:
    granted = strict_world.granted()
    answer = strict_world.pull(token(strict_world, granted, strict_world.clock(), acr="urn:other"))
    assert code_of(answer) == (401, CODE)
    assert answer.headers["WWW-Authenticate"] == (
        f'DPoP error="{CODE}", {DESCRIPTION}, acr_values="{ONE_FACTOR}", {ALGORITHMS}'
    )
    long_ago = strict_world.clock() - timedelta(days=300)
    assert strict_world.pull(token(strict_world, granted, long_ago)).status_code == 200


# Delivered


def test_the_last_moment_is_late_enough(world: World) -> None:
    granted = world.granted()
    assert world.pull(token(world, granted, world.clock() - AGE)).status_code == 200


def test_a_periodic_consent_is_pulled_while_the_person_is_away(world: World) -> None:
    granted = world.granted({"access.kind": "periodic", "access.cycle": "P1W", "access.max_pulls": 4})
    assert world.pull(granted.token).status_code == 200


def test_without_the_settings_nothing_is_asked_for(
    sqlite_world: World, sqlite_installation: Installation
) -> None:
    granted = sqlite_world.granted()
    assert sqlite_world.pull(granted.token).status_code == 200
    assert step_up.rule_of(sqlite_installation.settings.oauth, Catalogue.load()) is None


# The rule and its challenge


def test_the_rule_is_for_sensitive_records_and_for_all_of_them(sqlite_installation: Installation) -> None:
    settings = configured(sqlite_installation, "oauth", step_up_seconds=60).settings.oauth
    catalogue = Catalogue.load()
    rule = step_up.rule_of(settings, catalogue)
    assert rule is not None
    assert BILL in rule.record_types
    assert {catalogue.get(code).sensitivity for code in rule.record_types} == {
        Sensitivity.HEALTH,
        Sensitivity.FINANCIAL,
    }
    others = set(catalogue.codes()) - rule.record_types
    assert {catalogue.get(code).sensitivity for code in others} == {Sensitivity.ORDINARY}


def test_a_stronger_class_does_for_a_weaker_one() -> None:
    assert at_least(ONE_FACTOR)[0] == ONE_FACTOR


@pytest.mark.parametrize(
    ("scheme", "challenges"),
    [
        (
            "Bearer",
            [
                f'Bearer error="{CODE}", {DESCRIPTION}, acr_values="a b", max_age="5"',
                f"DPoP {ALGORITHMS}",
            ],
        ),
        (
            "DPoP",
            [f'DPoP error="{CODE}", {DESCRIPTION}, acr_values="a b", max_age="5", {ALGORITHMS}', "Bearer"],
        ),
    ],
)
def test_where_certificates_are_taken_the_scheme_that_was_used_is_challenged(
    scheme: str, challenges: list[str]
) -> None:
    rule = SignInRule(frozenset({BILL}), timedelta(seconds=5), ("a", "b"))
    refusal = Answer(reason=Reason.INSUFFICIENT_USER_AUTHENTICATION, needs=rule)

    async def refuse(_: Request) -> Response:
        return answer_response(refusal)

    with TestClient(Challenges(Starlette(routes=[Route("/", refuse)]))) as http:
        answer = http.get("/", headers={"Authorization": f"{scheme} x"})
    assert answer.headers.get_list("WWW-Authenticate") == challenges
    assert orjson.loads(answer.content)["code"] == CODE
