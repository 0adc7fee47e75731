"""`mydata source pending`: records of which it is not certain whose they are, or what they say."""

from typing import Annotated

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_json, show_members, show_rows
from broker.cli.staff import acting

app = typer.Typer(
    help="Decide on records that are kept apart: it is not certain whose they are, or what they say.",
    epilog="Example:  mydata source pending list",
    no_args_is_help=True,
)

_Pending = Annotated[str, typer.Argument(help="The id that `mydata source pending list` shows.")]
_Reason = Annotated[str, typer.Option(help="Why; it goes on record with your name.")]


@app.command("list", epilog="Example:  mydata source pending list -o json")
def list_all(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List what waits: where it came from and which rule stopped it, never whose it is or what is in it.

    `record_faulty` can be shown and rejected: only its holder can mend it. `contradicts_another` are two or
    more of one number: accept the right one, once the holder has said which.
    """
    from consent.pending import pending_records

    with installation(context) as opened, opened.data.read() as session:
        found = pending_records(session, opened.keyring)
    columns = ["pending_id", "holder_id", "record_type", "rule", "place", "link_id", "kept", "expires_at"]
    rows = [
        (
            one.pending_id,
            one.holder_id,
            one.record_type,
            one.rule,
            one.place,
            one.link_id,
            "record" if one.has_content else "notice",
            one.expires_at,
        )
        for one in found
    ]
    show_rows(columns, rows, output)


@app.command(epilog="Example:  mydata source pending show PENDING_ID --reason 'the hospital asks'")
def show(context: typer.Context, pending_id: _Pending, *, reason: _Reason) -> None:
    """Open one: who the holder says it is, and the record if it was kept. The look goes on record."""
    from broker.db import transaction
    from consent.pending_decisions import inspect

    _require_reason(reason)
    with installation(context) as opened, transaction(opened.data) as work:
        found = inspect(work, opened.keyring, pending_id, acting(reason), opened.clock())
    identity = found.identity
    show_json(
        {
            "pending_id": found.pending_id,
            "rule": found.rule,
            "place": found.place,
            "person": {"number": identity.number, "name": identity.name, "born_on": identity.born_on},
            "record": found.data,
        }
    )


@app.command(epilog="Example:  mydata source pending accept PENDING_ID --reason 'the name was misspelt'")
def accept(
    context: typer.Context,
    pending_id: _Pending,
    *,
    reason: _Reason,
    link: Annotated[
        str | None, typer.Option(help="The link that it belongs to, if not the one in the list.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """The record is that person's: collect it through the link."""
    from broker.db import transaction
    from consent.errors import NothingKeptError, RecordFaultyError
    from consent.pending_decisions import Admission, admit

    _require_reason(reason)
    admission = Admission(pending_id, acting(reason), link)
    with installation(context) as opened:
        try:
            with transaction(opened.data) as work:
                result = admit(work, opened.keyring, opened.catalogue, admission, opened.clock())
        except RecordFaultyError:
            raise StopError(
                "The record has faults, and nobody but its holder can mend them",
                "Ask the holder; once it has mended the record, run `mydata source sync`, or import it again",
            ) from None
        except NothingKeptError:
            raise StopError(
                "Only a notice was kept: nobody whose number it is had agreed to its collection",
                "Once the person has linked the holder, run `mydata source sync`, or import the file again",
            ) from None
    show_members(
        {"record_id": result.record_id, "version": result.version, "outcome": result.outcome}, output
    )


@app.command(epilog="Example:  mydata source pending reject PENDING_ID --reason 'it is somebody else'")
def reject(
    context: typer.Context,
    pending_id: _Pending,
    *,
    reason: _Reason,
    output: Output = OutputFormat.TABLE,
) -> None:
    """The record is nobody's here: what was kept of it is destroyed."""
    from broker.db import transaction
    from consent.pending_decisions import dismiss

    _require_reason(reason)
    with installation(context) as opened, transaction(opened.data) as work:
        dismiss(work, opened.keyring, pending_id, acting(reason), opened.clock())
    show_members({"pending_id": pending_id, "state": "dismissed"}, output)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise StopError("A reason is needed: it goes on record", code=ExitCode.WRONG_USAGE)
