"""`mydata doctor`: is this installation in order, and what to do where it is not."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import typer

from broker.cli.failures import ExitCode, StopError, explain
from broker.cli.opening import Invocation, open_installation, require_migrated
from broker.cli.output import Output, OutputFormat, show_rows

if TYPE_CHECKING:
    from broker.installation import Installation
    from broker.settings import Settings

app = typer.Typer()

Outcome = Literal["ok", "failed", "unchecked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what came out, and in words what is wrong and what to do."""

    check: str
    outcome: Outcome
    detail: str = ""


@app.command(epilog="Example:  mydata doctor -o json")
def doctor(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Check configuration, databases, keys and log: exit code 1 if something is wrong, 3 if it is unknown."""
    invocation: Invocation = context.obj
    findings = list(_examine(invocation))
    show_rows(
        ["check", "outcome", "detail"], [(one.check, one.outcome, one.detail) for one in findings], output
    )
    outcomes = {one.outcome for one in findings}
    if "failed" in outcomes:
        raise typer.Exit(ExitCode.REFUSED)
    if "unchecked" in outcomes:
        raise typer.Exit(ExitCode.COULD_NOT_CHECK)


def _examine(invocation: Invocation) -> Iterator[Finding]:
    from broker.settings import ConfigurationError, load_settings

    try:
        settings = load_settings(invocation.configuration_file())
    except ConfigurationError as error:
        yield Finding("configuration", "failed", " ".join(str(fault) for fault in error.faults))
        return
    yield Finding("configuration", "ok")
    databases = [
        _checked("data database", lambda: require_migrated(settings.database.url, "data")),
        _checked("keyring database", lambda: require_migrated(settings.keyring.url, "keyring")),
    ]
    yield from databases
    yield _checked("root key file", lambda: _check_root_file(settings))
    if any(one.outcome != "ok" for one in databases):
        yield Finding("keyring", "unchecked", "The databases come first.")
        return
    yield from _examine_opened(settings)


def _examine_opened(settings: "Settings") -> Iterator[Finding]:
    opened: list[Installation] = []
    finding = _checked("keyring", lambda: opened.append(open_installation(settings)))
    yield finding
    if not opened:
        yield Finding("log", "unchecked", "The keyring comes first.")
        return
    try:
        yield _checked("signing keys", lambda: _check_signing_keys(opened[0]))
        yield _checked("log", lambda: _check_log(opened[0]))
    finally:
        opened[0].close()


def _checked(check: str, run: Callable[[], None]) -> Finding:
    from sqlalchemy.exc import OperationalError

    from consent.ledger.errors import LedgerError
    from migrations.run import NewerDatabaseError
    from vault.errors import VaultError

    try:
        run()
    except (StopError, OperationalError, LedgerError, NewerDatabaseError, VaultError) as error:
        explanation = explain(error)
        is_unchecked = explanation.code is ExitCode.COULD_NOT_CHECK
        return Finding(check, "unchecked" if is_unchecked else "failed", " ".join(explanation.lines))
    return Finding(check, "ok")


def _check_root_file(settings: "Settings") -> None:
    file = settings.keyring.root_file
    try:
        mode = file.stat(follow_symlinks=False).st_mode
    except OSError:
        raise StopError(
            f"There is no root key file at {file}", "Run `mydata key init`, or put it back"
        ) from None
    if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StopError("The root key file is open to others, or no plain file", f"chmod 600 {file}")


def _check_signing_keys(opened: "Installation") -> None:
    from broker.service_keys import SERVICE_KEYS

    missing = [name for name in SERVICE_KEYS if not opened.keyring.service_keys(name)]
    if missing:
        raise StopError(
            f"Signing keys are missing: {', '.join(missing)}",
            "Run `mydata key init`: it adds what is missing",
        )


def _check_log(opened: "Installation") -> None:
    """The head, the newest checkpoint and the anchor belong to one log, and our key signed them."""
    from broker.jobs.publishing import log_key
    from consent.ledger.checkpoint import check_anchor, newest_checkpoint
    from consent.ledger.entries import read_head
    from consent.ledger.errors import LogForkError, NoteInvalidError
    from consent.ledger.tiles import HashReader
    from consent.ledger.tree import root_at

    key = log_key(opened)
    anchor = opened.settings.ledger.anchor_file
    with opened.data.read() as session:
        if anchor is not None:
            check_anchor(session, key, anchor)
        signed = newest_checkpoint(session)
        size, _ = read_head(session)
        if signed is None:
            return
        try:
            key.check(signed)
        except NoteInvalidError:
            raise StopError(
                "The newest checkpoint was not signed by this log's key",
                "Restore one backup of both databases",
            ) from None
        if signed.size > size or root_at(HashReader(session).lookup, signed.size) != signed.root:
            raise LogForkError(signed.size, size)
