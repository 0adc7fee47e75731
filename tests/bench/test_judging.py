from dataclasses import replace

import pytest

from bench.judging import Bar, Ratio, drift, ratios, table, unsteadiness
from bench.runs import Results, Run

RUN = Run(
    what="bare",
    workers=2,
    connections=32,
    round=0,
    rate=20_000,
    p50_ms=1,
    p99_ms=4,
    cpu_us=30,
    database_cpu_us=0,
    answers=20_000,
    seconds=1,
    body_bytes=1_000,
    signing_seconds=0,
    others_share=0.02,
)


@pytest.fixture
def results() -> Results:
    """One round whose every ratio does what it must."""
    pull = replace(RUN, rate=4_000, p50_ms=8, p99_ms=40, cpu_us=200, signing_seconds=1)
    runs = [
        RUN,
        replace(pull, what="pull_first"),
        replace(pull, what="pull_again"),
        replace(pull, what="pull_again_one", workers=1),
        replace(pull, what="pull_alone", connections=1, p50_ms=2),
        replace(RUN, what="proof_only", rate=9_000, cpu_us=140),
        replace(RUN, what="naive", rate=250, cpu_us=4_000),
        RUN,
    ]
    return Results(runs=runs, commit_rates=[5_000], fdatasync_ms=[0.2])


def changed(results: Results, what: str, **changes: float) -> Results:
    runs = [replace(run, **changes) if run.what == what else run for run in results.runs]  # type: ignore[arg-type]  # numbers all
    return replace(results, runs=runs)


def failed(results: Results) -> set[str]:
    return {ratio.name.partition(": ")[2] for ratio in ratios(results) if ratio.outcome == "FAIL"}


def test_nothing_fails_that_does_what_it_must(results: Results) -> None:
    assert failed(results) == set()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"rate": 1_900}, {"rate / bare", "rate / naive", "rate / single-row commits"}),
        ({"cpu_us": 241}, {"CPU / bare"}),
        ({"p50_ms": 3.9}, {"p99 / p50"}),
        ({"p50_ms": 20, "p99_ms": 101}, {"p99 in ms"}),
    ],
)
def test_a_ratio_below_its_bar_fails(results: Results, changes: dict[str, float], names: set[str]) -> None:
    assert failed(changed(results, "pull_first", **changes)) == names


def test_the_share_of_the_proof_is_told_beside_the_ratio_that_is_judged(results: Results) -> None:
    told = {ratio.name: ratio for ratio in ratios(results)}
    assert told["pull, again: CPU / bare"].value == pytest.approx(200 / 30)
    without = told["pull, again: CPU without the proof's / bare"]
    assert without.value == pytest.approx((200 - (140 - 30)) / 30)
    assert without.outcome == "info"


@pytest.mark.parametrize(("is_floor", "good", "bad"), [(True, 10, 9.99), (False, 10, 10.01)])
def test_a_bar_is_met_on_its_edge(*, is_floor: bool, good: float, bad: float) -> None:
    bar = Bar(10, 5, is_floor=is_floor)
    assert (Ratio("r", good, bar).outcome, Ratio("r", bad, bar).outcome) == ("PASS", "FAIL")
    assert "must >= 10" in Ratio("r", good, bar).line() if is_floor else "must <= 10"


@pytest.mark.parametrize("last", [20_000 / 1.36, 20_000 * 1.36])
def test_a_ceiling_that_moved_is_not_judged(results: Results, last: float) -> None:
    results.runs[-1] = replace(RUN, rate=last)
    assert drift(results) == pytest.approx(1.36)
    assert "the ceiling moved" in str(unsteadiness(results))


def test_a_busy_machine_is_not_judged(results: Results) -> None:
    assert unsteadiness(results) is None
    busy = replace(results, runs=[replace(run, others_share=0.16) for run in results.runs])
    assert "other programs took 16%" in str(unsteadiness(busy))


def test_the_table_has_a_line_for_each_kind_of_run(results: Results) -> None:
    lines = table(results)
    assert [line.split()[0] for line in lines[1:]] == [
        "bare",
        "pull_first",
        "pull_again",
        "pull_again_one",
        "pull_alone",
        "proof_only",
        "naive",
        "single_commits",
        "fdatasync",
    ]
