"""How machines are run: so many lives of so many steps, each counted."""

from typing import Any, Protocol

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


class _Counting(Protocol):
    steps_taken: int


def live(
    machine: type[RuleBasedStateMachine],
    *,
    examples: int,
    steps: int,
    number: int | None = None,
    **world: Any,  # noqa: ANN401 - what the machine lives in
) -> int:
    """Live so many lives of so many steps at most in `world`; answers how many steps were taken."""
    living: Any = type(machine.__name__, (machine,), {**world, "steps_taken": 0})
    run_state_machine_as_test(
        living if number is None else seed(number)(living),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            # With threads in it, and random ids, no example is the same a second time.
            phases=[Phase.generate],
        ),
    )
    counting: _Counting = living
    return counting.steps_taken


def live_long(machine: type[RuleBasedStateMachine], *, steps: int, **world: Any) -> int:  # noqa: ANN401 - as above
    """Go on until so many steps were taken; answers how many it came to."""
    taken = rounds = 0
    while taken < steps:
        taken += live(machine, examples=100, steps=50, number=rounds, **world)
        rounds += 1
    return taken
