"""Which cells of a table of counts may be published: none under k, and none that others give away.

Cells are bound by equations (a total is the sum of its parts). What is small is hidden; then further cells,
until no hidden one follows from what is published, and no hidden sum under k does. Checked exactly, by
elimination over the equations; only that counts are not negative is not made use of.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

Cell = Hashable
Equation = Mapping[Cell, int]
"""Coefficients of cells whose weighted sum is nought."""

_PRIME: Final = (1 << 61) - 1


def hidden_cells(counts: Mapping[Cell, int], equations: Sequence[Equation], smallest: int) -> frozenset[Cell]:
    """The cells that must not be published. A nought tells of nobody and is published.

    `counts` holds a number of nought or more for every cell of the equations.
    """
    hidden = {cell for cell, count in counts.items() if 0 < count < smallest}
    while (weak := _weak(counts, equations, hidden, smallest)) is not None:
        hidden.add(weak)
    return frozenset(hidden)


def _weak(
    counts: Mapping[Cell, int], equations: Sequence[Equation], hidden: set[Cell], smallest: int
) -> Cell | None:
    """A cell to hide next, because something hidden would be given away; None if nothing would be."""
    touched = [equation for equation in equations if not hidden.isdisjoint(equation)]
    for equation in touched:
        signs = [sign for cell, sign in equation.items() if cell in hidden]
        known_sum = sum(counts[cell] for cell in equation if cell in hidden)
        if len(set(signs)) == 1 and known_sum < smallest:
            return _smallest(counts, _shown(counts, [equation], hidden))
    determined = _determined(touched, hidden)
    if any(counts[cell] < smallest for cell in determined):
        holding = [equation for equation in touched if not determined.isdisjoint(equation)]
        cover = _shown(counts, holding, hidden) or _shown(counts, touched, hidden)
        return _smallest(counts, cover)
    return None


def _shown(counts: Mapping[Cell, int], equations: Sequence[Equation], hidden: set[Cell]) -> set[Cell]:
    """The published cells with anybody in them, of those that the equations bind."""
    return {cell for equation in equations for cell in equation if cell not in hidden and counts[cell] > 0}


def _smallest(counts: Mapping[Cell, int], cells: set[Cell]) -> Cell:
    """There is one: with nothing but noughts published, what is hidden would be nought."""
    return min(cells, key=lambda cell: (counts[cell], str(cell)))


def _determined(equations: Sequence[Equation], hidden: set[Cell]) -> set[Cell]:
    """The hidden cells whose value the equations fix: reduced to echelon form, a row with one cell only."""
    rows: dict[Cell, dict[Cell, int]] = {}  # by the cell that a row is solved for
    for equation in equations:
        row = {cell: sign % _PRIME for cell, sign in equation.items() if cell in hidden}
        for pivot, solved in rows.items():
            if pivot in row:
                _subtract(row, solved, row[pivot])
        if not row:
            continue
        pivot, leading = next(iter(row.items()))
        inverse = pow(leading, -1, _PRIME)
        row = {cell: factor * inverse % _PRIME for cell, factor in row.items()}
        for solved in rows.values():
            if pivot in solved:
                _subtract(solved, row, solved[pivot])
        rows[pivot] = row
    return {pivot for pivot, row in rows.items() if len(row) == 1}


def _subtract(row: dict[Cell, int], other: Mapping[Cell, int], times: int) -> None:
    for cell, factor in other.items():
        value = (row.get(cell, 0) - factor * times) % _PRIME
        if value:
            row[cell] = value
        else:
            row.pop(cell, None)
