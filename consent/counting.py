"""Statistics as they are kept and as they are published.

Kept: the fold as far as it was taken, and the flows that ended before there was a consent. Published: tables
without small cells (`consent.suppression`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from sqlmodel import Session, col, select

from consent.evidence import Work
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import AbandonedFlow, StatisticsFold
from consent.statistics import ALWAYS, ENDED, NEW, REFUSALS, STAGES, Fold, month_of
from consent.suppression import Cell, Equation, hidden_cells
from vault.insert import insert_if_absent

ACTIVE: Final = "activeAuthorisationCount"
ABANDONED: Final = "abandonedConsentFlowCount"
NOT_A_STEP: Final = "preAccountSelection"
"""Holders and items are chosen on the page on which a person agrees: nobody can leave in between."""

_NAME: Final = "log"
_PAGE: Final = 1000


def read_fold(session: Session) -> Fold:
    """The fold over the whole log as it is committed now: what was kept, and what came since."""
    kept = session.get(StatisticsFold, _NAME)
    fold = (None if kept is None else Fold.from_state(orjson.loads(kept.body))) or Fold()
    return fold.take_all(_events(session, fold.size))


def keep_fold(work: Work) -> int:
    """Keep the fold as far as the log goes, so that the next reading begins there; answers how far."""
    fold = read_fold(work.session)
    body = orjson.dumps(fold.to_state()).decode()
    if not insert_if_absent(work.session, StatisticsFold, {"name": _NAME, "size": fold.size, "body": body}):
        row = work.session.exec(
            select(StatisticsFold).where(StatisticsFold.name == _NAME).with_for_update()
        ).one()
        row.size, row.body = fold.size, body
    return fold.size


def count_abandoned(work: Work, stage: str, purposes: Mapping[str, int], now: datetime) -> None:
    """Flows that ended before there was a consent, by purpose; their rows are deleted with this commit."""
    for purpose, flows in sorted(purposes.items()):
        key = {"month": month_of(now), "purpose": purpose, "stage": stage}
        if not insert_if_absent(work.session, AbandonedFlow, {**key, "flows": flows}):
            row = work.session.get_one(AbandonedFlow, tuple(key.values()), with_for_update=True)
            row.flows += flows


def statistics(session: Session, *, smallest: int) -> dict[str, Any]:
    """The published tables, plain; None stands for what is suppressed."""
    fold = read_fold(session)
    counts = fold.counts.copy()
    for flow in session.exec(select(AbandonedFlow)):
        counts[STAGES + flow.stage, flow.month, flow.purpose] += flow.flows
    active = fold.active_by_purpose()
    table = _Table(counts, active)
    hidden = hidden_cells(table.cells, table.equations, smallest)
    shown = {cell: None if cell in hidden else count for cell, count in table.cells.items()}
    return {
        "size": fold.size,
        "smallestCell": smallest,
        "suppressedCells": len(hidden),
        ACTIVE: {
            "total": shown[ACTIVE, None, None],
            "byPurpose": {purpose: shown[ACTIVE, None, purpose] for purpose in table.purposes},
        },
        "total": _nested({metric: shown[metric, None, None] for metric in table.metrics}),
        "byMonthAndPurpose": [
            {
                "month": month,
                "purpose": purpose,
                **_nested({metric: shown[metric, month, purpose] for metric in table.metrics}),
            }
            for month, purpose in table.places
        ],
    }


class _Table:
    """Every cell that is published, and the equations that bind them. A cell is (metric, month, purpose)."""

    def __init__(self, counts: Counter[tuple[str, str, str]], active: Counter[str]) -> None:
        self.places = sorted({(month, purpose) for _, month, purpose in counts})
        self.purposes = sorted({*active, *(purpose for _, purpose in self.places)})
        reasons = sorted({metric for metric, _, _ in counts} - set(ALWAYS))
        self.metrics = [*ALWAYS, *reasons, ABANDONED]
        self.cells: dict[Cell, int] = {
            (metric, *place): counts[metric, *place] for metric in self.metrics for place in self.places
        }
        self.equations: list[Equation] = []
        stages = [metric for metric in ALWAYS if metric.startswith(STAGES)]
        for place in self.places:
            self._sum((ABANDONED, *place), [(stage, *place) for stage in stages])
        for metric in self.metrics:
            self._sum((metric, None, None), [(metric, *place) for place in self.places])
        self._sum((ABANDONED, None, None), [(stage, None, None) for stage in stages])
        for purpose in self.purposes:
            self._balance(purpose, active[purpose])
        self._sum((ACTIVE, None, None), [(ACTIVE, None, purpose) for purpose in self.purposes])

    def _sum(self, total: Cell, parts: list[Cell]) -> None:
        """A total that is published beside its parts."""
        self.cells[total] = sum(self.cells[part] for part in parts)
        self.equations.append({total: -1, **dict.fromkeys(parts, 1)})

    def _balance(self, purpose: str, active: int) -> None:
        """What was given and has not ended is active: whoever knows all but one knows the last."""
        self.cells[ACTIVE, None, purpose] = active
        months = [month for month, place_purpose in self.places if place_purpose == purpose]
        given: dict[Cell, int] = {(metric, month, purpose): 1 for metric in NEW for month in months}
        ended: dict[Cell, int] = {(metric, month, purpose): -1 for metric in ENDED for month in months}
        self.equations.append({(ACTIVE, None, purpose): -1, **given, **ended})


def _nested(metrics: Mapping[str, int | None]) -> dict[str, Any]:
    """`a.b` as a member b of a; what is no step of ours stays at nought."""
    nested: dict[str, Any] = {}
    for name, count in metrics.items():
        group, _, member = name.partition(".")
        if member:
            nested.setdefault(group, {})[member] = count
        else:
            nested[name] = count
    nested[STAGES.removesuffix(".")][NOT_A_STEP] = 0
    nested.setdefault(REFUSALS.removesuffix("."), {})
    return nested


def _events(session: Session, start: int) -> Iterator[Event]:
    """The log's events from an index on, in pages."""
    while page := session.exec(
        select(LedgerEntry.leaf)
        .where(col(LedgerEntry.idx) >= start)
        .order_by(col(LedgerEntry.idx))
        .limit(_PAGE)
    ).all():
        yield from map(Event.from_leaf, page)
        start += len(page)
