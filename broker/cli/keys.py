"""`mydata key`: the keyring of an installation."""

from typing import TYPE_CHECKING

import typer

from broker.cli.opening import installation, read_clock, read_settings, require_migrated
from broker.cli.output import Output, OutputFormat, show_members, show_rows

if TYPE_CHECKING:
    from broker.db import Database

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
        ensure_service_keys(keyring, read_clock())
    finally:
        database.close()
    made = {"root_file": not has_root, "epoch": not has_epoch}
    show_members({name: "made" if is_new else "was there" for name, is_new in made.items()}, output)


@app.command(epilog="Example:  mydata key status -o json")
def status(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List epochs and signing keys. Keys themselves are never shown."""
    from sqlmodel import col, select

    from broker.service_keys import SERVICE_KEYS
    from vault.keys.models import EpochKey

    with installation(context) as opened:
        with opened.keyring_database.read() as session:
            epochs = session.exec(select(EpochKey).order_by(col(EpochKey.created_at).desc())).all()
        rows = [("epoch", row.epoch_id, row.provider, row.state, row.created_at) for row in epochs]
        for name in SERVICE_KEYS:
            keys = opened.keyring.service_keys(name)
            rows += [(name, key.kid, key.kind, key.state, key.created_at) for key in keys]
    show_rows(["key", "id", "kind", "state", "created_at"], rows, output)


def _has_epoch(database: "Database") -> bool:
    from sqlmodel import select

    from vault.keys.models import EpochKey

    with database.read() as session:
        return session.exec(select(EpochKey.epoch_id)).first() is not None
