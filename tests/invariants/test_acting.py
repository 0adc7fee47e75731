"""People who act for people, in any order, on both databases."""

from collections.abc import Callable

import pytest

from tests.invariants.acting import ActingMachine
from tests.invariants.living import live, live_long
from tests.lane.world import World

LONG = 4_000  # steps on each database


def test_whoever_acts_for_somebody_does_so_while_they_may(world: World) -> None:
    assert live(ActingMachine, world=world, examples=6, steps=20) >= 50


@pytest.mark.slow
def test_whoever_acts_for_somebody_does_so_while_they_may_for_long(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    record_property("steps", live_long(ActingMachine, world=world, steps=LONG))
