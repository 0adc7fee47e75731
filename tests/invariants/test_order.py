"""What must be in order around consents, in whatever order things happen, on both databases."""

from collections.abc import Callable

import pytest

from tests.invariants.living import live, live_long
from tests.invariants.order import OrderMachine
from tests.lane.world import World

LONG = 1_000  # steps on each database


def test_everything_is_in_order_whatever_happens(world: World) -> None:
    assert live(OrderMachine, world=world, examples=6, steps=20) >= 50


@pytest.mark.slow
def test_everything_is_in_order_for_long(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    record_property("steps", live_long(OrderMachine, world=world, steps=LONG))
