"""`mydata coholding`, `shield`, `emergency`: shared accounts, who is not told, what was opened unasked."""

from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_members, show_rows
from broker.cli.staff import acting

if TYPE_CHECKING:
    from datetime import datetime

    from broker.installation import Installation
    from consent.staff import Staff

coholdings = typer.Typer(
    help="Accounts that several people hold together.",
    epilog="Example:  mydata coholding list",
    no_args_is_help=True,
)
shields = typer.Typer(
    help="Who is not asked and not told about somebody whom they could harm.",
    epilog="Example:  mydata shield list",
    no_args_is_help=True,
)
emergencies = typer.Typer(
    help="What was opened in an emergency, and its review.",
    epilog="Example:  mydata emergency list",
    no_args_is_help=True,
)

_Reason = Annotated[str, typer.Option(help="Why; it goes on record with your name.")]


@coholdings.command(
    "add",
    epilog="Example:  mydata coholding add hanbit-bank finance.account --holder-of SUBJECT"
    " --holder-of SUBJECT --reason 'notice 7'",
)
def add_account(  # noqa: PLR0913 - its options
    context: typer.Context,
    organisation: Annotated[str, typer.Argument(help="The holder that keeps the account.")],
    record_type: Annotated[str, typer.Argument(help="The record type that tells of it.")],
    *,
    holder_of: Annotated[list[str], typer.Option(help="A subject id; give it for each of them.")],
    reason: _Reason,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Register an account of several people: what opens it needs them all from now on."""
    from broker.db import transaction
    from consent.coholding import add_account as add
    from consent.errors import NotFoundError, UnknownOrganisationError, WrongStateError

    staff = _staff(reason)
    with installation(context) as opened:
        if record_type not in opened.catalogue.codes():
            raise StopError("There is no such record type", code=ExitCode.WRONG_USAGE)
        try:
            with transaction(opened.data) as work:
                account_id = add(
                    work,
                    opened.keyring,
                    organisation,
                    record_type,
                    holder_of,
                    staff=staff,
                    now=opened.clock(),
                )
        except WrongStateError:
            raise StopError("It takes two people at least", code=ExitCode.WRONG_USAGE) from None
        except (NotFoundError, UnknownOrganisationError):
            raise StopError("One of the people, or the holder, is not known here") from None
    show_members({"account_id": account_id}, output)


@coholdings.command("remove", epilog="Example:  mydata coholding remove ACCOUNT_ID --reason 'notice 9'")
def remove_account(
    context: typer.Context,
    account: Annotated[str, typer.Argument(help="The id that `list` shows.")],
    *,
    reason: _Reason,
    output: Output = OutputFormat.TABLE,
) -> None:
    """The account is nobody's together any more."""
    from broker.db import transaction
    from consent.coholding import remove_account as remove

    staff = _staff(reason)
    with installation(context) as opened, transaction(opened.data) as work:
        remove(work, opened.keyring, account, staff=staff, now=opened.clock())
    show_members({"account_id": account, "state": "ENDED"}, output)


@coholdings.command("list", epilog="Example:  mydata coholding list -o json")
def list_accounts(context: typer.Context, *, output: Output = OutputFormat.TABLE) -> None:
    """List the accounts that several people hold now."""
    from consent.coholding import accounts

    with installation(context) as opened, opened.data.read() as session:
        found = accounts(session)
    rows = [
        (one.account_id, one.organisation_id, one.record_type, " ".join(one.subject_ids)) for one in found
    ]
    show_rows(["account_id", "holder", "record_type", "subject_ids"], rows, output)


@shields.command(
    "add",
    epilog="Example:  mydata shield add SUBJECT --from SUBJECT --because violence --reason 'court file'",
)
def add_shield(  # noqa: PLR0913 - its options
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="The person to shield.")],
    *,
    other: Annotated[str, typer.Option("--from", help="Who is not asked and not told any more.")],
    because: Annotated[str, typer.Option(help="own_wish, violence, abuse or court_order.")],
    reason: _Reason,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Shield a person from somebody. It is on the shielded person's record only.

    But for `own_wish`, the other's yes is not needed any more. What cannot be given now waits: run it again.
    """
    from broker.db import transaction
    from consent.errors import NotFoundError, WrongStateError
    from consent.people_vocabulary import ShieldReason
    from consent.shields import raise_shield

    staff = _staff(reason)
    if because not in set(ShieldReason):
        raise StopError(f"{because} is no reason", ", ".join(ShieldReason), code=ExitCode.WRONG_USAGE)
    with installation(context) as opened:
        now = opened.clock()
        try:
            with transaction(opened.data) as work:
                raised = raise_shield(
                    work, opened.keyring, subject, other, reason=ShieldReason(because), staff=staff, now=now
                )
        except (NotFoundError, WrongStateError):
            raise StopError("These are not two people of ours") from None
        # The shield stands by now, whatever becomes of the consents.
        waiting = sum(not _gives(opened, grant_id, now) for grant_id in raised.ready)
    show_members({"shield_id": raised.shield_id, "not_given": waiting}, output)


@shields.command("lift", epilog="Example:  mydata shield lift SHIELD_ID --reason 'asked by the person'")
def lift(
    context: typer.Context,
    shield: Annotated[str, typer.Argument(help="The id that `list` shows.")],
    *,
    reason: _Reason,
    output: Output = OutputFormat.TABLE,
) -> None:
    """The other is asked and told again from now on."""
    from broker.db import transaction
    from consent.shields import lift_shield

    staff = _staff(reason)
    with installation(context) as opened, transaction(opened.data) as work:
        lift_shield(work, opened.keyring, shield, subject_id=None, staff=staff, now=opened.clock())
    show_members({"shield_id": shield, "state": "LIFTED"}, output)


@shields.command("list", epilog="Example:  mydata shield list -o json")
def list_shields(context: typer.Context, *, output: Output = OutputFormat.TABLE) -> None:
    """List the shields that stand."""
    from consent.shields import shields as standing

    with installation(context) as opened, opened.data.read() as session:
        found = standing(session, opened.keyring)
    rows = [(one.shield_id, one.subject_id, one.other_id, one.reason, one.raised_at) for one in found]
    show_rows(["shield_id", "subject_id", "from", "reason", "raised_at"], rows, output)


@emergencies.command("list", epilog="Example:  mydata emergency list -o json")
def list_emergencies(
    context: typer.Context,
    *,
    is_late: Annotated[bool, typer.Option("--overdue", help="Only those whose review is late.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List accesses in an emergency, what waits for its review first. The text is shown on review."""
    from consent.emergency import emergencies as found_in
    from consent.people_vocabulary import EmergencyState

    with installation(context) as opened, opened.data.read() as session:
        found = found_in(session, opened.keyring, opened.clock())
    rows = [
        (
            one.emergency_id,
            one.recipient_id,
            one.reason,
            one.state,
            one.opened_at,
            one.due_at,
            one.finding or "",
            one.answer or "",
        )
        for one in found
        if not is_late or one.state is EmergencyState.OVERDUE
    ]
    columns = ["emergency_id", "recipient", "reason", "state", "opened_at", "due_at", "finding", "answer"]
    show_rows(columns, rows, output)


