"""`mydata duty`: what was to be told to recipients and was given up."""

from typing import Annotated

import typer

from broker.cli.failures import StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_members, show_rows

app = typer.Typer(
    help="Events that were given up, and another try for them.",
    epilog="Example:  mydata duty list",
    no_args_is_help=True,
)


@app.command("list", epilog="Example:  mydata duty list -o json")
def list_dead(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List every event that was given up: its recipient did not take it for too long."""
    from consent.outbox import dead_duties

    with installation(context) as opened, opened.data.read() as session:
        rows = [
            (duty.duty_id, duty.kind, duty.fault or "", str(duty.attempts), duty.created_at)
            for duty in dead_duties(session)
        ]
    show_rows(["duty_id", "kind", "fault", "attempts", "since"], rows, output)


@app.command(epilog="Example:  mydata duty replay --all")
def replay(
    context: typer.Context,
    duty_id: Annotated[str | None, typer.Argument(help="The event's id.")] = None,
    *,
    is_all: Annotated[bool, typer.Option("--all", help="Every event that was given up.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Have an event tried again from the beginning. The worker sends it."""
    from broker.db import transaction
    from consent.outbox import replay as try_again

    if (duty_id is None) is not is_all:
        raise typer.BadParameter("name one event, or say --all")
    with installation(context) as opened, transaction(opened.data) as work:
        count = try_again(work.session, duty_id, opened.clock())
    if duty_id is not None and not count:
        raise StopError("No event of this id was given up; `mydata duty list` shows those that were.")
    show_members({"replayed": str(count)}, output)
