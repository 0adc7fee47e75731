"""The token's own client is told why it is refused, and the log keeps it (design: answers to a pull)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel import col, update

from broker.db import transaction
from broker.lane.answers import REASONS
from broker.oauth import clients
from broker.oauth.tokens import revoke_grant_tokens
from consent import organisations
from consent.models import Consent
from consent.vocabulary import Reason
from tests.consent.office import CLIENT, RECIPIENT
from tests.lane.world import ANYTHING, BILLS, DELIVERIES, Granted, World, code_of

REFUSED = "delivery.refused"


def suspend_client(world: World, _: Granted) -> None:
    with transaction(world.installation.data) as work:
        clients.suspend(work.session, CLIENT)


def suspend_organisation(world: World, _: Granted) -> None:
    with transaction(world.installation.data) as work:
        organisations.suspend(work.session, RECIPIENT)


def revoke(world: World, granted: Granted) -> None:
    with transaction(world.installation.data) as work:
        revoke_grant_tokens(work.session, granted.grant_id, world.clock())


def set_state(world: World, granted: Granted, state: str) -> None:
    """A state that no token can come to: only a changed row shows that the lane looks."""
    with transaction(world.installation.data) as work:
        row = col(Consent.grant_id) == granted.grant_id
        work.session.exec(update(Consent).where(row).values(state=state))


def supersede(world: World, granted: Granted) -> None:
    """What an amendment does to the tokens of the version before."""
    world.tamper(
        "UPDATE consent SET version_number = 2, change_count = change_count + 1 WHERE grant_id = :grant_id",
        grant_id=granted.grant_id,
    )


Change = Callable[[World, Granted], None]

ENDED: dict[str, Change] = {
    "token_expired": lambda world, _: world.clock.advance(timedelta(seconds=300)),
    "token_revoked": revoke,
    "consent_requested": lambda world, granted: set_state(world, granted, "REQUESTED"),
    "consent_refused": lambda world, granted: set_state(world, granted, "REFUSED"),
    "consent_fulfilled": lambda world, granted: world.office.fulfil(granted.grant_id),
    "consent_expired": lambda world, granted: world.office.expire(granted.grant_id),
    "consent_withdrawn": lambda world, granted: world.office.withdraw(granted.grant_id),
    "consent_superseded": supersede,
}
SUSPENDED: dict[str, Change] = {"client": suspend_client, "organisation": suspend_organisation}


@pytest.mark.parametrize("reason", ENDED)
def test_a_token_or_consent_that_has_ended(world: World, reason: str) -> None:
    unused, used = world.granted(), world.granted()
    assert world.pull(used.token, idempotency_key="one").status_code == 200
    for granted in (unused, used):
        ENDED[reason](world, granted)
        answer = world.pull(granted.token, idempotency_key="one")
        assert code_of(answer) == (401, reason)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert world.told(granted.grant_id)[-1] == (REFUSED, reason)
        assert ("delivery.repeated", None) not in world.told(granted.grant_id)
    assert world.deliveries(unused.grant_id) == []


@pytest.mark.parametrize("suspend", SUSPENDED.values(), ids=SUSPENDED.keys())
def test_a_suspended_recipient(world: World, suspend: Change) -> None:
    granted = world.granted()
    suspend(world, granted)
    assert code_of(world.pull(granted.token)) == (403, "recipient_suspended")
    assert world.told(granted.grant_id) == [(REFUSED, "recipient_suspended")]


def test_the_end_of_the_window_is_seen_before_any_job_has_recorded_it(world: World) -> None:
    granted = world.granted({"access.valid_until": "2026-12-01T00:01:00Z"})
    world.clock.advance(timedelta(minutes=1))
    world.tamper("UPDATE token SET expires_at = expires_at + 300000000")
    assert code_of(world.pull(granted.token)) == (401, "consent_expired")
    assert world.told(granted.grant_id) == [(REFUSED, "consent_expired")]


def test_the_last_instant_of_the_window_is_inside(world: World) -> None:
    granted = world.granted({"access.valid_until": "2026-12-01T00:01:00Z"})
    world.clock.advance(timedelta(minutes=1) - timedelta(microseconds=1))
    assert world.pull(granted.token).status_code == 200


def test_a_consent_that_is_not_yet_valid(world: World) -> None:
    granted = world.granted({"access.valid_from": "2026-12-01T00:00:01Z"})
    assert code_of(world.pull(granted.token)) == (403, "outside_window")
    world.clock.advance(timedelta(seconds=1))
    assert world.pull(granted.token).status_code == 200
    assert world.told(granted.grant_id) == [(REFUSED, "outside_window"), ("delivery.released", None)]


def test_an_item_that_was_not_granted(world: World) -> None:
    given = world.office.agree(granted=["health.medical_bill"])
    token = world.token(given)
    for record_type in ("health.prescription", "insurance.indemnity_policy", "no-such-type"):
        answer = world.pull(token, f"/v1/records/{record_type}")
        assert code_of(answer) == (403, "item_not_granted")
        assert record_type not in str(world.events(given.grant_id))
    assert world.told(given.grant_id) == [(REFUSED, "item_not_granted")] * 3
    assert world.deliveries(given.grant_id) == []


def test_a_key_for_another_request(world: World) -> None:
    granted = world.granted({"access.max_pulls": 2})
    assert world.pull(granted.token, BILLS, idempotency_key="one").status_code == 200
    for path in (ANYTHING, DELIVERIES):
        assert code_of(world.pull(granted.token, path, idempotency_key="one")) == (422, "key_reused")
    assert world.told(granted.grant_id)[1:] == [(REFUSED, "key_reused")] * 2
    assert len(world.deliveries(granted.grant_id)) == 1


def test_a_key_is_the_consents_own(world: World) -> None:
    one, other = world.granted(), world.granted()
    answers = [world.pull(granted.token, idempotency_key="same") for granted in (one, other)]
    assert [answer.json()["grant_id"] for answer in answers] == [one.grant_id, other.grant_id]


def test_a_second_pull_of_a_consent_for_one(world: World) -> None:
    granted = world.granted()
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    assert code_of(world.pull(granted.token, idempotency_key="two")) == (403, "no_place_left")
    assert code_of(world.pull(granted.token)) == (403, "no_place_left")
    assert world.told(granted.grant_id)[1:] == [(REFUSED, "no_place_left")] * 2
    assert len(world.deliveries(granted.grant_id)) == 1
    assert world.pull(granted.token, idempotency_key="one").status_code == 200


def test_a_refused_pull_takes_no_place(world: World) -> None:
    granted = world.granted()
    world.pull(granted.token, "/v1/records/no.such_type", idempotency_key="one")
    assert world.pull(granted.token, idempotency_key="one").status_code == 200


def test_redelivery_ends_with_its_window(world: World) -> None:
    granted = world.granted({"access.max_pulls": 2})
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    world.clock.advance(timedelta(hours=24))
    token = world.token(granted.given)
    assert code_of(world.pull(token, idempotency_key="one")) == (403, "outside_window")
    assert world.told(granted.grant_id)[1:] == [(REFUSED, "outside_window")]
    assert world.pull(token, idempotency_key="two").status_code == 200


def test_a_used_up_consent_is_fulfilled_when_its_last_window_ends(world: World) -> None:
    granted = world.granted()
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    world.clock.advance(timedelta(hours=24))
    assert code_of(world.pull(world.token(granted.given), idempotency_key="one")) == (
        401,
        "consent_fulfilled",
    )
    assert world.told(granted.grant_id)[1:] == [(REFUSED, "consent_fulfilled")]


def test_every_reason_has_its_answer() -> None:
    assert set(REASONS) == set(Reason)
