"""`mydata source`: holders, and the records that they deliver as files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.failures import ExitCode
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, progress, show_json, show_rows

if TYPE_CHECKING:
    from broker.jobs.importing import ImportReport

app = typer.Typer(
    help="Holders, and what they deliver.",
    epilog="Example:  mydata source import export-2026-11.jsonl",
    no_args_is_help=True,
)


@app.command("list", epilog="Example:  mydata source list -o json")
def list_all(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List the holders."""
    from consent.organisations import organisations

    with installation(context) as opened, opened.data.read() as session:
        holders = [row for row in organisations(session) if row.is_holder]
    rows = [(row.organisation_id, row.name_ko, row.name_en, row.status) for row in holders]
    show_rows(["holder_id", "name_ko", "name_en", "status"], rows, output)


@app.command("import", epilog="Example:  mydata source import export-2026-11.jsonl export-2026-12.jsonl")
def import_(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(help="Export files of a holder.", exists=True, dir_okay=False)
    ],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Import a holder's export files; a second run adds only what is missing.

    Each record that is refused is named as FILE:PLACE PATH RULE and the exit code is 1; the others are kept.
    """
    from broker.jobs.importing import import_files

    with installation(context) as opened, progress("importing") as report_progress:
        done = 0

        def count(lines: int) -> None:
            nonlocal done
            done += lines
            report_progress(done, None)

        report = import_files(opened, files, opened.clock, count)
    _show(report, output)
    if report.faults:
        raise typer.Exit(ExitCode.REFUSED)


def _show(report: "ImportReport", output: OutputFormat) -> None:
    counts = {"added": report.added, "corrected": report.corrected, "unchanged": report.unchanged}
    if output is OutputFormat.JSON:
        faults = [
            {"file": one.file, "place": one.place, "path": one.path, "rule": one.rule}
            for one in report.faults
        ]
        show_json({**counts, "faults": faults})
        return
    for fault in report.faults:
        typer.echo(f"{fault.file}:{fault.place} {fault.path} {fault.rule}", err=True)
    typer.echo(
        ", ".join(f"{name} {count}" for name, count in counts.items()) + f", refused {len(report.faults)}"
    )
