"""`mydata client invite` and its kin: by whose leave a client may register itself (RFC 7591)."""

from typing import Annotated

import typer

from broker.cli.failures import StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_members, show_rows


def attach(app: typer.Typer) -> None:
    """Put the commands into `mydata client`."""
    app.command(
        epilog="Example:  mydata client invite hanbit-insurance --scope 'records.read deliveries' "
        "--purpose insurance.indemnity_claim"
    )(invite)
    app.command(epilog="Example:  mydata client invitations -o json")(invitations)
    app.command(epilog="Example:  mydata client uninvite kq3Zr0T7mB2vX9sYw1uLdA")(uninvite)


def invite(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    organisation: Annotated[str, typer.Argument(help="The id of the recipient or holder.")],
    *,
    scope: Annotated[str, typer.Option(help="Space-separated: the most that its clients may have.")],
    purpose: Annotated[
        list[str] | None, typer.Option(help="What they may ask for at most; may be repeated.")
    ] = None,
    profile: Annotated[str, typer.Option(help="fapi2 or fapi2_message_signing, as for `add`.")] = "fapi2",
    uses: Annotated[int, typer.Option(min=1, max=1000, help="How many clients may register by it.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=90, help="How long it is good.")] = 7,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make an initial access token, by which an organisation's client may register itself. It is shown once.

    The client sends it to POST /register as `Authorization: Bearer`. Hand it over as you would a password.
    """
    from pydantic import ValidationError

    from broker.db import transaction
    from broker.oauth import invitations as kept

    try:
        new = kept.NewInvitation(
            organisation_id=organisation,
            scope=scope,
            purposes=tuple(purpose or ()),
            security_profile=profile,  # type: ignore[arg-type]  # validated here
            uses=uses,
            days=days,
        )
    except ValidationError as error:
        found = error.errors(include_input=False)
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in found)
        raise StopError(f"Nobody can be invited like this: {faults}") from None
    with installation(context) as opened, transaction(opened.data) as work:
        for code in new.purposes:
            opened.purposes.get(code)
        issued = kept.invite(work.session, new, opened.clock())
    members = {
        "invitation_id": issued.invitation_id,
        "initial_access_token": issued.raw_token,
        "expires_at": issued.expires_at.isoformat(),
    }
    show_members(members, output)


def invitations(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List every invitation, with what it allows and how many uses are left. The tokens are not kept."""
    from broker.oauth.invitations import all_invitations

    columns = ["invitation_id", "organisation_id", "scope", "purposes", "profile", "uses_left", "expires_at"]
    with installation(context) as opened, opened.data.read() as session:
        rows = [
            (
                one.invitation_id,
                one.organisation_id,
                " ".join(sorted(one.scopes)),
                " ".join(one.purposes),
                str(one.profile),
                one.uses_left,
                one.expires_at.isoformat(),
            )
            for one in all_invitations(session)
        ]
    show_rows(columns, rows, output)


def uninvite(
    context: typer.Context,
    invitation_id: Annotated[str, typer.Argument(help="Its id, as `mydata client invitations` lists it.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Take an invitation back: nobody registers by it any more. Clients that did stay: suspend those."""
    from broker.db import transaction
    from broker.oauth.invitations import take_back

    with installation(context) as opened, transaction(opened.data) as work:
        take_back(work.session, invitation_id)
    show_members({"invitation_id": invitation_id, "uses_left": 0}, output)
