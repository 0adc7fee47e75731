"""`mydata right`: what people asked for by right, and the answers to it. Whoever reads is on record."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_json, show_members, show_rows
from broker.cli.staff import acting

app = typer.Typer(
    help="Answer what people asked for by right: correct, stop, erase, complain, object.",
    epilog="Example:  mydata right list",
    no_args_is_help=True,
)

_Right = Annotated[str, typer.Argument(help="The id that `mydata right list` shows.")]
_Reason = Annotated[str, typer.Option(help="Why you look or answer; it goes on record with your name.")]


@app.command("list", epilog="Example:  mydata right list -o json")
def list_all(
    context: typer.Context,
    *,
    answered: Annotated[bool, typer.Option("--all", help="Those that were answered as well.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List what waits for an answer, the most urgent first: its kind and deadline, not what it says.

    OVERDUE is what the law's ten days are over for.
    """
    from consent.rights import waiting_rights

    with installation(context) as opened, opened.data.read() as session:
        found = waiting_rights(session, opened.clock(), is_all=answered)
    columns = ["right_id", "kind", "state", "filed_at", "due_at", "answered_at", "subject_id"]
    rows = [
        (one.right_id, one.kind, one.state, one.filed_at, one.due_at, one.answered_at, one.subject_id)
        for one in found
    ]
    show_rows(columns, rows, output)


@app.command(epilog="Example:  mydata right show RIGHT_ID --reason 'to answer it'")
def show(context: typer.Context, right: _Right, *, reason: _Reason) -> None:
    """Open one: what the person wrote. The look goes on record, and the person sees it in progress."""
    from broker.db import transaction
    from consent.rights import inspect_right

    _require(reason, "A reason")
    with installation(context) as opened, transaction(opened.data) as work:
        found = inspect_right(work, opened.keyring, right, acting(reason), opened.clock())
    plain = {name: _plain(value) for name, value in asdict(found).items()}
    show_json(plain)


@app.command(
    epilog="Example:  mydata right answer RIGHT_ID --reason 'checked with the hospital' < answer.txt"
)
def answer(
    context: typer.Context,
    right: _Right,
    *,
    reason: _Reason,
    reject: Annotated[
        str | None,
        typer.Option(
            help="Turn it down, on this ground: STATUTORY_RETENTION, or one of the decree's eleven."
        ),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Answer one, with the text on standard input; the person reads it on their page."""
    from broker.db import transaction
    from consent.errors import RightInvalidError, WrongStateError
    from consent.rights import REJECTIONS, RightAnswer, answer_right

    _require(reason, "A reason")
    if reject is not None and reject not in REJECTIONS:
        raise StopError(
            f"{reject} is no ground for a rejection", ", ".join(REJECTIONS), code=ExitCode.WRONG_USAGE
        )
    text = sys.stdin.read().strip()
    with installation(context) as opened:
        try:
            with transaction(opened.data) as work:
                state = answer_right(
                    work,
                    opened.keyring,
                    right,
                    RightAnswer(text, reject),
                    staff=acting(reason),
                    now=opened.clock(),
                )
        except RightInvalidError:
            raise StopError(
                "The answer has no text, or a longer one than 4000 characters",
                "Give it on standard input",
                code=ExitCode.WRONG_USAGE,
            ) from None
        except WrongStateError:
            raise StopError("It has been answered already; an answer stays as it is") from None
    show_members({"right_id": right, "state": state}, output)


def _plain(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _require(text: str, what: str) -> None:
    if not text.strip():
        raise StopError(f"{what} is needed: it goes on record", code=ExitCode.WRONG_USAGE)
