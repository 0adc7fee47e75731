"""`mydata demo`: everything from nothing to a running broker, or the main job once, headless."""

import json
import os
import signal
import tempfile
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import read_clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from subprocess import Popen

    from broker.demo.installing import Demo, DemoPlan

app = typer.Typer()

_SERVICES = ("indemnity", "lending", "lease")

Directory = Annotated[
    Path | None, typer.Option("--dir", help="Where to put everything. Default: a new temporary directory.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database", help="The data database; an empty one. Default: SQLite in DIR.")
]
KeyringUrl = Annotated[
    str | None, typer.Option("--keyring", help="The keyring database. Default: SQLite in DIR.")
]
Port = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Where the broker listens; 0 takes a free port.")
]


@app.command(epilog="Example:  mydata demo --once --json")
def demo(  # noqa: PLR0913 - these are the options
    *,
    once: Annotated[bool, typer.Option("--once", help="Run the main job headless, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    directory: Directory = None,
    database: DatabaseUrl = None,
    keyring: KeyringUrl = None,
    port: Port = 0,
    service: Annotated[
        str, typer.Option("--service", help=f"Which lead project with --once: {', '.join(_SERVICES)}.")
    ] = _SERVICES[0],
) -> None:
    """Start a broker with invented people and their records, an insurer that files by itself, and a bank."""
    if service not in _SERVICES:
        problem = f"There is no service {service} here yet"
        raise StopError(problem, f"Use one of {', '.join(_SERVICES)}", code=ExitCode.WRONG_USAGE)
    from broker.demo.installing import DemoRefusedError, install
    from broker.demo.processes import running
    from broker.demo.story import StoryBrokenError

    os.umask(0o077)  # what the demo and its processes write is for whoever started it
    plan = _plan(directory, database, keyring, port, only=service if once else None)
    try:
        ready = install(plan, read_clock)
        # Told to end, it ends what it has started too, as by Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with running(ready) as processes:
            if once:
                _tell(ready, service, as_json=as_json)
            else:
                end = _end_by_signal()
                _announce(ready, as_json=as_json)
                _wait_for(end, processes, log=ready.plan.directory / "demo.log")
    except DemoRefusedError as error:
        raise StopError(error.problem, error.remedy) from None
    except StoryBrokenError as error:
        raise StopError(f"The story broke at {error}") from None


def _plan(
    directory: Path | None, database: str | None, keyring: str | None, port: int, *, only: str | None
) -> "DemoPlan":
    """A demo of everything, or with `only` of what the story of one service needs."""
    from broker.demo.installing import DemoPlan
    from broker.demo.processes import free_port

    folder = (directory or Path(tempfile.mkdtemp(prefix="mydata-demo-"))).absolute()
    return DemoPlan(
        directory=folder,
        database_url=database or f"sqlite:///{folder / 'data.db'}",
        keyring_url=keyring or f"sqlite:///{folder / 'keyring.db'}",
        port=port or free_port(),
        insurer_port=free_port(),
        client_port=free_port(),
        hospital_port=free_port() if only in {None, "indemnity"} else None,
        bank_port=free_port() if only in {None, "lending"} else None,
        contracts_port=free_port() if only in {None, "lease"} else None,
        acknowledge="at_once" if only is None else "when_told",
    )


def _tell(ready: "Demo", service: str, *, as_json: bool) -> None:
    from broker.cli.opening import open_installation
    from broker.demo import story
    from broker.demo.lease import story as lease_story
    from broker.demo.lending import story as loan_story
    from broker.settings import load_settings

    installation = open_installation(load_settings(ready.config, {}))
    try:
        stories = {"indemnity": story.tell, "lending": loan_story.tell, "lease": lease_story.tell}
        told = stories[service](ready, installation)
    finally:
        installation.close()
    typer.echo(json.dumps(told, ensure_ascii=False, indent=None if as_json else 2))


def _announce(ready: "Demo", *, as_json: bool) -> None:
    announcement = ready.announcement()
    if as_json:
        typer.echo(json.dumps(announcement, ensure_ascii=False))
        return
    pages, first = announcement["pages"], announcement["personas"][0]
    typer.echo(f"""
The broker is running, with invented people. Ctrl-C ends it.

  1. The insurer     {pages["insurer"]}   press a button: it asks for the bills, once or after every visit
  2. Sign in as      {first["username"]}   password {first["password"]}   ({first["name"]})
  3. The hospital    {pages["hospital"]}   a visit makes a new bill, which the insurer claims by itself
  4. The citizen     {pages["citizen"]}   see who took what and what was decided; stop it
  5. The bank        {pages["bank"]}   apply for a loan: income, work and loans with yes or no
  6. A lease         {pages["contracts"]}   the agent begins; tenant and landlord get links; all sign or none
  7. The auditor     {pages["auditor"]}   sign in as {announcement["auditors"][0]["username"]}, same password

  Everybody: {", ".join(one["username"] for one in announcement["personas"])}
  Files:     {ready.plan.directory}
""")


def _end_by_signal() -> Event:
    """Set by Ctrl-C and by SIGTERM."""
    end = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    return end


def _wait_for(end: Event, processes: "Sequence[Popen[bytes]]", *, log: Path) -> None:
    """Until the signal. Raises DemoRefusedError when a process ends by itself: half a demo would puzzle."""
    from broker.demo.installing import DemoRefusedError

    while not end.wait(1):
        if any(process.poll() is not None for process in processes):
            raise DemoRefusedError("A process of the demo has ended by itself", f"Look into {log}")
