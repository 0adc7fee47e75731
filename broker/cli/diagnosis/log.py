"""The consent log: its chain, and whether somebody signs it."""

from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from broker.cli.diagnosis.finding import Finding, failed, in_words, ok
from broker.cli.failures import StopError
from broker.installation import Installation
from broker.jobs.publishing import log_key
from consent.ledger.checkpoint import check_anchor, newest_checkpoint
from consent.ledger.entries import read_head
from consent.ledger.errors import LogForkError, NoteInvalidError
from consent.ledger.models import LedgerEntry
from consent.ledger.tiles import HashReader
from consent.ledger.tree import root_at


def check_log(opened: Installation) -> None:
    """The head, the newest checkpoint and the anchor belong to one log, and our key signed them.

    Raises StopError and LedgerError.
    """
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


def oldest_unsigned(session: Session) -> datetime | None:
    """When the first entry was made that no checkpoint covers; None if all are covered."""
    signed = newest_checkpoint(session)
    at = session.exec(
        select(LedgerEntry.at).where(col(LedgerEntry.idx) == (0 if signed is None else signed.size))
    )
    return at.one_or_none()


def check_checkpoint(session: Session, now: datetime, *, patience: timedelta) -> Finding:
    """What is in the log is signed soon: until then nobody outside can hold us to it."""
    check = "checkpoint"
    since = oldest_unsigned(session)
    if since is None or now - since <= patience:
        return ok(check)
    detail = f"Entries of the log are not signed, the first of them for {in_words(now - since)}."
    return failed(check, detail, "Run `mydata worker`; if it runs, look for `job failed` in its log.")
