"""`mydata serve`, `worker` and `migrate`: what an installation runs on."""

import os
import signal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

import typer

from broker.cli.failures import StopError
from broker.cli.listening import listening
from broker.cli.opening import Invocation, installation, open_installation, read_settings
from broker.cli.output import Output, OutputFormat, show_members

if TYPE_CHECKING:
    from fastapi import FastAPI

    from broker.installation import Installation
    from broker.settings import Settings

app = typer.Typer()

_SHUTDOWN_SECONDS = 30


@app.command(epilog="Example:  mydata --config /etc/mydata/config.toml serve")
def serve(context: typer.Context) -> None:
    """Serve pages and interfaces. Run `mydata worker` beside it."""
    import uvicorn

    settings = read_settings(context)
    # Opened once before anything listens: whatever is wrong is said here, and not by each worker.
    opened = open_installation(settings)
    try:
        _require_keys(opened)
    except StopError:
        opened.close()
        raise
    options: dict[str, Any] = {
        **listening(settings),
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # addresses are built from the issuer, never from what a proxy says
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
    }
    if settings.server.workers == 1:
        from broker.app import create_app

        _start_logging(settings)
        try:
            uvicorn.run(create_app(opened), **options)
        finally:
            opened.close()
        return
    opened.close()
    invocation: Invocation = context.obj
    if (file := invocation.configuration_file()) is not None:
        os.environ["MYDATA_CONFIG"] = str(file.absolute())
    uvicorn.run("broker.cli.running:create_worker", factory=True, workers=settings.server.workers, **options)


def _require_keys(opened: "Installation") -> None:
    """Refuse to start where something could not be signed, as after `oauth.oidc_clients` was set."""
    from broker.service_keys import service_keys_of

    names = service_keys_of(oidc_clients=opened.settings.oauth.oidc_clients)
    if missing := [name for name in names if not opened.keyring.service_keys(name)]:
        problem = f"Signing keys are missing: {', '.join(missing)}; nothing was started"
        raise StopError(problem, "Run `mydata key init`: it adds what is missing")


def create_worker() -> "FastAPI":
    """The app of one of several server processes, which finds its configuration where `serve` left it."""
    from broker.app import create_app
    from broker.settings import load_settings

    file = os.environ.get("MYDATA_CONFIG")
    settings = load_settings(Path(file) if file else None)
    _start_logging(settings)
    return create_app(open_installation(settings))


@app.command(epilog="Example:  mydata worker")
def worker(context: typer.Context) -> None:
    """Do what happens after commits: duties, checkpoints, expiry. Any number may run; Ctrl-C ends one."""
    from broker.jobs.worker import work_until

    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with installation(context) as opened:
        _require_keys(opened)
        _start_logging(opened.settings)
        work_until(stop, opened)


@app.command(epilog="Example:  mydata migrate")
def migrate(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Bring both databases to this program's schema; nothing is done to one that is there already."""
    settings = read_settings(context)
    revisions = {
        "data": _upgraded(settings.database.url, "data"),
        "keyring": _upgraded(settings.keyring.url, "keyring"),
    }
    show_members(revisions, output)


def _upgraded(database_url: str, which: Literal["data", "keyring"]) -> str | None:
    from migrations.run import current, upgrade

    upgrade(database_url, which)
    return current(database_url)


def _start_logging(settings: "Settings") -> None:
    from broker.logs import configure_logging

    configure_logging(settings.log.level, settings.log.format)
