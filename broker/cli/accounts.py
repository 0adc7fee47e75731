"""`mydata subject` and `mydata staff`: accounts that the operator makes."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_members

if TYPE_CHECKING:
    from sqlmodel import Session

    from broker.installation import Installation

_MIN_PASSWORD = 10

_Username = Annotated[str, typer.Argument(help="What the person signs in with; case does not count.")]
_PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]

subjects = typer.Typer(
    help="Citizens' accounts, for setting up.",
    epilog="Example:  mydata subject add haneul --name 김하늘",
    no_args_is_help=True,
)
staff = typer.Typer(
    help="Accounts of auditors and operators.",
    epilog="Example:  mydata staff add auditor-1 --role auditor",
    no_args_is_help=True,
)


@subjects.callback()
def _subjects() -> None:
    """Citizens' accounts, for setting up."""


@staff.callback()
def _staff() -> None:
    """Accounts of auditors and operators."""


@subjects.command(
    "add", epilog="Example:  mydata subject add haneul --name 김하늘 --password-stdin < password.txt"
)
def add_subject(  # noqa: PLR0913 - its options
    context: typer.Context,
    username: _Username,
    *,
    name: Annotated[
        str | None, typer.Option(help="What the pages greet the person with; kept sealed.")
    ] = None,
    password_stdin: _PasswordStdin = False,
    subject: Annotated[
        str | None,
        typer.Option(
            help="Make the account for this subject, who has none yet: a child who has come of age."
        ),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make a citizen: a subject with keys of its own, and an account to sign in with."""
    from broker.db import transaction
    from broker.web.signin.accounts import NewAccount, create_account
    from broker.web.signin.passwords import hash_password
    from consent.collection import add_subject as add

    password_hash = hash_password(_read_password(from_stdin=password_stdin))
    with installation(context) as opened:
        now = opened.clock()
        _refuse_taken(opened, username)
        with transaction(opened.data) as work:
            subject_id = (
                _without_account(work.session, subject) if subject else add(work, opened.keyring, now)
            )
            new = NewAccount("citizen", username, password_hash, subject_id=subject_id, name=name)
            account_id = create_account(work.session, opened.keyring, new, now)
    show_members({"subject_id": subject_id, "account_id": account_id}, output)


@subjects.command(
    "find", epilog="Example:  mydata subject find --holder seoul-hospital --number P-0001 --reason 'call 42'"
)
def find_subject(
    context: typer.Context,
    *,
    holder: Annotated[str, typer.Option(help="The holder whose number it is.")],
    number: Annotated[str, typer.Option(help="The whole number; - reads it from standard input.")],
    reason: Annotated[str, typer.Option(help="Why; it goes on record with your name.")] = "",
    output: Output = OutputFormat.TABLE,
) -> None:
    """Find the subject behind a holder's number: by the exact number only, and the search goes on record."""
    from broker.cli.staff import acting
    from broker.db import transaction
    from consent.search import Search
    from consent.search import find_subject as find

    exact = sys.stdin.readline().removesuffix("\n") if number == "-" else number
    with installation(context) as opened, transaction(opened.data) as work:
        found = find(work, opened.keyring, Search(holder, exact), acting(reason), opened.clock())
    if found is None:
        raise StopError("Nobody here has this number at this holder")
    show_members({"subject_id": found.subject_id, "link_id": found.link_id}, output)


@staff.command("add", epilog="Example:  mydata staff add auditor-1 --role auditor")
def add_staff(
    context: typer.Context,
    username: _Username,
    *,
    role: Annotated[Literal["auditor", "operator"], typer.Option(help="What the account may do.")],
    password_stdin: _PasswordStdin = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make an account for an auditor or an operator."""
    from broker.db import transaction
    from broker.web.signin.accounts import NewAccount, create_account
    from broker.web.signin.passwords import hash_password

    password_hash = hash_password(_read_password(from_stdin=password_stdin))
    with installation(context) as opened:
        _refuse_taken(opened, username)
        with transaction(opened.data) as work:
            new = NewAccount(role, username, password_hash)
            account_id = create_account(work.session, opened.keyring, new, opened.clock())
    show_members({"account_id": account_id, "role": role}, output)


def _without_account(session: "Session", subject_id: str) -> str:
    from sqlmodel import select

    from broker.web.signin.models import Account
    from consent.models import Subject

    if session.get(Subject, subject_id) is None:
        raise StopError("Nobody here has this subject id")
    if session.exec(select(Account.account_id).where(Account.subject_id == subject_id)).first() is not None:
        raise StopError("This person has an account already")
    return subject_id


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().removesuffix("\n")
    elif sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        raise StopError(
            "There is nobody to ask for a password", "Use --password-stdin", code=ExitCode.WRONG_USAGE
        )
    if len(password) < _MIN_PASSWORD:
        raise StopError(
            f"The password is too short: at least {_MIN_PASSWORD} characters", code=ExitCode.WRONG_USAGE
        )
    return str(password)


def _refuse_taken(opened: "Installation", username: str) -> None:
    from sqlmodel import select

    from broker.web.signin.accounts import username_index
    from broker.web.signin.models import Account

    index = username_index(opened.keyring, username)
    with opened.data.read() as session:
        taken = session.exec(select(Account.account_id).where(Account.username_index == index)).first()
    if taken is not None:
        raise StopError("The name is taken; no account is ever overwritten", "Choose another name")
