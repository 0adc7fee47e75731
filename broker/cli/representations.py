"""`mydata representation`: guardians of children, verified by the staff. Every step is on record."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_members, show_rows
from broker.cli.staff import acting

if TYPE_CHECKING:
    from sqlmodel import Session

    from vault.keys.keyring import Keyring

app = typer.Typer(
    help="Guardians of children; who acts for whom.",
    epilog="Example:  mydata representation list",
    no_args_is_help=True,
)

_Reason = Annotated[str, typer.Option(help="Why; it goes on record with your name.")]


@app.command(
    epilog="Example:  mydata representation add --guardian jeongsuk --new-child --name 김하린"
    " --born-on 2015-03-01 --evidence signed_paper --reason 'form 12'"
)
def add(  # noqa: PLR0913 - a guardian is all of these
    context: typer.Context,
    *,
    guardian: Annotated[str, typer.Option(help="The guardian's sign-in name.")],
    name: Annotated[str, typer.Option(help="The child's name, for the guardian's pages; kept sealed.")],
    born_on: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The child's birth date.")],
    reason: _Reason,
    child: Annotated[str | None, typer.Option(help="The child's subject id, if there is one.")] = None,
    new_child: Annotated[
        bool, typer.Option("--new-child", help="Make a subject without an account for the child.")
    ] = False,
    evidence: Annotated[
        str | None,
        typer.Option(
            help="How the guardian was verified: sms_notice, card, phone_identity, signed_paper, email,"
            " phone_call or equivalent."
        ),
    ] = None,
    note: Annotated[
        bool, typer.Option("--note-stdin", help="Read a note about the evidence from standard input.")
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Register a guardian of a child, with how it was verified (PIPA decree article 17-2).

    Without evidence it is refused, which stays on record.
    """
    from broker.db import transaction
    from consent.collection import add_subject
    from consent.parties import Ages, NewGuardian, register_guardian
    from consent.party_records import Names, Refused
    from consent.people_vocabulary import GuardianEvidence

    _require(reason, "A reason")
    if (child is None) is not new_child:
        raise StopError("Give --child or --new-child", code=ExitCode.WRONG_USAGE)
    if evidence is not None and evidence not in set(GuardianEvidence):
        raise StopError(f"{evidence} is no evidence", ", ".join(GuardianEvidence), code=ExitCode.WRONG_USAGE)
    text = sys.stdin.read().strip() if note else ""
    with installation(context) as opened, transaction(opened.data) as work:
        now, people = opened.clock(), opened.settings.people
        guardian_id, guardian_name = _citizen(work.session, opened.keyring, guardian)
        child_id = child or add_subject(work, opened.keyring, now)
        _require_subject(work.session, child_id)
        kind = None if evidence is None else GuardianEvidence(evidence)
        names = Names(name, guardian_name or guardian)
        new = NewGuardian(child_id, guardian_id, born_on.date(), names, kind, note=text)
        ages = Ages(people.child_age, people.handover_age)
        made = register_guardian(work, opened.keyring, new, ages=ages, staff=acting(reason), now=now)
    if isinstance(made, Refused):
        raise StopError(f"Refused: {made.reason} ({made.fault}); it is on record as refused")
    show_members({"representation_id": made, "subject_id": child_id}, output)


@app.command("list", epilog="Example:  mydata representation list --subject SUBJECT_ID -o json")
def list_all(
    context: typer.Context,
    *,
    subject: Annotated[str, typer.Option(help="Whose: the person who is represented.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """List who acts, or acted, for a person. No names are shown."""
    from consent.parties import given_by

    with installation(context) as opened, opened.data.read() as session:
        found = given_by(session, opened.keyring, subject, opened.clock())
    columns = ["representation_id", "kind", "state", "may", "valid_until", "evidence", "ended"]
    rows = [
        (
            one.representation_id,
            one.kind,
            one.state,
            " ".join(sorted(one.scope.actions)),
            one.valid_until,
            one.evidence or "",
            one.end_reason or "",
        )
        for one in found
    ]
    show_rows(columns, rows, output)


@app.command(epilog="Example:  mydata representation end REPRESENTATION_ID --reason 'custody was lost'")
def end(
    context: typer.Context,
    representation: Annotated[str, typer.Argument(help="The id that `list` shows.")],
    *,
    reason: _Reason,
    output: Output = OutputFormat.TABLE,
) -> None:
    """End a representation at once. What it had asked for and nobody had agreed to dies with it."""
    from broker.db import transaction
    from consent.party_ends import end_by_staff

    _require(reason, "A reason")
    with installation(context) as opened, transaction(opened.data) as work:
        end_by_staff(work, opened.keyring, representation, acting(reason), opened.clock())
    show_members({"representation_id": representation, "state": "ENDED"}, output)


def _citizen(session: "Session", keyring: "Keyring", username: str) -> tuple[str, str | None]:
    """Subject id and name of a citizen by their sign-in name."""
    from sqlmodel import select

    from broker.web.signin.accounts import display_name, username_index
    from broker.web.signin.models import Account

    index = username_index(keyring, username)
    account = session.exec(select(Account).where(Account.username_index == index)).one_or_none()
    if account is None or account.subject_id is None:
        raise StopError("No citizen signs in with this name")
    return account.subject_id, display_name(keyring, account)


def _require_subject(session: "Session", subject_id: str) -> None:
    from consent.models import Subject

    if session.get(Subject, subject_id) is None:
        raise StopError("Nobody here has this subject id")


def _require(text: str, what: str) -> None:
    if not text.strip():
        raise StopError(f"{what} is needed: it goes on record", code=ExitCode.WRONG_USAGE)
