"""Certificates: whether those of clients can come at all, and safely; and who can read the key of our own."""

import stat
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from sqlmodel import Session

from broker.cli.diagnosis.finding import Finding, failed, ok, warning
from broker.oauth.client_metadata import AuthMethod
from broker.oauth.clients import ClientStatus, RegisteredClient, all_clients
from broker.oauth.mtls import auth_methods
from broker.setting_rules import UNIX_SOCKET
from broker.setting_sections import Server

CHECK: Final = "client certificates"
_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def check_certificates(session: Session, server: Server) -> Finding:
    """Clients that need a certificate have a way to bring it, and nobody on the way can write one."""
    methods = auth_methods(server)
    needing = [
        client.client_id
        for client in all_clients(session)
        if client.status == ClientStatus.ACTIVE and not _can_bring(client, methods)
    ]
    if needing:
        detail = f"Certificates of these clients do not reach this broker: {', '.join(needing)}."
        cure = "Set server.client_certificate_header (for tls_client_auth the one of verification, too)."
        return failed(CHECK, detail, cure)
    distant = [name for name in server.trusted_proxies if not _is_here(name)] if methods else []
    if distant:
        detail = "A proxy on another machine passes certificates on: whoever is in between could write one."
        return warning(CHECK, detail, "Put the proxy on this machine, best with server.socket.")
    return ok(CHECK)


def check_tls_key(file: Path) -> Finding:
    """The key that the broker speaks TLS with is there, and closed to everybody else."""
    check = "TLS key file"
    try:
        mode = file.stat().st_mode
    except OSError:
        return failed(check, f"There is no key at {file}.", "Put it there, or take the section [tls] away.")
    if mode & _OPEN_TO_OTHERS:
        cure = f"Look at who could read it, take a new one if need be, then: chmod 600 {file}"
        return failed(check, "The key that the broker speaks TLS with is open to others.", cure)
    return ok(check)


def _can_bring(client: RegisteredClient, methods: tuple[str, ...]) -> bool:
    needed = client.metadata.token_endpoint_auth_method
    if needed is AuthMethod.PRIVATE_KEY_JWT:
        return bool(methods) or not client.metadata.tls_client_certificate_bound_access_tokens
    return needed in methods


def _is_here(name: str) -> bool:
    return name == UNIX_SOCKET or ip_network(name).is_loopback
