"""`mydata stats`: counts of consents, abandoned flows, deliveries and refusals, without small cells."""

from collections.abc import Iterator, Mapping

import typer

from broker.cli.opening import installation
from broker.cli.output import Cell, Output, OutputFormat, show_json, show_rows

app = typer.Typer()

SUPPRESSED = "*"


@app.command("stats", epilog="Example:  mydata stats -o json")
def stats(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Show statistics by month and purpose, in the metric names of the Consumer Data Right.

    A star (null in JSON) stands for a number that is too small to be told, or that would give one away.
    """
    from consent.counting import statistics

    with installation(context) as opened, opened.data.read() as session:
        found = statistics(session, smallest=opened.settings.statistics.smallest_cell)
    if output is OutputFormat.JSON:
        show_json(found)
        return
    rows: list[tuple[Cell, ...]] = [
        ("", "", metric, _shown(count)) for metric, count in _flat(found["total"])
    ]
    active = found["activeAuthorisationCount"]
    rows.append(("", "", "activeAuthorisationCount", _shown(active["total"])))
    rows += [
        ("", purpose, "activeAuthorisationCount", _shown(count))
        for purpose, count in active["byPurpose"].items()
    ]
    for place in found["byMonthAndPurpose"]:
        metrics = {name: told for name, told in place.items() if name not in {"month", "purpose"}}
        rows += [
            (place["month"], place["purpose"], metric, _shown(count)) for metric, count in _flat(metrics)
        ]
    show_rows(["month", "purpose", "metric", "count"], rows, output)


def _flat(metrics: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Every metric with its count, members as `group.member`; noughts are left out."""
    for name, told in metrics.items():
        if isinstance(told, Mapping):
            yield from ((f"{name}.{member}", count) for member, count in told.items() if count != 0)
        elif told != 0:
            yield name, told


def _shown(count: object) -> str:
    return SUPPRESSED if count is None else str(count)
