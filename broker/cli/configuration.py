"""`mydata config`: is the configuration right, and what does it say."""

from typing import Annotated

import typer

from broker.cli.failures import ExitCode
from broker.cli.opening import Invocation, read_settings
from broker.cli.output import Output, OutputFormat, show_json, show_members, show_rows

app = typer.Typer(
    help="Check and show the configuration.",
    epilog="Example:  mydata config check",
    no_args_is_help=True,
)


@app.command(epilog="Example:  mydata --config config.toml config check -o json")
def check(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Name every fault of the configuration at once; exit code 1 if there is one."""
    from broker.settings import ConfigurationError, load_settings

    invocation: Invocation = context.obj
    try:
        load_settings(invocation.configuration_file())
    except ConfigurationError as error:
        rows = [(fault.key, fault.problem, fault.remedy) for fault in error.faults]
        show_rows(["setting", "problem", "remedy"], rows, output)
        raise typer.Exit(ExitCode.REFUSED) from None
    if output is OutputFormat.JSON:
        show_json([])
    else:
        typer.echo("The configuration is right.")


@app.command(epilog="Example:  mydata config show --sources")
def show(
    context: typer.Context,
    *,
    sources: Annotated[bool, typer.Option("--sources", help="Say where each value comes from.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Print every setting; secrets and passwords are masked."""
    settings = read_settings(context)
    shown = settings.shown()
    if not sources:
        show_members(shown, output)
        return
    origins = settings.sources()
    show_rows(
        ["setting", "value", "source"], [(key, value, origins[key]) for key, value in shown.items()], output
    )