@emergencies.command(
    epilog="Example:  mydata emergency review ID --finding justified --reason 'spoke to the ward'"
)
def review(
    context: typer.Context,
    emergency: Annotated[str, typer.Argument(help="The id that `list` shows.")],
    *,
    finding: Annotated[str, typer.Option(help="justified or unjustified; what was not is revoked.")],
    reason: _Reason,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Say whether an access was right. The person reads it."""
    from broker.db import transaction
    from consent.emergency import review as reviewed
    from consent.errors import WrongStateError
    from consent.people_vocabulary import EmergencyFinding

    staff = _staff(reason)
    if finding not in set(EmergencyFinding):
        raise StopError(f"{finding} is no finding", ", ".join(EmergencyFinding), code=ExitCode.WRONG_USAGE)
    with installation(context) as opened:
        try:
            with transaction(opened.data) as work:
                reviewed(
                    work,
                    opened.keyring,
                    emergency,
                    EmergencyFinding(finding),
                    staff=staff,
                    now=opened.clock(),
                )
        except WrongStateError:
            raise StopError("It has been reviewed already; a finding stays as it is") from None
    show_members({"emergency_id": emergency, "finding": finding}, output)


def _gives(opened: "Installation", grant_id: str, now: "datetime") -> bool:
    """Give one consent that waits for no co-holder; if it cannot be, that goes on its record."""
    from broker.db import transaction
    from broker.receipt_signing import receipt_signer
    from consent.approvals import complete_freed, leave_waiting
    from consent.errors import ConsentError

    sign = receipt_signer(opened, now)
    try:
        with transaction(opened.data) as work:
            complete_freed(
                work, opened.keyring, grant_id, purposes=opened.purposes, sign_receipt=sign, now=now
            )
    except ConsentError as error:
        with transaction(opened.data) as work:
            leave_waiting(work, opened.keyring, grant_id, type(error).__name__, now)
        return False
    return True


def _staff(reason: str) -> "Staff":
    if not reason.strip():
        raise StopError("A reason is needed: it goes on record", code=ExitCode.WRONG_USAGE)
    return acting(reason)
