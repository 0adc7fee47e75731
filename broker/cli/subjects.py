"""`mydata subject export` and `subject erase`: everything about a person, taken out or destroyed."""

from pathlib import Path
from typing import Annotated

import typer

from broker.cli.accounts import subjects as app
from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation
from broker.cli.output import Output, OutputFormat, show_members
from broker.cli.staff import acting

__all__ = ["app"]

_Subject = Annotated[str, typer.Argument(help="The subject's id, as `mydata subject find` shows it.")]
_Reason = Annotated[str, typer.Option(help="Why; it goes on record with your name.")]
_OWNER_ONLY = 0o600


@app.command("export", epilog="Example:  mydata subject export SUBJECT --out haneul.zip --reason 'request 7'")
def export_subject(
    context: typer.Context,
    subject: _Subject,
    *,
    out: Annotated[Path, typer.Option(help="The file to write; it must not be there yet.")],
    reason: _Reason,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Write everything that is kept about a person into one ZIP, for them. The export goes on record first.

    The file is not encrypted: it is readable for you alone, and yours to hand over and to delete.
    """
    from broker.db import transaction
    from consent.exporting import Exporter, record_export

    _require(reason)
    with installation(context) as opened:
        now = opened.clock()
        try:
            out.touch(mode=_OWNER_ONLY, exist_ok=False)
        except OSError as error:
            raise StopError(f"{out} cannot be made: {error.strerror}", code=ExitCode.WRONG_USAGE) from None
        try:
            with transaction(opened.data) as work:
                record_export(work, opened.keyring, subject, staff=acting(reason), now=now)
            with opened.data.read() as session, out.open("wb") as file:
                for piece in Exporter(session, opened.keyring, subject, now).stream({}):
                    file.write(piece)
        except BaseException:
            out.unlink()  # half of it is of no use to anybody, and it is personal data
            raise
    show_members({"subject_id": subject, "file": str(out), "bytes": out.stat().st_size}, output)


@app.command("erase", epilog="Example:  mydata subject erase SUBJECT --reason 'request 7' --yes")
def erase_subject(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    subject: _Subject,
    *,
    reason: _Reason,
    holder: Annotated[
        str | None, typer.Option(help="Only what came from this holder; consents and account stay.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; nothing brings it back.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Destroy what the vault holds of a person. Consents and links end first; the log keeps its proof."""
    from broker.db import transaction
    from broker.web.signin.accounts import close_account
    from consent import erasure

    _require(reason)
    if not yes:
        typer.confirm("Nothing brings it back. Erase?", abort=True)
    with installation(context) as opened, transaction(opened.data) as work:
        now, staff = opened.clock(), acting(reason)
        if holder is None:
            erased = erasure.erase_subject(work, opened.keyring, subject, staff, now)
            close_account(work.session, subject, now)
        else:
            erased = erasure.erase_source(work, opened.keyring, subject, holder, staff=staff, now=now)
    members = {"consents": erased.consents, "links": erased.links, "records": erased.records}
    show_members({"subject_id": subject, **members}, output)


def _require(reason: str) -> None:
    if not reason.strip():
        raise StopError("A reason is needed: it goes on record", code=ExitCode.WRONG_USAGE)
