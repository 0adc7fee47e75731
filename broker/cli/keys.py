"""`mydata key`: the keyring of an installation."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation, read_clock, read_settings, require_migrated
from broker.cli.output import Cell, Output, OutputFormat, show_members, show_rows

if TYPE_CHECKING:
    from broker.db import Database
    from broker.installation import Installation
    from vault.keys.rotation import Turn

_CACHES: Final = (
    "Until now nobody had seen the new key. Who asks for our key set when a key is not known goes on; who"
    " keeps it for as long as it may be kept cannot verify what we sign for up to 5 minutes."
)

app = typer.Typer(
    help="The keyring: what opens everything.",
    epilog="Example:  mydata key status",
    no_args_is_help=True,
)


@app.command(epilog="Example:  MYDATA__KEYRING__PASSPHRASE=... mydata key init")
def init(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Make the root key file, the first epoch and the broker's own signing keys; what is there stays.

    Keep the root key file and the passphrase apart from each other and from the database: without
    either of them nothing can ever be opened.
    """
    from broker.db import Database
    from broker.service_keys import ensure_service_keys
    from vault.errors import KeyringMissingError
    from vault.keys.keyring import Keyring
    from vault.keys.local import LocalProvider, create_root_file

    settings = read_settings(context)
    require_migrated(settings.keyring.url, "keyring")
    passphrase = settings.keyring.passphrase.get_secret_value()
    database = Database(settings.keyring.url)
    try:
        has_epoch = _has_epoch(database)
        has_root = settings.keyring.root_file.exists()
        if has_epoch and not has_root:
            # A new root key would open nothing of what is there.
            raise KeyringMissingError(
                f"no root key file at {settings.keyring.root_file}, but a keyring that needs it"
            )
        if not has_root:
            create_root_file(settings.keyring.root_file, passphrase)
        keyring = Keyring(database, LocalProvider(settings.keyring.root_file, passphrase))
        if not has_epoch:
            keyring.create(read_clock())
        keyring.unlock()
        ensure_service_keys(keyring, read_clock(), oidc_clients=settings.oauth.oidc_clients)
    finally:
        database.close()
    made = {"root_file": not has_root, "epoch": not has_epoch}
    show_members({name: "made" if is_new else "was there" for name, is_new in made.items()}, output)


@app.command(epilog="Example:  mydata key status -o json")
def status(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List epochs and signing keys: the one that signs, the next one, and those that signed before.

    Keys themselves are never shown.
    """
    from sqlmodel import col, select

    from broker.service_keys import LOG_KEY, ROTATED_KEYS
    from vault.keys.models import EpochKey

    with installation(context) as opened:
        with opened.keyring_database.read() as session:
            epochs = session.exec(select(EpochKey).order_by(col(EpochKey.created_at).desc())).all()
        rows: list[tuple[Cell, ...]] = [
            ("epoch", row.epoch_id, row.provider, row.state, row.created_at, None, None) for row in epochs
        ]
        for name in (*ROTATED_KEYS, LOG_KEY):
            rows += [
                (name, key.kid, key.kind, key.state, key.created_at, key.signs_from, key.signed_until)
                for key in opened.keyring.service_keys(name)
            ]
    columns = ["key", "id", "kind", "state", "created_at", "signs_from", "signed_until"]
    show_rows(columns, rows, output)


@app.command(epilog="Example:  mydata key rotate oauth --now")
def rotate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="oauth, receipt or openid.")],
    *,
    at_once: Annotated[
        bool, typer.Option("--now", help="Sign with the next key at once; it is made if there is none.")
    ] = False,
    drop_previous: Annotated[
        bool,
        typer.Option(
            "--drop-previous", help="With --now: take the old key out of the key set. What it signed fails."
        ),
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Publish the next signing key, which signs once everybody can know it; or, with --now, switch to it.

    The second is for a key that others may have. Otherwise the first does, and the worker does it by itself.
    """
    _refuse(name, at_once=at_once, drop_previous=drop_previous)
    with installation(context) as opened:
        if not opened.keyring.service_keys(name):
            raise StopError(f"There is no key {name}", "Run `mydata key init`: it adds what is missing")
        is_kept = not drop_previous
        turns = _switch(opened, name, is_kept=is_kept) if at_once else _publish(opened, name)
    rows = [(turn.name, turn.kid, turn.state.value, turn.signs_from) for turn in turns]
    show_rows(["key", "id", "state", "signs_from"], rows, output)


def _refuse(name: str, *, at_once: bool, drop_previous: bool) -> None:
    """StopError for what cannot be asked for."""
    from broker.service_keys import LOG_KEY, RECEIPT_KEY, ROTATED_KEYS

    if name == LOG_KEY:
        problem = "The log's key is not rotated: auditors know the log by it"
    elif name not in ROTATED_KEYS:
        problem = f"There is no key {name}; there are {', '.join(ROTATED_KEYS)}"
    elif drop_previous and not at_once:
        problem = "--drop-previous goes with --now: until the next key signs, the old one is needed"
    elif drop_previous and name == RECEIPT_KEY:
        problem = "Receipt keys stay published: receipts must verify years later"
    else:
        return
    raise StopError(problem, code=ExitCode.WRONG_USAGE)


def _switch(opened: "Installation", name: str, *, is_kept: bool) -> "list[Turn]":
    """Switch from the key that signs now; says what that means for those who verify."""
    from broker.service_keys import switch_at_once

    current, *others = opened.keyring.service_keys(name)
    was_published = any(key.state == "next" for key in others)
    turns = switch_at_once(opened.keyring, name, current.kid, keeps_previous=is_kept, now=read_clock())
    if not turns:
        typer.echo("Somebody else switched at this very moment: nothing was done.", err=True)
    elif not was_published:
        typer.echo(_CACHES, err=True)
    return turns


def _publish(opened: "Installation", name: str) -> "list[Turn]":
    """Publish a next key, unless there is one."""
    from datetime import timedelta

    now, days = read_clock(), opened.settings.keys.publish_before_days
    turns = opened.keyring.rotation.publish_next(name, signs_from=now + timedelta(days=days), now=now)
    if not turns:
        typer.echo("There is a next key already; `mydata key status` tells when it signs.", err=True)
    return turns


def _has_epoch(database: "Database") -> bool:
    from sqlmodel import select

    from vault.keys.models import EpochKey

    with database.read() as session:
        return session.exec(select(EpochKey.epoch_id)).first() is not None
