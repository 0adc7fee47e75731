"""What a check has found: in words what is wrong, and what to do about it."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy.exc import OperationalError, ProgrammingError

from broker.cli.failures import ExitCode, StopError, explain
from connectors.errors import ConnectorError
from consent.ledger.errors import LedgerError
from migrations.run import NewerDatabaseError
from vault.errors import VaultError

Outcome = Literal["ok", "warning", "failed", "unchecked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: how it came out. A warning is a choice that somebody may have made; a failure is not."""

    check: str
    outcome: Outcome
    detail: str = ""
    cure: str = ""


def ok(check: str, detail: str = "") -> Finding:
    """Nothing is wrong."""
    return Finding(check, "ok", detail)


def warning(check: str, detail: str, cure: str) -> Finding:
    """It works, and could be better."""
    return Finding(check, "warning", detail, cure)


def failed(check: str, detail: str, cure: str) -> Finding:
    """It is wrong."""
    return Finding(check, "failed", detail, cure)


def unchecked(check: str, detail: str) -> Finding:
    """It cannot be told, because something else is wrong."""
    return Finding(check, "unchecked", detail, "Mend what stands above, then run the doctor again.")


def checked(check: str, run: Callable[[], Finding | None]) -> Finding:
    """Run a check. No finding is a good one; an error that we expect is a bad one, in its own words."""
    expected = (StopError, OperationalError, LedgerError, NewerDatabaseError, VaultError, ConnectorError)
    try:
        return run() or ok(check)
    except (*expected, ProgrammingError) as error:
        if _is_refused(error):
            cure = "Restore the newest backup, or give the broker's role its rights back."
            return failed(check, "A table or a right that the broker needs is missing.", cure)
        explanation = explain(error)
        problem, *rest = explanation.lines
        is_unknown = explanation.code is ExitCode.COULD_NOT_CHECK
        return Finding(check, "unchecked" if is_unknown else "failed", problem, " ".join(rest))


def _is_refused(error: Exception) -> bool:
    """The database has answered, and the answer is no: SQLite says so with the code of a wrong statement."""
    if isinstance(error, ProgrammingError):
        return True
    said = getattr(error.orig, "sqlite_errorcode", None) if isinstance(error, OperationalError) else None
    return said == sqlite3.SQLITE_ERROR


def in_words(age: timedelta) -> str:
    """How long something has been so, in its two largest units."""
    minutes = int(age.total_seconds()) // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
