"""The server, from outside: its name, and whether that name leads to it."""

from typing import Final
from urllib.parse import urlsplit

import orjson

from broker.cli.diagnosis.finding import Finding, failed, ok, warning
from broker.setting_sections import LimitsSection, Server, TlsSection
from connectors.errors import ConnectorError
from connectors.http import Limits, OutboundClient

_METADATA: Final = "/.well-known/oauth-authorization-server"
_LIMITS: Final = Limits(
    connect_seconds=2, read_seconds=3, total_seconds=5, response_bytes=1 << 16, attempts=1
)
_OK: Final = 200


def check_issuer(server: Server) -> Finding:
    """The name that stands in tokens and receipts is one that others can trust."""
    check = "issuer"
    if server.profile == "production" and urlsplit(server.issuer).scheme != "https":
        cure = "Put a proxy that speaks TLS in front, and set server.issuer to its https address."
        return warning(check, "The issuer is plain http: it can be used on this machine only.", cure)
    return ok(check)


def check_addresses(server: Server, limits: LimitsSection, tls: TlsSection) -> Finding:
    """Behind a proxy the rates are each caller's, and not all callers' together."""
    check = "client addresses"
    is_behind = urlsplit(server.issuer).scheme == "https" and tls.certificate_file is None
    has_rates = limits.unproven_per_minute > 0 or limits.sign_in_per_minute > 0
    if is_behind and has_rates and not server.trusted_proxies:
        detail = "Everybody has the address of the proxy: who guesses at passwords locks all others out."
        cure = "Name the proxy in server.trusted_proxies, and let it set X-Forwarded-For."
        return warning(check, detail, cure)
    return ok(check)


def check_metadata(issuer: str) -> Finding:
    """Whoever asks at the issuer's address is answered by this broker."""
    check = "metadata"
    cure = "Run `mydata serve`, and look at DNS, the proxy and its certificate."
    try:
        with OutboundClient(_LIMITS, allow_loopback=True) as client:
            answer = client.request("GET", issuer + _METADATA)
    except ConnectorError as error:
        detail = f"Nothing answers at {issuer}, as far as this machine can see ({type(error).__name__})."
        return warning(check, detail, cure)
    try:
        told = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        told = None
    if answer.status == _OK and isinstance(told, dict) and told.get("issuer") == issuer:
        return ok(check)
    return failed(check, f"Something else than this broker answers at {issuer}.", cure)
