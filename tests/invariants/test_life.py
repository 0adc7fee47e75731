"""The invariants of a consent's life, in whatever order things happen, on both databases."""

from collections.abc import Callable

import pytest

from tests.invariants.life import LifeMachine
from tests.invariants.living import live, live_long
from tests.lane.world import World

LONG_LIFE = 50_000  # steps on each database: a hundred thousand together


def test_a_life_in_any_order(world: World) -> None:
    assert live(LifeMachine, world=world, examples=12, steps=25) >= 100


@pytest.mark.slow
def test_fifty_thousand_steps(world: World, record_property: Callable[[str, object], None]) -> None:
    record_property("steps", live_long(LifeMachine, world=world, steps=LONG_LIFE))
