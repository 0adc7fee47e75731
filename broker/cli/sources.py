"""`mydata source`: holders, and the records that they deliver as files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from broker.cli import pending
from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, progress, show_json, show_members, show_rows

if TYPE_CHECKING:
    from broker.jobs.importing import ImportReport

app = typer.Typer(
    help="Holders, and what they deliver.",
    epilog="Example:  mydata source import export-2026-11.jsonl",
    no_args_is_help=True,
)
app.add_typer(pending.app, name="pending")


@app.command("list", epilog="Example:  mydata source list -o json")
def list_all(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List the holders: where each is asked, how many links it has, how many fail, and why mostly."""
    from consent.organisations import organisations
    from consent.progress import HolderStanding, holder_standings

    with installation(context) as opened, opened.data.read() as session:
        holders = [row for row in organisations(session) if row.is_holder]
        standings = holder_standings(session, opened.clock())
    nobody = HolderStanding(endpoint=None, links=0, failing=0, fault=None)
    columns = ["holder_id", "name_ko", "name_en", "status", "endpoint", "links", "failing", "fault"]
    rows = [
        (
            row.organisation_id,
            row.name_ko,
            row.name_en,
            row.status,
            *(getattr(standings.get(row.organisation_id, nobody), name) for name in columns[4:]),
        )
        for row in holders
    ]
    show_rows(columns, rows, output)


@app.command("import", epilog="Example:  mydata source import export-2026-11.jsonl export-2026-12.jsonl")
def import_(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(help="Export files of a holder.", exists=True, dir_okay=False)
    ],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Import a holder's export files; a second run adds only what is missing.

    Each record that is refused or kept apart (`mydata source pending`) is named as FILE:PLACE PATH RULE and
    the exit code is 1; the others are kept.
    """
    from broker.jobs.importing import count_lines, import_files

    with installation(context) as opened, progress("importing") as report_progress:
        done, total = 0, count_lines(files)

        def count(lines: int) -> None:
            nonlocal done
            done += lines
            report_progress(done, total)

        report = import_files(opened, files, opened.clock, count)
    _show(report, output)
    if report.faults:
        raise typer.Exit(ExitCode.REFUSED)


@app.command(
    epilog="Example:  mydata source connect seoul-hospital --url https://hospital.example/transmissions"
)
def connect(
    context: typer.Context,
    holder_id: Annotated[str, typer.Argument(help="The id of a registered holder.")],
    *,
    url: Annotated[str, typer.Option(help="Where it answers transmission requests: https.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Say where a holder answers, so that it is asked for what is new; a second time, the new address."""
    from broker.db import transaction
    from consent.progress import connect as connect_holder

    with installation(context) as opened:
        _check_address(url, is_demo=opened.settings.server.profile == "demo")
        with transaction(opened.data) as work:
            connect_holder(work.session, holder_id, url, opened.clock())
    show_members({"holder_id": holder_id, "endpoint": url}, output)


@app.command(epilog="Example:  mydata source sync seoul-hospital")
def sync(
    context: typer.Context,
    holder_id: Annotated[str | None, typer.Argument(help="One holder. Default: every connected one.")] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Ask holders that have an interface for what is new, now; `mydata worker` does it once a day.

    The exit code is 1 if a holder refused, or answered what cannot be used; 3 if it could not be reached.
    """
    from broker.jobs.syncing import NOT_REACHED
    from broker.jobs.syncing import sync as sync_holders

    with installation(context) as opened:
        done = sync_holders(opened, opened.clock(), holder_id=holder_id, is_forced=True)
    counts = ("pages", "added", "corrected", "unchanged", "held", "refused", "doubted")
    columns = ("holder_id", "link_id", *counts)
    rows = [(*(getattr(one, name) for name in columns), one.fault or one.refusal) for one in done]
    show_rows([*columns, "fault"], rows, output)
    if any(one.refusal or one.refused or (one.fault and one.fault not in NOT_REACHED) for one in done):
        raise typer.Exit(ExitCode.REFUSED)
    if any(one.fault for one in done):
        raise typer.Exit(ExitCode.COULD_NOT_CHECK)


def _check_address(url: str, *, is_demo: bool) -> None:
    from broker.setting_rules import is_loopback

    parts = urlsplit(url)
    is_local = parts.scheme == "http" and is_demo and is_loopback(parts.hostname or "")
    if not parts.hostname or parts.username is not None or not (parts.scheme == "https" or is_local):
        raise StopError("The address must be an https URL without credentials", code=ExitCode.WRONG_USAGE)


def _show(report: "ImportReport", output: OutputFormat) -> None:
    counts = {"added": report.added, "corrected": report.corrected, "unchanged": report.unchanged}
    if output is OutputFormat.JSON:
        faults = [
            {"file": one.file, "place": one.place, "path": one.path, "rule": one.rule}
            for one in report.faults
        ]
        warnings = [
            {"file": file, "path": path, "rule": rule, "records": records}
            for (file, path, rule), records in sorted(report.warnings.items())
        ]
        show_json({**counts, "faults": faults, "warnings": warnings})
        return
    for (file, path, rule), records in sorted(report.warnings.items()):
        typer.echo(f"{file} {path} {rule} (warning, {records} records)", err=True)
    for fault in report.faults:
        typer.echo(f"{fault.file}:{fault.place} {fault.path} {fault.rule}", err=True)
    typer.echo(
        ", ".join(f"{name} {count}" for name, count in counts.items()) + f", refused {len(report.faults)}"
    )
