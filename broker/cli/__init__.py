"""The `mydata` command: one module per command group. What a command needs it imports when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from broker.cli import (
    accounts,
    audit,
    claims,
    clients,
    configuration,
    demo,
    doctor,
    duties,
    keys,
    ledger,
    obligations,
    organisations,
    people,
    receipts,
    representations,
    rights,
    running,
    sources,
    statistics,
    subjects,
)
from broker.cli.failures import ProgramGroup
from broker.cli.opening import Invocation

_ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="MYDATA_CONFIG",
        help="The configuration file. Default: ./config.toml if it is there.",
    ),
]


def build_program() -> typer.Typer:
    """The whole command line."""
    program = typer.Typer(
        cls=ProgramGroup,
        help="A personal-data consent broker. Every command takes --help; most take -o json.",
        epilog="Example:  mydata --config /etc/mydata/config.toml doctor",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: quick, and the same everywhere
    )
    program.callback()(_before)
    for commands in (running.app, doctor.app, demo.app, statistics.app):
        program.registered_commands += commands.registered_commands
    groups = {
        "config": configuration.app,
        "org": organisations.app,
        "client": clients.app,
        "subject": subjects.app,
        "staff": accounts.staff,
        "source": sources.app,
        "key": keys.app,
        "ledger": ledger.app,
        "audit": audit.app,
        "receipt": receipts.app,
        "claim": claims.app,
        "duty": duties.app,
        "right": rights.app,
        "obligation": obligations.app,
        "representation": representations.app,
        "coholding": people.coholdings,
        "shield": people.shields,
        "emergency": people.emergencies,
    }
    for name, group in groups.items():
        program.add_typer(group, name=name)
    return program


def _before(context: typer.Context, config: _ConfigFile = None) -> None:
    context.obj = Invocation(config)
