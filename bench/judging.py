"""Ratios inside one run, and what they must be. Rates are the machine's, ratios are the program's."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bench.runs import Results, Run

# The same ceiling at both ends of a run, or the machine was too unsteady to say anything.
MAX_DRIFT: Final = 1.35
# And what neighbours may take of the cores: a busy machine hits the larger program harder than the smaller.
MAX_OTHERS: Final = 0.15

Outcome = Literal["PASS", "FAIL", "info"]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a ratio must reach, and what it should; `is_floor` tells on which side the good values lie."""

    must: float
    target: float
    is_floor: bool

    def holds(self, value: float) -> bool:
        """Whether the value does what it must."""
        return value >= self.must if self.is_floor else value <= self.must


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of medians. Without a bar it only informs."""

    name: str
    value: float
    bar: Bar | None = None

    @property
    def outcome(self) -> Outcome:
        """The verdict."""
        if self.bar is None:
            return "info"
        return "PASS" if self.bar.holds(self.value) else "FAIL"

    def line(self) -> str:
        """One line for people."""
        if self.bar is None:
            return f"{self.outcome}  {self.name:<58} {self.value:8.3f}"
        sign = ">=" if self.bar.is_floor else "<="
        told = f"must {sign} {self.bar.must:g}, target {sign} {self.bar.target:g}"
        return f"{self.outcome}  {self.name:<58} {self.value:8.3f}  {told}"


def drift(results: Results) -> float:
    """How far the ceilings at the start and at the end lie apart, as a factor of at least 1."""
    ceilings = [run.rate for run in results.runs if run.what == "bare"]
    first, last = ceilings[0], ceilings[-1]
    return max(first, last) / min(first, last)


def unsteadiness(results: Results) -> str | None:
    """Why this run says nothing, if so."""
    moved, others = drift(results), statistics.median(run.others_share for run in results.runs)
    if moved > MAX_DRIFT:
        return f"the ceiling moved {moved:.2f} times during the run, {MAX_DRIFT} is allowed"
    if others > MAX_OTHERS:
        return f"other programs took {others:.0%} of the cores, {MAX_OTHERS:.0%} is allowed"
    return None


def ratios(results: Results) -> list[Ratio]:
    """Every ratio of one place. Medians over the rounds, two workers and 32 connections unless named."""
    rate = _median(results, lambda run: run.rate)
    cpu = _median(results, lambda run: run.cpu_us)
    alone = _median(results, lambda run: run.p50_ms)("pull_alone")
    proof_us = cpu("proof_only") - cpu("bare")
    commits = statistics.median(results.commit_rates)
    found = []
    for what, name in (("pull_first", "pull, first delivery"), ("pull_again", "pull, again")):
        p50 = _median(results, lambda run: run.p50_ms)(what)
        p99 = _median(results, lambda run: run.p99_ms)(what)
        found += [
            Ratio(f"{name}: rate / bare", rate(what) / rate("bare"), Bar(0.10, 0.18, is_floor=True)),
            Ratio(f"{name}: rate / bare with the proof alone", rate(what) / rate("proof_only")),
            Ratio(f"{name}: CPU / bare", cpu(what) / cpu("bare"), Bar(8, 5, is_floor=False)),
            Ratio(f"{name}: CPU without the proof's / bare", (cpu(what) - proof_us) / cpu("bare")),
            Ratio(f"{name}: rate / naive", rate(what) / rate("naive"), Bar(12, 20, is_floor=True)),
            Ratio(f"{name}: rate / single-row commits", rate(what) / commits, Bar(0.7, 1.1, is_floor=True)),
            Ratio(f"{name}: p99 / p50", p99 / p50, Bar(10, 6, is_floor=False)),
            Ratio(f"{name}: p99 in ms", p99, Bar(100, 100, is_floor=False)),
        ]
    fdatasync = statistics.median(results.fdatasync_ms)
    found.append(Ratio("one connection: p50 / fdatasync", alone / fdatasync, Bar(15, 8, is_floor=False)))
    return found


def table(results: Results) -> list[str]:
    """Lines: one for each kind of run, medians over its rounds."""
    lines = [_HEADING]
    for what in dict.fromkeys(run.what for run in results.runs):
        runs = [run for run in results.runs if run.what == what]
        values = [_middle(runs, pick) for pick in _COLUMNS]
        lines.append(
            f"{what:<16} {runs[0].workers:>2} {runs[0].connections:>3} {values[0]:>10.0f} {values[1]:>8.2f} "
            f"{values[2]:>8.2f} {values[3]:>8.0f} {values[4]:>10.0f} {len(runs):>5}"
        )
    commits = statistics.median(results.commit_rates)
    lines.append(f"{'single_commits':<16} {'':>6} {commits:>10.0f} {'':>41} {len(results.commit_rates):>5}")
    lines.append(f"{'fdatasync':<16} {'':>17} {statistics.median(results.fdatasync_ms):>8.2f}")
    return lines


_HEADING: Final = (
    f"{'':<16} {'w':>2} {'c':>3} {'answers/s':>10} {'p50 ms':>8} {'p99 ms':>8} "
    f"{'CPU us':>8} {'db CPU us':>10} {'runs':>5}"
)
_COLUMNS: Final[tuple[Callable[[Run], float], ...]] = (
    lambda run: run.rate,
    lambda run: run.p50_ms,
    lambda run: run.p99_ms,
    lambda run: run.cpu_us,
    lambda run: run.database_cpu_us,
)


def _median(results: Results, pick: Callable[[Run], float]) -> Callable[[str], float]:
    def of(what: str) -> float:
        return _middle([run for run in results.runs if run.what == what], pick)

    return of


def _middle(runs: Sequence[Run], pick: Callable[[Run], float]) -> float:
    return statistics.median(pick(run) for run in runs)
