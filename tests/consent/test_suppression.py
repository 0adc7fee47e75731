"""Small cells are not published, and nothing that is published gives one away (consent/suppression.py)."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.suppression import Cell, Equation, hidden_cells

K = 10


def table(rows: list[list[int]]) -> tuple[dict[Cell, int], list[Equation]]:
    """A table with totals of its rows, its columns, and of all."""
    counts: dict[Cell, int] = {}
    equations: list[Equation] = []
    height, width = len(rows), len(rows[0])
    for r in range(height):
        for c in range(width):
            counts[r, c] = rows[r][c]
        counts[r, "all"] = sum(rows[r])
        equations.append({(r, "all"): -1, **{(r, c): 1 for c in range(width)}})
    for c in range(width):
        counts["all", c] = sum(rows[r][c] for r in range(height))
        equations.append({("all", c): -1, **{(r, c): 1 for r in range(height)}})
    counts["all", "all"] = sum(map(sum, rows))
    equations.append({("all", "all"): -1, **{(r, "all"): 1 for r in range(height)}})
    return counts, equations


def solved(equations: list[Equation], hidden: frozenset[Cell]) -> set[Cell]:
    """The hidden cells whose value follows: another elimination than the program's, over fractions."""
    order = sorted(hidden, key=str)
    matrix = [[Fraction(equation.get(cell, 0)) for cell in order] for equation in equations]
    rank = 0
    for column in range(len(order)):
        pivot = next((row for row in range(rank, len(matrix)) if matrix[row][column]), None)
        if pivot is None:
            continue
        matrix[rank], matrix[pivot] = matrix[pivot], matrix[rank]
        matrix[rank] = [value / matrix[rank][column] for value in matrix[rank]]
        for row in range(len(matrix)):
            if row != rank:
                factor = matrix[row][column]
                matrix[row] = [a - factor * b for a, b in zip(matrix[row], matrix[rank], strict=True)]
        rank += 1
    alone = [[place for place, value in enumerate(row) if value] for row in matrix]
    return {order[places[0]] for places in alone if len(places) == 1}


@pytest.mark.parametrize("count", [1, 5, 9])
def test_a_small_cell_is_hidden_and_so_is_another_that_would_tell_it(count: int) -> None:
    counts, equations = table([[count, 40, 60]])
    hidden = hidden_cells(counts, equations, K)
    assert (0, 0) in hidden
    assert {(0, 1), ("all", 1)} <= hidden
    assert (0, 2) not in hidden


def test_two_small_ones_do_not_tell_their_small_sum() -> None:
    counts: Mapping[Cell, int] = {"a": 3, "b": 4, "c": 90, "d": 80, "all": 177}
    hidden = hidden_cells(counts, [{"all": -1, "a": 1, "b": 1, "c": 1, "d": 1}], K)
    assert hidden == {"a", "b", "d"}


def test_a_small_total_is_hidden_with_its_only_part() -> None:
    counts: Mapping[Cell, int] = {"a": 3, "b": 0, "all": 3}
    assert hidden_cells(counts, [{"all": -1, "a": 1, "b": 1}], K) == {"a", "all"}


def test_what_follows_from_a_balance_is_hidden_too() -> None:
    """Given, less what ended, is active: the one number that is left out would follow."""
    counts: Mapping[Cell, int] = {"given": 50, "ended": 3, "active": 47}
    assert hidden_cells(counts, [{"given": -1, "ended": 1, "active": 1}], K) == {"ended", "active"}


def test_noughts_and_large_cells_are_published() -> None:
    counts, equations = table([[0, 10, 25], [12, 0, 99]])
    assert hidden_cells(counts, equations, K) == frozenset()


def test_with_one_as_the_smallest_everything_is_published() -> None:
    counts, equations = table([[1, 2], [3, 0]])
    assert hidden_cells(counts, equations, 1) == frozenset()


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(0, 30), min_size=width, max_size=width), min_size=1, max_size=4
        )
    )
)
def test_no_small_cell_can_be_worked_out(rows: list[list[int]]) -> None:
    counts, equations = table(rows)
    hidden = hidden_cells(counts, equations, K)
    small = {cell for cell, count in counts.items() if 0 < count < K}
    assert small <= hidden
    assert not solved(equations, hidden) & small
    for equation in equations:
        among: dict[Any, int] = {cell: sign for cell, sign in equation.items() if cell in hidden}
        if len(set(among.values())) == 1:
            assert sum(counts[cell] for cell in among) >= K
    assert all(counts[cell] > 0 for cell in hidden)
