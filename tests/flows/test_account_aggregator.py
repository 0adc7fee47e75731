"""The rules of India's Account Aggregator framework, as scenarios of ours.

Their request is our pull on a new key, their fetch the redelivery of a known one; each test bears the numbers
of their rules. What is refused has a code of its own, and `docs/errors.md` says what to do then.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from broker.installation import Installation
from broker.lane.answers import REASONS
from broker.oauth.tokens import find_token
from consent import cascades
from consent.errors import InvalidTermsError, NotFoundError, NoticeChangedError, WrongStateError
from consent.lifecycle import Signature, lock, pause_locked
from consent.vocabulary import ConsentState, EventType, Reason, StateReason
from tests.consent.details import BILL, terms_with
from tests.consent.office import CLIENT
from tests.installation import Clock
from tests.lane.world import DELIVERIES, Granted, World, code_of, opened
from vault.jose import generate_private_jwk

ERRORS: Final = Path(__file__).parents[2] / "docs" / "errors.md"
PERIODIC: Final = {
    "access.kind": "periodic",
    "access.cycle": "P1W",
    "access.max_pulls": 3,
    "data_period.to": "2026-12-31",
}


@pytest.fixture
def world(installation: Installation, clock: Clock) -> Iterator[World]:
    """On SQLite and on PostgreSQL."""
    with opened(installation, clock) as world:
        yield world


def pull(world: World, granted: Granted, key: str) -> tuple[int, str | None]:
    """Status and code of a pull with a fresh token."""
    answer = world.pull(world.token(granted.given), DELIVERIES, idempotency_key=key)
    return (200, None) if answer.status_code == 200 else code_of(answer)


def pause(world: World, granted: Granted) -> None:
    world.office.pause(granted.grant_id)


def revoke(world: World, granted: Granted) -> None:
    world.office.revoke(granted.grant_id, StateReason.BY_AUTHORITY)


def withdraw(world: World, granted: Granted) -> None:
    world.office.withdraw(granted.grant_id)


def expire(world: World, granted: Granted) -> None:
    with world.office.work() as work:  # a window that ends now: the token outlives it
        lock(work, granted.grant_id).valid_until = world.clock()


# What is refused before anybody is asked


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"access.valid_until": "2026-11-01T00:00:00Z"}, id="1007-end-before-begin"),
        pytest.param({"retention.period": "P0D"}, id="1012-storing-without-data-life"),
        pytest.param({"retention.store": False}, id="1012-data-life-without-storing"),
        pytest.param({"data_period.from": "2026-12-01"}, id="1007-data-range-reversed"),
    ],
)
def test_invalid_spans_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidTermsError):
        terms_with(changes)


def test_1010_a_consent_is_for_its_purpose_alone(world: World) -> None:
    grant_id = world.office.request()
    other = world.office.purpose.model_copy(update={"code": "insurance.marketing"})
    with pytest.raises(NoticeChangedError):
        world.office.sign(_signature(world, grant_id), purpose=other)


def test_1018_what_expired_before_approval_cannot_be_approved(world: World) -> None:
    grant_id = world.office.request()
    world.clock.now = world.office.consent(grant_id).valid_until
    with pytest.raises(WrongStateError):
        world.office.give(grant_id)


# Somebody else's


def test_1025_2029_another_recipients_ids_are_as_unknown(world: World) -> None:
    granted = world.granted()
    answer = world.pull(granted.token, DELIVERIES, idempotency_key="one")
    delivery_id = answer.json()["delivery_id"]
    for foreign in (delivery_id, "unknown"):
        with pytest.raises(NotFoundError):
            world.office.acknowledge(foreign, recipient_id="another-recipient")
    key = generate_private_jwk("ES256")
    stolen = world.pull(granted.token, proofs=[world.proof(granted.token, key=key)])
    unknown = world.pull("mda_unknown", proofs=[world.proof("mda_unknown", key=key)])
    assert code_of(stolen) == code_of(unknown) == (401, "invalid_token")
    with world.installation.data.read() as session:
        token = find_token(session, granted.token, client_id="another-client", now=world.clock())
        assert token is None
        assert find_token(session, granted.token, client_id=CLIENT, now=world.clock()) is not None


# Once, and how often


def test_2018_a_consent_for_once_is_refused_the_second_time(world: World) -> None:
    granted = world.granted()
    assert pull(world, granted, "one") == (200, None)
    assert pull(world, granted, "two") == (403, "no_place_left")
    assert pull(world, granted, "one") == (200, None)  # a lost answer is not a second time


def test_2017_the_cycle_is_kept(world: World) -> None:
    granted = world.granted(PERIODIC)
    assert pull(world, granted, "one") == (200, None)
    assert pull(world, granted, "two") == (403, "cycle_not_over")
    world.clock.advance(timedelta(days=7))
    assert pull(world, granted, "three") == (200, None)


# Ended or paused: at the request and again at the fetch


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        pytest.param(pause, (403, "consent_paused"), id="2014-2031-paused"),
        pytest.param(revoke, (401, "consent_revoked"), id="2015-2032-revoked"),
        pytest.param(withdraw, (401, "consent_withdrawn"), id="2015-2032-withdrawn"),
        pytest.param(expire, (401, "consent_expired"), id="2016-2033-expired"),
    ],
)
def test_what_is_not_in_force_is_refused_at_request_and_at_fetch(
    world: World, end: Callable[[World, Granted], None], answer: tuple[int, str]
) -> None:
    granted = world.granted(PERIODIC)
    assert pull(world, granted, "known") == (200, None)
    refused_before = world.told(granted.grant_id).count((EventType.DELIVERY_REFUSED, answer[1]))
    end(world, granted)
    assert [pull(world, granted, key) for key in ("new", "known")] == [answer, answer]
    refused = world.told(granted.grant_id).count((EventType.DELIVERY_REFUSED, answer[1]))
    assert refused == refused_before + 2  # both on the record, with the reason


def test_1032_an_unlinked_source_ends_the_consent(world: World) -> None:
    granted = world.granted({"items": [_bill_only()], "holders": ["seoul-hospital"]})
    with world.office.work() as work:
        ended = cascades.unlink_source(
            work, world.office.keyring, world.link_id, world.office.subject_id, world.clock()
        )
    assert ended == [granted.grant_id]
    assert pull(world, granted, "one") == (401, "consent_invalidated")
    assert world.office.consent(granted.grant_id).state == ConsentState.INVALIDATED


def test_a_pause_for_a_suspended_recipient_is_told_apart_by_its_status(world: World) -> None:
    granted = world.granted()
    with world.office.work() as work:
        consent = lock(work, granted.grant_id)
        pause_locked(work, world.office.keyring, consent, StateReason.RECIPIENT_SUSPENDED, world.clock())
    assert pull(world, granted, "one") == (403, "consent_paused")


# Answers


def test_every_refusal_has_a_code_of_its_own_and_a_line_in_the_documentation() -> None:
    documented = ERRORS.read_text(encoding="utf-8")
    assert {reason for reason in Reason if f"`{reason}`" not in documented} == set()
    codes = [problem.code for problem in REASONS.values()]
    assert len(codes) == len(set(codes))
    titles = [problem.title for problem in REASONS.values()]
    assert len(titles) == len(set(titles))


def _bill_only() -> dict[str, object]:
    return {"record_type": BILL, "mode": "document", "required": True}


def _signature(world: World, grant_id: str) -> Signature:
    digest = world.office.purpose.notice_digest("ko")
    return Signature(grant_id, world.office.subject_id, frozenset({BILL}), digest, "ko")
