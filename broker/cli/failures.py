"""How a command ends when it does not go well: exit codes, and each expected error in plain words."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException


class ExitCode(IntEnum):
    """What the exit code of `mydata` says."""

    DONE = 0
    REFUSED = 1
    WRONG_USAGE = 2
    COULD_NOT_CHECK = 3


class StopError(Exception):
    """A command stops here: what is wrong, what to do, and the exit code."""

    def __init__(self, problem: str, remedy: str = "", *, code: ExitCode = ExitCode.REFUSED) -> None:
        self.problem = problem
        self.remedy = remedy
        self.code = code
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Explanation:
    """An error for a terminal."""

    lines: tuple[str, ...]
    code: ExitCode


class ProgramGroup(TyperGroup):
    """The outermost command group: expected errors end with a sentence and a code, not with a traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer has its own, private click
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException):
            raise
        # Evaluated only when something went wrong: importing every package would make `--help` slow.
        except _expected_errors() as error:
            explanation = explain(error)
            for line in explanation.lines:
                typer.echo(line, err=True)
            raise typer.Exit(explanation.code) from None


def explain(error: Exception) -> Explanation:
    """What to print for an expected error, and how to end."""
    from broker.settings import ConfigurationError

    if isinstance(error, StopError):
        return Explanation(_two_lines(error.problem, error.remedy), error.code)
    if isinstance(error, ConfigurationError):
        head = f"The configuration has {len(error.faults)} fault(s); nothing was started."
        return Explanation((head, *(f"  {fault}" for fault in error.faults)), ExitCode.WRONG_USAGE)
    code = ExitCode.COULD_NOT_CHECK if _is_about_reaching(error) else ExitCode.REFUSED
    problem, remedy = _words(error)
    return Explanation((*_two_lines(problem, remedy), *_faults(error)), code)


def _two_lines(problem: str, remedy: str) -> tuple[str, ...]:
    return (f"{problem}.", *([f"{remedy}."] if remedy else []))


def _expected_errors() -> tuple[type[Exception], ...]:
    from sqlalchemy.exc import OperationalError

    from broker.oauth import errors as oauth
    from broker.settings import ConfigurationError
    from connectors.errors import ConnectorError
    from consent.errors import ConsentError
    from consent.ledger.errors import LedgerError
    from migrations.run import BrokenReferenceError, NewerDatabaseError
    from vault.errors import VaultError

    unknown = (oauth.UnknownClientError, oauth.InvitationUnknownError)
    clients = (oauth.OAuthError, oauth.ClientInvalidError, oauth.ClientExistsError, *unknown)
    packages = (VaultError, ConsentError, LedgerError, ConnectorError, ConfigurationError)
    migrating = (NewerDatabaseError, BrokenReferenceError)
    return (StopError, OperationalError, *packages, *migrating, *clients)


def _is_about_reaching(error: Exception) -> bool:
    from sqlalchemy.exc import OperationalError

    return isinstance(error, OperationalError)


# By class name, so that explaining one error does not import what the others come from.
_WORDS = {
    "OperationalError": (
        "A database cannot be reached, or was locked for too long",
        "Check database.url and keyring.url with `mydata config show`, and that the server runs",
    ),
    "WrongPassphraseError": (
        "The passphrase does not open the root key; nothing was opened",
        "Set keyring.passphrase to the one that `mydata key init` was run with",
    ),
    "KeyringExistsError": (
        "There is a keyring already; nothing was overwritten",
        "Look at it with `mydata key status`",
    ),
    "TamperedError": (
        "Sealed data did not authenticate: it was changed, or belongs to another keyring",
        "Check that database and keyring are of one installation, and restore both from one backup",
    ),
    "UnknownClientError": ("No client has this id", "`mydata client list` shows all of them"),
    "InvitationUnknownError": ("No invitation has this id", "`mydata client invitations` shows all of them"),
    "ClientExistsError": ("The client id is taken; a client is never overwritten", "Choose another id"),
    "ClientInvalidError": ("The client cannot be registered like this", ""),
    "RecordInvalidError": ("The record breaks rules of its type", ""),
    "NotLinkedError": (
        "There is no living link of this holder that covers the record",
        "The person links the holder first; a link ends after a year",
    ),
    "UnknownPurposeError": ("No service declares this purpose", ""),
    "NotFoundError": ("There is no such thing", ""),
    "RoleForbidsError": (
        "The role in which this broker is deployed does not allow this",
        "`mydata config show` tells deployment.role; the law keeps the roles apart",
    ),
    "NotInLogError": ("The log does not have this entry", "`mydata ledger status` tells its size"),
    "DirectoryNotEmptyError": (
        "The directory holds something already; nothing was written",
        "Name a new or empty directory",
    ),
    "LogForkError": (
        "The log does not continue what was signed: it was changed or an old backup was restored",
        "Keep everything as it is, compare with the anchor file, and restore the newest backup",
    ),
    "BrokenReferenceError": (
        "The database holds rows that point to nothing; it was not upgraded",
        "Restore the backup of before it was damaged: no program of ours leaves such rows",
    ),
    "AnchorInvalidError": ("The anchor file was not signed by this log's key", "Check ledger.anchor_file"),
}


def _words(error: Exception) -> tuple[str, str]:
    from consent.errors import UnknownOrganisationError
    from migrations.run import NewerDatabaseError
    from vault.errors import KeyFileUnsafeError, KeyringMissingError

    if isinstance(error, NewerDatabaseError):
        problem = f"The {error.which} database was written by a newer program (revision {error.revision})"
        return problem, "Nothing was touched. Install that program again; a database never goes back"
    if isinstance(error, KeyringMissingError):
        remedy = (
            "New installation: `mydata key init`. Otherwise put the root key file back: nothing opens without"
        )
        return f"The keyring cannot be opened: {error}", remedy
    if isinstance(error, KeyFileUnsafeError):
        return str(error), "Look at who could read it, then: chmod 600"
    if isinstance(error, UnknownOrganisationError):
        problem = f"No active organisation in the role asked for: {error}"
        return problem, "`mydata org list` shows all of them"
    # Messages of our own errors carry neither personal data nor keys.
    return _WORDS.get(type(error).__name__) or (str(error) or type(error).__name__, "")


def _faults(error: Exception) -> list[str]:
    found = []
    for fault in getattr(error, "faults", []):
        path, rule = fault if isinstance(fault, tuple) else (fault.path, fault.rule)
        found.append(f"  {path}: {rule}")
    return found
