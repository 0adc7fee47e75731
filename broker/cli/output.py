"""What commands print: a table for people, tab-separated lines for pipes, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol

import typer

Cell = str | int | bool | datetime | None


class OutputFormat(StrEnum):
    """The forms of an answer."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[OutputFormat, typer.Option("-o", "--output", help="What to print: a table, or JSON.")]


class Report(Protocol):
    """Called with how much was done, and how much there is to do if that is known."""

    def __call__(self, done: int, total: int | None) -> None: ...


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[Cell]], output: OutputFormat) -> None:
    """Several things of one kind."""
    listed = [list(row) for row in rows]
    if output is OutputFormat.JSON:
        show_json([{name: _plain(cell) for name, cell in zip(columns, row, strict=True)} for row in listed])
    elif sys.stdout.isatty():
        _show_table(columns, listed)
    else:
        typer.echo("\t".join(columns))
        for row in listed:
            typer.echo("\t".join(_text(cell) for cell in row))


def show_members(members: Mapping[str, Cell], output: OutputFormat) -> None:
    """One thing with its members."""
    if output is OutputFormat.JSON:
        show_json({name: _plain(cell) for name, cell in members.items()})
        return
    width = max((len(name) for name in members), default=0)
    for name, cell in members.items():
        typer.echo(f"{name:{width}}  {_text(cell)}".rstrip())


def show_json(value: object) -> None:
    """Any JSON value, readable for people too."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """A progress bar on a terminal; anywhere else nothing."""
    if not sys.stderr.isatty():
        yield _say_nothing
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def _say_nothing(done: int, total: int | None) -> None:
    del done, total


def _show_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(_text(cell)) for cell in row))
    Console().print(table)


def _plain(cell: Cell) -> str | int | bool | None:
    return cell.isoformat() if isinstance(cell, datetime) else cell


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    # A cell is one line: what came from outside cannot forge another one, nor steer the terminal.
    text = cell.isoformat() if isinstance(cell, datetime) else str(cell)
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
