"""`mydata org`: recipients and holders."""

from typing import Annotated

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_members, show_rows

app = typer.Typer(
    help="Register organisations: who may receive, who holds.",
    epilog="Example:  mydata org list",
    no_args_is_help=True,
)


@app.command(
    epilog="Example:  mydata org add hanbit-insurance --name-ko 한빛손해보험 --name-en 'Hanbit Insurance' "
    "--registration-number 110111-1234567 --contact privacy@hanbit.example --recipient"
)
def add(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    organisation_id: Annotated[str, typer.Argument(help="A short id of yours; it never changes.")],
    *,
    name_ko: Annotated[str, typer.Option(help="Its name in Korean, as a citizen reads it.")],
    name_en: Annotated[str, typer.Option(help="Its name in English.")],
    registration_number: Annotated[str, typer.Option(help="Its registration number.")],
    contact: Annotated[str, typer.Option(help="Where a citizen reaches it.")],
    recipient: Annotated[bool, typer.Option("--recipient", help="It may receive records.")] = False,
    holder: Annotated[bool, typer.Option("--holder", help="It holds records.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Register an organisation; a second time, take its new names and contact."""
    from broker.db import transaction
    from consent.organisations import NewOrganisation, register

    if not (recipient or holder):
        raise StopError(
            "An organisation needs a role", "Add --recipient, --holder or both", code=ExitCode.WRONG_USAGE
        )
    new = NewOrganisation(
        organisation_id=organisation_id,
        name_ko=name_ko,
        name_en=name_en,
        registration_number=registration_number,
        contact=contact,
        is_recipient=recipient,
        is_holder=holder,
    )
    with installation(context) as opened, transaction(opened.data) as work:
        register(work.session, new, opened.clock())
    show_members({"organisation_id": organisation_id, "status": "active"}, output)


@app.command("list", epilog="Example:  mydata org list -o json")
def list_all(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List every organisation."""
    from consent.organisations import organisations

    with installation(context) as opened, opened.data.read() as session:
        rows = [
            (row.organisation_id, row.name_ko, row.name_en, row.is_recipient, row.is_holder, row.status)
            for row in organisations(session)
        ]
    show_rows(["organisation_id", "name_ko", "name_en", "recipient", "holder", "status"], rows, output)


@app.command(epilog="Example:  mydata org suspend hanbit-insurance")
def suspend(
    context: typer.Context,
    organisation_id: Annotated[str, typer.Argument(help="Its id.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Stop an organisation: its tokens are refused from the next request on."""
    from broker.db import transaction
    from consent.organisations import suspend as stop

    with installation(context) as opened, transaction(opened.data) as work:
        stop(work.session, organisation_id)
    show_members({"organisation_id": organisation_id, "status": "suspended"}, output)


@app.command(epilog="Example:  mydata org reinstate hanbit-insurance")
def reinstate(
    context: typer.Context,
    organisation_id: Annotated[str, typer.Argument(help="Its id.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """End a suspension: consents that were paused for it go on."""
    from broker.db import transaction
    from consent.organisations import reinstate as let_go_on

    with installation(context) as opened, transaction(opened.data) as work:
        let_go_on(work.session, organisation_id)
    show_members({"organisation_id": organisation_id, "status": "active"}, output)


@app.command(epilog="Example:  mydata org remove hanbit-insurance --yes")
def remove(
    context: typer.Context,
    organisation_id: Annotated[str, typer.Argument(help="Its id.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: it cannot be undone.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Take an organisation out for good: every consent to it is invalid, and it must delete what it has."""
    from broker.db import transaction
    from consent.organisations import remove as take_out

    if not yes:
        raise StopError(
            "Removing an organisation ends every consent to it, for good",
            "Add --yes, or use `mydata org suspend`",
            code=ExitCode.WRONG_USAGE,
        )
    with installation(context) as opened, transaction(opened.data) as work:
        take_out(work.session, organisation_id)
    show_members({"organisation_id": organisation_id, "status": "removed"}, output)
