"""`mydata audit`: read the consent log, hand it out, and check what was handed out."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Cell, Output, OutputFormat, show_json, show_members, show_rows

if TYPE_CHECKING:
    from sqlmodel import Session

    from consent.auditing import EventView

app = typer.Typer(
    help="Read, export and verify the consent log.",
    epilog="Example:  mydata audit verify ./log",
    no_args_is_help=True,
)

_PAGE = 500


@app.command(
    epilog="Example:  mydata audit search --type consent.withdrawn --since 2026-11-01T00:00:00+09:00"
)
def search(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    *,
    kind: Annotated[str | None, typer.Option("--type", help="Only this kind of event.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only events of this recipient.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Only events of this purpose.")] = None,
    handle: Annotated[str | None, typer.Option(help="Only events of this consent or link.")] = None,
    since: Annotated[str | None, typer.Option(help="From this instant on (ISO 8601 with a zone).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this instant (ISO 8601 with a zone).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Search the whole log, newest first. Events hold no personal data; details stay sealed."""
    from_, before = _instant(since, "--since"), _instant(until, "--until")
    wanted = {"type": kind, "recipient": recipient, "purpose": purpose, "handle": handle}

    def is_wanted(event: "EventView") -> bool:
        is_in_time = (from_ is None or event.at >= from_) and (before is None or event.at < before)
        return is_in_time and all(
            value is None or getattr(event, name) == value for name, value in wanted.items()
        )

    with installation(context) as opened, opened.data.read() as session:
        found = list(islice(filter(is_wanted, _all_events(session)), limit))
    if output is OutputFormat.JSON:
        show_json([_event(event) for event in found])
        return
    rows = [(one.index, one.at, one.type, one.recipient, one.purpose, one.handle) for one in found]
    show_rows(["index", "at", "type", "recipient", "purpose", "handle"], rows, output)
    if len(found) == limit:
        typer.echo(f"The first {limit} only; --limit shows more.", err=True)


@app.command(epilog="Example:  mydata audit export ./log")
def export(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="A directory that is empty or not there yet.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Sign the head and write the whole log as a directory that anybody can verify."""
    from broker.jobs.publishing import log_key, publish
    from consent.ledger.export import export_log

    with installation(context) as opened:
        vkey = log_key(opened).vkey
        publish(opened, opened.clock())
        try:
            with opened.data.read() as session:
                exported = export_log(session, directory, vkey=vkey)
        except OSError as error:
            raise StopError(
                f"{directory} cannot be written: {error.strerror}", code=ExitCode.COULD_NOT_CHECK
            ) from None
    checkpoint = exported.checkpoint
    members: dict[str, Cell] = {
        "directory": str(directory),
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "vkey": vkey,
    }
    show_members({**members, "files": exported.files}, output)


@app.command(epilog="Example:  mydata audit verify ./log --vkey 'mydata.example/log+1a2b3c4d+AfoO...'")
def verify(
    directory: Annotated[Path, typer.Argument(help="What `mydata audit export` wrote.")],
    *,
    vkey: Annotated[
        str | None, typer.Option(help="The log's verifier key, if you have it from elsewhere.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Check an exported log: every entry, every hash, the signature. Needs no network and no database.

    Exit code 0 if it holds, 1 if it is falsified, 3 if something is missing or cannot be read.
    """
    from consent.ledger.verify import VerifierKeyInvalidError, verify_export

    try:
        report = verify_export(directory, vkey)
    except VerifierKeyInvalidError:
        raise StopError("--vkey is not an Ed25519 verifier key", code=ExitCode.WRONG_USAGE) from None
    members: dict[str, str | int | bool | None] = {
        "outcome": report.outcome,
        "key_is_pinned": report.key_is_pinned,
    }
    if report.head is not None:
        members |= {"origin": report.head.origin, "size": report.head.size, "root": report.head.root.hex()}
    if report.reason is not None:
        members |= {"place": report.place, "reason": report.reason}
    show_members(members, output)
    raise typer.Exit(report.exit_code)


@app.command(epilog="Example:  mydata audit prove 42 > entry-42.proof")
def prove(
    context: typer.Context,
    index: Annotated[int, typer.Argument(min=0, help="The entry's place in the log, from 0.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Print the proof that an entry is in the log (c2sp.org/tlog-proof), under a new checkpoint."""
    from broker.jobs.publishing import publish
    from consent.ledger.proof import inclusion_proof

    with installation(context) as opened:
        publish(opened, opened.clock())
        with opened.data.read() as session:
            proof = inclusion_proof(session, index)
    if output is OutputFormat.JSON:
        show_json({"index": index, "proof": proof})
    else:
        typer.echo(proof, nl=False)


def _all_events(session: "Session") -> "Iterator[EventView]":
    from consent.auditing import events

    before: int | None = None
    while page := events(session, before=before, limit=_PAGE):
        yield from page
        before = page[-1].index


def _event(event: "EventView") -> dict[str, object]:
    return {
        "index": event.index,
        "at": event.at.isoformat(),
        "type": event.type,
        "recipient": event.recipient,
        "purpose": event.purpose,
        "handle": event.handle,
        "facts": event.facts,
        "leaf_hash": event.leaf_hash.hex(),
    }


def _instant(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        problem = f"{option} is no instant with a zone, such as 2026-11-01T00:00:00+09:00"
        raise StopError(problem, code=ExitCode.WRONG_USAGE)
    return instant
