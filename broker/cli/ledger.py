"""`mydata ledger`: how far the consent log is."""

import typer

from broker.cli.opening import installation
from broker.cli.output import Cell, Output, OutputFormat, show_members

app = typer.Typer(
    help="The consent log.",
    epilog="Example:  mydata ledger status",
    no_args_is_help=True,
)


@app.callback()
def _ledger() -> None:
    """The consent log."""


@app.command(epilog="Example:  mydata ledger status -o json")
def status(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Show the log's head, and the newest signed checkpoint."""
    from broker.jobs.publishing import log_key
    from consent.auditing import head
    from consent.ledger.checkpoint import newest_checkpoint

    with installation(context) as opened:
        with opened.data.read() as session:
            now_committed, signed = head(session), newest_checkpoint(session)
        key = log_key(opened)
    members: dict[str, Cell] = {
        "origin": key.origin,
        "size": now_committed.size,
        "root": now_committed.root.hex(),
        "signed_size": None if signed is None else signed.size,
        "signed_root": None if signed is None else signed.root.hex(),
        "signed_at": now_committed.checkpoint_at,
        "vkey": key.vkey,
    }
    show_members(members, output)
