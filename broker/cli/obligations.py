"""`mydata obligation`: what recipients must delete, and have not shown to have deleted."""

from typing import Annotated, Final

import typer

from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_rows

app = typer.Typer(
    help="What recipients must delete, by when, and whether they attested it.",
    epilog="Example:  mydata obligation list --overdue",
    no_args_is_help=True,
)

_PAGE: Final = 500


@app.callback()
def _group() -> None:
    """Keep `list` a command of its own, though it is the only one."""


@app.command("list", epilog="Example:  mydata obligation list --overdue -o json")
def list_obligations(
    context: typer.Context,
    *,
    is_overdue: Annotated[
        bool, typer.Option("--overdue", help="Only what is late, or what a person disputes.")
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List obligations: whose, in which state, why and until when. No person is named."""
    from consent.owed import ObligationView, obligations_to
    from consent.vocabulary import ObligationState

    states = {ObligationState.OVERDUE, ObligationState.DISPUTED} if is_overdue else set()
    found: list[ObligationView] = []
    with installation(context) as opened, opened.data.read() as session:
        while page := obligations_to(
            session, None, states=states, after=found[-1].obligation_id if found else "", limit=_PAGE
        ):
            found += page
    rows = [
        (view.obligation_id, view.recipient_id, view.state, view.cause or "", view.due_at, view.grant_id)
        for view in sorted(found, key=lambda view: view.due_at)
    ]
    show_rows(["obligation_id", "recipient", "state", "cause", "due", "grant_id"], rows, output)
