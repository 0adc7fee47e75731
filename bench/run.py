"""`make bench`: the broker against its baselines, on both databases. Table, verdicts, build/bench.json.

    python -m bench.run [--quick | --full] [--db pg | sqlite | both]

Exit code 0 if every ratio does what it must, 1 if not, 3 if the machine was too unsteady to judge.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from bench import importing, judging
from bench.machine import busy, describe, say
from bench.places import Kind, Place, opened
from bench.runs import FULL, QUICK, Plan, measure
from broker.cli.opening import read_clock

_ROOT: Final = Path(__file__).parents[1]
_OUTPUT: Final = _ROOT / "build" / "bench.json"
_PASSED, _FAILED, _COULD_NOT_JUDGE = 0, 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    told = _parser().parse_args(arguments)
    plan = QUICK if told.quick else FULL
    kinds: list[Kind] = ["pg", "sqlite"] if told.db == "both" else [told.db]
    began = time.perf_counter()
    # Spawned: a fork would take this process's database connections along.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as executor:
        found = {kind: _on(kind, plan, executor) for kind in kinds}
    say(f"\n{time.perf_counter() - began:.0f} s in all; every run is in {told.output}")
    report = {"at": read_clock().isoformat(), "plan": asdict(plan), "databases": found}
    told.output.parent.mkdir(parents=True, exist_ok=True)
    told.output.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return max(int(one["outcome"]) for one in found.values())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="about a minute, and coarse")
    size.add_argument("--full", action="store_true", help="the default")
    parser.add_argument("--db", choices=["pg", "sqlite", "both"], default="both")
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    return parser


def _on(kind: Kind, plan: Plan, executor: Executor) -> dict[str, Any]:
    """Everything on one kind of database."""
    before = busy()
    with opened(kind) as place:
        machine = describe(place.folder, place.version)
        say(f"\n{_title(place)}")
        results = measure(place, plan, executor)
        for line in judging.table(results):
            say(line)
        imported = importing.measure(place, plan)
    ratios = [*judging.ratios(results), *importing.ratios(imported)]
    reason = judging.unsteadiness(results)
    return {
        "machine": machine,
        "before": before,
        "after": busy(),
        "outcome": _verdict(ratios, reason),
        "not_judged": reason,
        "ceiling_drift": judging.drift(results),
        "ratios": [asdict(ratio) | {"outcome": ratio.outcome} for ratio in ratios],
        **asdict(results),
        "import": asdict(imported),
    }


def _title(place: Place) -> str:
    return "SQLite, synchronous=FULL" if place.version is None else f"PostgreSQL {place.version}, fsync=on"


def _verdict(ratios: Sequence[judging.Ratio], reason: str | None) -> int:
    if reason is not None:
        say(f"not judged: {reason}")
        for ratio in ratios:
            say(f"    {ratio.line()[4:]}")
        return _COULD_NOT_JUDGE
    for ratio in ratios:
        say(ratio.line())
    return _FAILED if any(ratio.outcome == "FAIL" for ratio in ratios) else _PASSED


if __name__ == "__main__":
    raise SystemExit(main())
