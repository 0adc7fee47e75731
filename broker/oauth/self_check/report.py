"""The self-check of an installation: what the server publishes, and every client that is registered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from broker.installation import Installation
from broker.oauth import clients, metadata, mtls
from broker.oauth.clients import RegisteredClient
from broker.oauth.openid_discovery import openid_provider
from broker.oauth.self_check.client import Served, check_client
from broker.oauth.self_check.findings import Finding
from broker.oauth.self_check.server import Server, check_server


@dataclass(frozen=True, slots=True)
class Checked:
    """A client, and every finding about it."""

    client: RegisteredClient
    findings: Sequence[Finding]


def server_findings(installation: Installation, now: datetime) -> list[Finding]:
    """The server by the same documents that a client reads of it."""
    settings = installation.settings
    server = Server(
        metadata=mtls.with_certificates(
            openid_provider(
                metadata.authorization_server(
                    settings.server.issuer, oidc_clients=settings.oauth.oidc_clients
                ),
                oidc_clients=settings.oauth.oidc_clients,
            ),
            settings.server,
        ),
        jwks=metadata.key_set(installation.keyring, oidc_clients=settings.oauth.oidc_clients),
        oauth=settings.oauth,
        limits=settings.limits,
        tls=settings.tls,
        is_demo=settings.server.profile == "demo",
    )
    return check_server(server, now)


def client_findings(installation: Installation, client: RegisteredClient, now: datetime) -> list[Finding]:
    """One client against its profile."""
    settings = installation.settings
    served = Served(
        purposes={purpose.code for purpose in installation.purposes.all()},
        certificate_methods=mtls.auth_methods(settings.server),
        are_oidc_clients_served=settings.oauth.oidc_clients,
        is_loopback_allowed=settings.server.profile == "demo",
    )
    return check_client(client, served, now)


def checked_clients(installation: Installation, session: Session, now: datetime) -> list[Checked]:
    """Every client, suspended ones too, ordered by id."""
    return [
        Checked(client, client_findings(installation, client, now)) for client in clients.all_clients(session)
    ]


def checked_client(installation: Installation, session: Session, client_id: str, now: datetime) -> Checked:
    """One client by its id. Raises UnknownClientError."""
    client = clients.show(session, client_id)
    return Checked(client, client_findings(installation, client, now))
