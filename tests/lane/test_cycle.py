"""Periodic consents in the lane: something new at once, everything else once a cycle."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

from consent.delivery import acknowledge
from tests.consent.office import RECIPIENT
from tests.lane.world import BILLS, POLICIES, Granted, World, bill, code_of, numbers

WEEKLY: Final[dict[str, Any]] = {
    "access.kind": "periodic",
    "access.cycle": "P1W",
    "access.max_pulls": 9,
    "access.valid_until": "2027-11-30T00:00:00Z",
    "data_period.to": "2027-11-30",
    "items.0.filter.period.to": "2027-11-30",
}
NOT_OVER: Final = (403, "cycle_not_over")
NEW: Final = ("20261202-0009", "11100079", "2026-12-02", "2026-12-02")
ELSEWHERE: Final = ("20261202-0010", "11200001", "2026-12-02", "2026-12-02")


def fresh(world: World, granted: Granted) -> Granted:
    """The same consent with a token that has not expired."""
    return Granted(granted.given, world.token(granted.given))


def confirm(world: World, delivery_id: str) -> None:
    with world.office.work() as work:
        acknowledge(work, world.office.keyring, delivery_id, RECIPIENT, world.clock())


def test_without_news_the_second_pull_waits_for_the_cycle(world: World) -> None:
    granted = world.granted(WEEKLY)
    assert world.pull(granted.token).status_code == 200
    assert code_of(world.pull(granted.token)) == NOT_OVER
    assert len(world.deliveries(granted.grant_id)) == 1
    assert world.told(granted.grant_id)[-1] == ("delivery.refused", "cycle_not_over")
    confirm(world, world.deliveries(granted.grant_id)[0].delivery_id)
    world.clock.advance(timedelta(days=7) - timedelta(microseconds=1))
    assert code_of(world.pull(fresh(world, granted).token)) == NOT_OVER
    world.clock.advance(timedelta(microseconds=1))
    assert world.pull(fresh(world, granted).token).status_code == 200


def test_a_new_record_may_be_pulled_at_once_and_once(world: World) -> None:
    granted = world.granted(WEEKLY)
    before = numbers(world.pull(granted.token))
    world.collect(bill(NEW))
    assert numbers(world.pull(granted.token)) == [*before, "2026-12-02"]
    assert code_of(world.pull(granted.token)) == NOT_OVER


def test_a_corrected_record_is_new(world: World) -> None:
    granted = world.granted(WEEKLY)
    world.collect(bill(NEW))
    assert world.pull(granted.token).status_code == 200
    world.collect(bill(NEW, department="corrected"))
    assert world.pull(granted.token).status_code == 200
    assert code_of(world.pull(granted.token)) == NOT_OVER


def test_what_the_consent_does_not_cover_is_no_news(world: World) -> None:
    granted = world.granted(WEEKLY)
    assert world.pull(granted.token).status_code == 200
    world.collect(bill(ELSEWHERE))
    assert code_of(world.pull(granted.token)) == NOT_OVER


def test_one_type_after_the_other(world: World) -> None:
    granted = world.granted(WEEKLY)
    assert world.pull(granted.token, BILLS).status_code == 200
    assert world.pull(granted.token, POLICIES).status_code == 200
    for path in (BILLS, POLICIES):
        assert code_of(world.pull(granted.token, path)) == NOT_OVER


def test_the_same_key_answers_the_same_within_the_cycle(world: World) -> None:
    granted = world.granted(WEEKLY)
    first = world.pull(granted.token, idempotency_key="k")
    world.collect(bill(NEW))
    assert world.pull(granted.token, idempotency_key="k").content == first.content


def test_a_delivery_that_was_lost_can_be_had_again_after_its_key(world: World) -> None:
    """Never acknowledged, and the key answers no more: the recipient may not have it."""
    granted = world.granted(WEEKLY)
    assert world.pull(granted.token, idempotency_key="lost").status_code == 200
    world.clock.advance(timedelta(hours=24))
    again = fresh(world, granted).token
    assert code_of(world.pull(again, idempotency_key="lost")) == (403, "outside_window")
    assert world.pull(again, idempotency_key="other").status_code == 200
    assert code_of(world.pull(again, idempotency_key="third")) == NOT_OVER
    world.clock.advance(timedelta(hours=25))
    later = fresh(world, granted).token
    assert code_of(world.pull(later)) == NOT_OVER  # never acknowledging makes no shorter cycle


def test_every_place_counts(world: World) -> None:
    granted = world.granted({**WEEKLY, "access.max_pulls": 2})
    assert world.pull(granted.token).status_code == 200
    world.collect(bill(NEW))
    assert world.pull(granted.token).status_code == 200
    world.collect(bill(NEW, department="corrected"))
    assert code_of(world.pull(granted.token)) == (403, "no_place_left")


def test_of_many_pulls_at_once_one_gets_the_news(world: World) -> None:
    granted = world.granted(WEEKLY)
    assert world.pull(granted.token).status_code == 200
    world.collect(bill(NEW))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: world.pull(granted.token).status_code, range(8)))
    assert sorted(answers) == [200, *[403] * 7]


def test_a_consent_for_once_knows_no_cycle(world: World) -> None:
    granted = world.granted({"access.max_pulls": 3})
    assert [world.pull(granted.token).status_code for _ in range(3)] == [200] * 3


def test_a_pause_refuses_and_resuming_needs_no_new_token(world: World) -> None:
    granted = world.granted({"access.max_pulls": 3})
    first = world.pull(granted.token, idempotency_key="k")
    world.office.pause(granted.grant_id)
    for key in ("k", "other"):
        assert code_of(world.pull(granted.token, idempotency_key=key)) == (403, "consent_paused")
    assert world.told(granted.grant_id)[-1] == ("delivery.refused", "consent_paused")
    world.office.resume(granted.grant_id)
    assert world.pull(granted.token, idempotency_key="k").content == first.content
    assert world.pull(granted.token, idempotency_key="other").status_code == 200
