"""`mydata client`: the software of recipients."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import invitations
from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import installation, read_text
from broker.cli.output import Output, OutputFormat, show_json, show_members, show_rows

if TYPE_CHECKING:
    from broker.oauth.clients import ClientRegistration

app = typer.Typer(
    help="Register clients: the software of recipients.",
    epilog="Example:  mydata client list",
    no_args_is_help=True,
)
invitations.attach(app)


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
    jwks: Annotated[
        Path | None,
        typer.Option(help="A file with its public keys (a JWK set); without one only with a secret."),
    ] = None,
    scope: Annotated[
        str,
        typer.Option(
            help="Space-separated: openid, records.read, deliveries, obligations, ssf (an event stream), "
            "ssf.read (only to look at it); holders': holders.records."
        ),
    ],
    redirect_uri: Annotated[
        list[str] | None, typer.Option(help="Where answers may go; may be repeated.")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="What it may ask for; may be repeated.")] = None,
    events_endpoint: Annotated[
        str | None, typer.Option(help="Where signed events are pushed to (RFC 8935).")
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="What is demanded of its requests: fapi2, fapi2_message_signing; or oidc, for a sign-in "
            "(openid) or an event stream (ssf, ssf.read) and no records, with a secret that is shown once "
            "(needs oauth.oidc_clients)."
        ),
    ] = "fapi2",
    metadata: Annotated[
        Path | None,
        typer.Option(help="A file with members of RFC 7591 (a JSON object), to choose within it."),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Register a client. Its private keys stay with the recipient."""
    registration = _registration(
        {
            "client_id": client_id,
            "organisation_id": organisation,
            "name": name,
            **({} if jwks is None else {"jwks": _key_set(jwks)}),
            "redirect_uris": tuple(redirect_uri or ()),
            "scope": scope,
            "purposes": tuple(purpose or ()),
            "events_endpoint": events_endpoint,
            "security_profile": profile,
            "metadata": _default_method(profile, jwks) | ({} if metadata is None else _metadata(metadata)),
        }
    )
    raw_secret = _register(context, registration)
    secret = {} if raw_secret is None else {"client_secret": raw_secret}
    show_members({"client_id": client_id, "status": "active", **secret}, output)


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
    """Show one client with its profile, metadata, redirect URIs, purposes, key ids and how it came here."""
    from broker.oauth.clients import show as read
    from broker.oauth.invitations import invitation_of

    with installation(context) as opened, opened.data.read() as session:
        one = read(session, client_id)
        invitation_id = invitation_of(session, client_id)
    members: dict[str, Any] = {
        "client_id": one.client_id,
        "organisation_id": one.organisation_id,
        "name": one.name,
        "status": str(one.status),
        "scope": sorted(one.scopes),
        "redirect_uris": list(one.redirect_uris),
        "purposes": list(one.purposes),
        "events_endpoint": one.events_endpoint or "",
        "security_profile": str(one.profile),
        "metadata": one.metadata.model_dump(
            mode="json", exclude_defaults=True, exclude={"client_secret_sha256"}
        ),
        "key_ids": [key["kid"] for key in one.jwks["keys"]],
        "created_at": one.created_at.isoformat(),
        "invitation_id": invitation_id or "",
    }
    if output is OutputFormat.JSON:
        show_json(members)
        return
    show_members({name: _cell(value) for name, value in members.items()}, output)


@app.command(epilog="Example:  mydata client check hanbit-claims -o json")
def check(
    context: typer.Context,
    client_id: Annotated[
        str | None, typer.Argument(help="Its id; without one, the server and every client.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Hold clients, and the server, against every clause of their profile: exit code 1 if one fails."""
    from broker.oauth.self_check import report
    from broker.oauth.self_check.findings import has_failed

    with installation(context) as opened, opened.data.read() as session:
        now = opened.clock()
        if client_id is None:
            of_server = [(None, finding) for finding in report.server_findings(opened, now)]
            checked = report.checked_clients(opened, session, now)
        else:
            of_server, checked = [], [report.checked_client(opened, session, client_id, now)]
    found = [*of_server, *((one.client.client_id, finding) for one in checked for finding in one.findings)]
    columns = ["client_id", "requirement", "clause", "verdict", "explanation"]
    show_rows(columns, [(of, *finding.told().values()) for of, finding in found], output)
    if has_failed(finding for _, finding in found):
        raise typer.Exit(ExitCode.REFUSED)


@app.command(epilog="Example:  mydata client rotate plain-portal")
def rotate(
    context: typer.Context,
    client_id: Annotated[str, typer.Argument(help="Its id.")],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Give a client of the profile oidc a new secret, shown once; the old one is refused from then on."""
    from broker.db import transaction
    from broker.oauth.clients import rotate_secret

    with installation(context) as opened, transaction(opened.data) as work:
        raw_secret = rotate_secret(work.session, client_id)
    if raw_secret is None:
        raise StopError("This client has no secret", "Its keys are its own: register them anew")
    show_members({"client_id": client_id, "client_secret": raw_secret}, output)


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


def _registration(members: dict[str, Any]) -> "ClientRegistration":
    from pydantic import ValidationError

    from broker.oauth.clients import ClientRegistration

    try:
        return ClientRegistration.model_validate(members)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_input=False)
        ]
        raise StopError(f"The client cannot be registered like this: {'; '.join(faults)}") from None


def _register(context: typer.Context, registration: "ClientRegistration") -> str | None:
    """Answers the client's secret, if it has one."""
    from broker.db import transaction
    from broker.oauth import clients

    with installation(context) as opened, transaction(opened.data) as work:
        for code in registration.purposes:
            opened.purposes.get(code)
        return clients.add(
            work.session,
            registration,
            is_loopback_allowed=opened.settings.server.profile == "demo",
            now=opened.clock(),
            oidc_clients=opened.settings.oauth.oidc_clients,
        )


def _default_method(profile: str, jwks: Path | None) -> dict[str, str]:
    """Without keys a client of the profile `oidc` has a secret (RFC 7591 section 2: its default is this)."""
    by_secret = profile == "oidc" and jwks is None
    return {"token_endpoint_auth_method": "client_secret_basic"} if by_secret else {}


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _key_set(path: Path) -> dict[str, Any]:
    return _object(path, "a JWK set", 'It must be an object: {"keys": [...]}')


def _metadata(path: Path) -> dict[str, Any]:
    remedy = 'It must be an object: {"authorization_signed_response_alg": "ES256", ...}'
    return _object(path, "client metadata", remedy)


def _object(path: Path, what: str, remedy: str) -> dict[str, Any]:
    try:
        loaded = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise StopError(f"{path} is not JSON (line {error.lineno}, column {error.colno})") from None
    if not isinstance(loaded, dict):
        raise StopError(f"{path} is not {what}", remedy)
    return loaded
