"""Clients: a recipient's registered software. Validated here once, and read from here ever after."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from broker.oauth import scopes
from broker.oauth.errors import ClientExistsError, ClientInvalidError, UnknownClientError
from broker.oauth.models import Client
from consent.models import Organisation
from consent.organisations import OrganisationStatus
from vault.errors import UntrustedTokenError
from vault.insert import insert_if_absent
from vault.jose import check_public_jwks

_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,63}")
_MAX_URI: Final = 2000
_MAX_LABEL: Final = 63  # RFC 1035 section 2.3.4


class ClientStatus(StrEnum):
    """A suspended client is refused everywhere, with the tokens it holds."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class ClientRegistration(BaseModel):
    """What registering a client takes. `scope` is space-separated; `jwks` holds public keys only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str
    organisation_id: str
    name: str = Field(min_length=1, max_length=100)
    jwks: dict[str, Any]
    redirect_uris: tuple[str, ...] = ()
    scope: str
    purposes: tuple[str, ...] = ()
    events_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client as it is registered, parsed."""

    client_id: str
    organisation_id: str
    name: str
    status: ClientStatus
    jwks: Mapping[str, Any]
    redirect_uris: tuple[str, ...]
    scopes: frozenset[str]
    purposes: tuple[str, ...]
    events_endpoint: str | None
    created_at: datetime


def add(
    session: Session, registration: ClientRegistration, *, is_loopback_allowed: bool, now: datetime
) -> None:
    """Register a client. `is_loopback_allowed`: plain http to this machine, for demos only.

    Raises ClientInvalidError with every fault, ClientExistsError.
    """
    faults = [
        *_identity_faults(session, registration),
        *_key_set_faults(registration.jwks),
        *(
            (f"redirect_uris.{number}", rule)
            for number, uri in enumerate(registration.redirect_uris)
            if (rule := _address_fault(uri, is_loopback_allowed=is_loopback_allowed))
        ),
    ]
    if registration.events_endpoint is not None:
        rule = _address_fault(registration.events_endpoint, is_loopback_allowed=is_loopback_allowed)
        faults += [] if rule is None else [("events_endpoint", rule)]
    if faults:
        raise ClientInvalidError(faults)
    row = {
        "client_id": registration.client_id,
        "organisation_id": registration.organisation_id,
        "name": registration.name,
        "status": ClientStatus.ACTIVE,
        "jwks": json.dumps(registration.jwks),
        "redirect_uris": json.dumps(registration.redirect_uris),
        "scope": scopes.choose(registration.scope, scopes.SUPPORTED),
        "purposes": json.dumps(registration.purposes),
        "events_endpoint": registration.events_endpoint,
        "created_at": now,
    }
    if not insert_if_absent(session, Client, row):
        raise ClientExistsError(registration.client_id)


def is_client_id(unverified: object) -> TypeGuard[str]:
    """Whether this can be a client's id at all."""
    return isinstance(unverified, str) and _CLIENT_ID.fullmatch(unverified) is not None


def find_active(session: Session, unverified_client_id: object) -> RegisteredClient | None:
    """The client, if it and its organisation are active; None for unknown and for suspended."""
    if not is_client_id(unverified_client_id):
        return None
    row = session.exec(
        select(Client)
        .join(Organisation, col(Organisation.organisation_id) == col(Client.organisation_id))
        .where(
            Client.client_id == unverified_client_id,
            Client.status == ClientStatus.ACTIVE,
            Organisation.status == OrganisationStatus.ACTIVE,
        )
    ).one_or_none()
    return None if row is None else _parsed(row)


def show(session: Session, client_id: str) -> RegisteredClient:
    """One client, suspended or not. Raises UnknownClientError."""
    return _parsed(_row(session, client_id))


def all_clients(session: Session) -> list[RegisteredClient]:
    """Every client, ordered by id."""
    return [_parsed(row) for row in session.exec(select(Client).order_by(col(Client.client_id)))]


def suspend(session: Session, client_id: str) -> None:
    """Stop a client: it is refused from the next request on. Raises UnknownClientError."""
    _row(session, client_id).status = ClientStatus.SUSPENDED


def _row(session: Session, client_id: str) -> Client:
    row = session.get(Client, client_id) if _CLIENT_ID.fullmatch(client_id) else None
    if row is None:
        raise UnknownClientError(client_id)
    return row


def _parsed(row: Client) -> RegisteredClient:
    return RegisteredClient(
        client_id=row.client_id,
        organisation_id=row.organisation_id,
        name=row.name,
        status=ClientStatus(row.status),
        jwks=json.loads(row.jwks),
        redirect_uris=tuple(json.loads(row.redirect_uris)),
        scopes=frozenset(row.scope.split()),
        purposes=tuple(json.loads(row.purposes)),
        events_endpoint=row.events_endpoint,
        created_at=row.created_at,
    )


def _identity_faults(session: Session, registration: ClientRegistration) -> Iterator[tuple[str, str]]:
    if _CLIENT_ID.fullmatch(registration.client_id) is None:
        yield "client_id", "3 to 64 letters, digits, dots, hyphens and underscores"
    organisation = session.get(Organisation, registration.organisation_id)
    asked = set(registration.scope.split())
    if organisation is None or not (organisation.is_recipient or asked <= scopes.OF_HOLDERS):
        yield "organisation_id", "not a registered recipient"
    elif not organisation.is_holder and asked & scopes.OF_HOLDERS:
        yield "scope", f"{' '.join(sorted(asked & scopes.OF_HOLDERS))} is for holders"
    if not asked or not asked <= scopes.SUPPORTED:
        yield "scope", f"one or more of {', '.join(sorted(scopes.SUPPORTED))}"
    if scopes.RECORDS_READ in asked and not (registration.redirect_uris and registration.purposes):
        yield "scope", f"{scopes.RECORDS_READ} needs a redirect URI and a purpose"


def _key_set_faults(jwks: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not keys:
        yield "jwks.keys", "one public key or more"
        return
    for number, key in enumerate(keys):
        try:
            check_public_jwks({"keys": [key]})
        except UntrustedTokenError as error:
            yield f"jwks.keys.{number}", error.reason
    kids = [str(key.get("kid")) for key in keys if isinstance(key, dict)]
    if len(set(kids)) != len(kids):
        yield "jwks.keys", "every key needs a kid of its own"
    if not any(isinstance(key, dict) and key.get("use", "sig") == "sig" for key in keys):
        yield "jwks.keys", "a key for signing is needed"


def _address_fault(uri: str, *, is_loopback_allowed: bool) -> str | None:
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return "not a URL"
    if len(uri) > _MAX_URI or not uri.isascii() or not uri.isprintable() or " " in uri:
        return f"at most {_MAX_URI} printable ASCII characters"
    if parts.username is not None or "#" in uri or not parts.hostname:
        return "needs a host, and neither user nor fragment"
    if not all(0 < len(label) <= _MAX_LABEL for label in parts.hostname.rstrip(".").split(".")):
        return "the host is not a name"
    is_loopback = parts.scheme == "http" and _is_loopback(parts.hostname)
    if parts.scheme != "https" and not (is_loopback and is_loopback_allowed):
        return "must be https"
    # Answers append to the query: it must survive that unaltered, since clients compare it exactly.
    if urlencode(parse_qsl(parts.query, keep_blank_values=True)) != parts.query:
        return "the query must be urlencoded name=value pairs"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
