"""What is asked and answered while a purpose gets tighter, in any order, on both databases."""

from collections.abc import Callable

import pytest

from tests.invariants.asking import AskingMachine
from tests.invariants.living import live, live_long
from tests.lane.world import World

LONG = 3_000  # steps on each database


def test_nothing_more_is_asked_or_answered_than_may_be(world: World) -> None:
    assert live(AskingMachine, world=world, alike={}, examples=6, steps=20) >= 50


@pytest.mark.slow
def test_nothing_more_is_asked_or_answered_for_long(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    record_property("steps", live_long(AskingMachine, world=world, alike={}, steps=LONG))
