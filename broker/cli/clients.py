"""`mydata client`: the software of recipients."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli.failures import StopError
from broker.cli.opening import installation, read_text
from broker.cli.output import Output, OutputFormat, show_json, show_members, show_rows

app = typer.Typer(
    help="Register clients: the software of recipients.",
    epilog="Example:  mydata client list",
    no_args_is_help=True,
)


@app.command(
    epilog="Example:  mydata client add hanbit-claims --organisation hanbit-insurance --name Claims "
    "--jwks public.jwks.json --redirect-uri https://claims.hanbit.example/cb "
    "--scope 'records.read deliveries' --purpose insurance.indemnity_claim"
)
def add(  # noqa: PLR0913 - the options of a command
    context: typer.Context,
    client_id: Annotated[str, typer.Argument(help="3 to 64 letters, digits, dots, hyphens, underscores.")],
    *,
    organisation: Annotated[str, typer.Option(help="The id of the recipient or holder that it belongs to.")],
    name: Annotated[str, typer.Option(help="What it is called.")],
    jwks: Annotated[Path, typer.Option(help="A file with its public keys (a JWK set).")],
    scope: Annotated[
        str,
        typer.Option(
            help="Space-separated: records.read, deliveries, obligations; a holder's: holders.records."
        ),
    ],
    redirect_uri: Annotated[
        list[str] | None, typer.Option(help="Where answers may go; may be repeated.")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="What it may ask for; may be repeated.")] = None,
    events_endpoint: Annotated[
        str | None, typer.Option(help="Where signed events are pushed to (RFC 8935).")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Register a client. Its private keys stay with the recipient."""
    from pydantic import ValidationError

    from broker.db import transaction
    from broker.oauth import clients

    try:
        registration = clients.ClientRegistration(
            client_id=client_id,
            organisation_id=organisation,
            name=name,
            jwks=_key_set(jwks),
            redirect_uris=tuple(redirect_uri or ()),
            scope=scope,
            purposes=tuple(purpose or ()),
            events_endpoint=events_endpoint,
        )
    except ValidationError as error:
        faults = [f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors(include_input=False)]
        raise StopError(f"The client cannot be registered like this: {'; '.join(faults)}") from None
    with installation(context) as opened, transaction(opened.data) as work:
        for code in registration.purposes:
            opened.purposes.get(code)
        is_demo = opened.settings.server.profile == "demo"
        clients.add(work.session, registration, is_loopback_allowed=is_demo, now=opened.clock())
    show_members({"client_id": client_id, "status": "active"}, output)


@app.command("list", epilog="Example:  mydata client list -o json")
def list_all(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List every client."""
    from broker.oauth.clients import all_clients

    with installation(context) as opened, opened.data.read() as session:
        rows = [
            (one.client_id, one.organisation_id, one.name, " ".join(sorted(one.scopes)), one.status)
            for one in all_clients(session)
        ]
    show_rows(["client_id", "organisation_id", "name", "scope", "status"], rows, output)


@app.command(epilog="Example:  mydata client show hanbit-claims")
def show(
    context: typer.Context,
    client_id: Annotated[str, typer.Argument(help="Its id.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show one client with its redirect URIs, purposes and key ids."""
    from broker.oauth.clients import show as read

    with installation(context) as opened, opened.data.read() as session:
        one = read(session, client_id)
    members: dict[str, Any] = {
        "client_id": one.client_id,
        "organisation_id": one.organisation_id,
        "name": one.name,
        "status": str(one.status),
        "scope": sorted(one.scopes),
        "redirect_uris": list(one.redirect_uris),
        "purposes": list(one.purposes),
        "events_endpoint": one.events_endpoint or "",
        "key_ids": [key["kid"] for key in one.jwks["keys"]],
        "created_at": one.created_at.isoformat(),
    }
    if output is OutputFormat.JSON:
        show_json(members)
        return
    texts = {name: " ".join(value) if isinstance(value, list) else value for name, value in members.items()}
    show_members(texts, output)


@app.command(epilog="Example:  mydata client suspend hanbit-claims")
def suspend(
    context: typer.Context,
    client_id: Annotated[str, typer.Argument(help="Its id.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Stop a client: it is refused from the next request on, with the tokens it holds."""
    from broker.db import transaction
    from broker.oauth.clients import suspend as stop

    with installation(context) as opened, transaction(opened.data) as work:
        stop(work.session, client_id)
    show_members({"client_id": client_id, "status": "suspended"}, output)


def _key_set(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise StopError(f"{path} is not JSON (line {error.lineno}, column {error.colno})") from None
    if not isinstance(loaded, dict):
        raise StopError(f"{path} is not a JWK set", 'It must be an object: {"keys": [...]}')
    return loaded
