"""Clients: a recipient's registered software. Validated here once, and read from here ever after."""

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from broker.oauth import mtls, scopes
from broker.oauth.client_metadata import (
    CERTIFICATE_METHODS,
    SECRET_METHODS,
    ClientMetadata,
    SecurityProfile,
    faults_of,
)
from broker.oauth.errors import ClientExistsError, ClientInvalidError, UnknownClientError
from broker.oauth.models import Client
from connectors.errors import OutboundError
from connectors.http import check_url
from consent.models import Organisation
from consent.organisations import OrganisationStatus
from vault.errors import UntrustedTokenError
from vault.insert import insert_if_absent
from vault.jose import check_public_jwks

_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,63}")
_MAX_URI: Final = 2000
_MAX_LABEL: Final = 63  # RFC 1035 section 2.3.4
# What we call ourselves; to the others we send browsers.
_CALLED: Final = ("events_endpoint", "backchannel_logout_uri", "backchannel_client_notification_endpoint")
_SECRET_PREFIX: Final = "mds_"  # noqa: S105 - what every secret begins with
_SECRET_BYTES: Final = 32


class ClientStatus(StrEnum):
    """A suspended client is refused everywhere, with the tokens it holds."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class ClientRegistration(BaseModel):
    """What registering a client takes. `scope` is space-separated; `jwks` holds public keys only.

    A client that has a secret needs no keys.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str
    organisation_id: str
    name: str = Field(min_length=1, max_length=100)
    jwks: dict[str, Any] = Field(default_factory=lambda: {"keys": []})
    redirect_uris: tuple[str, ...] = ()
    scope: str
    purposes: tuple[str, ...] = ()
    events_endpoint: str | None = None
    security_profile: SecurityProfile = SecurityProfile.FAPI2
    metadata: ClientMetadata = ClientMetadata()


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
    profile: SecurityProfile
    metadata: ClientMetadata
    created_at: datetime


def add(
    session: Session,
    registration: ClientRegistration,
    *,
    is_loopback_allowed: bool,
    now: datetime,
    oidc_clients: bool = False,
) -> str | None:
    """Register a client. `is_loopback_allowed`: plain http to this machine, for demos only.

    `oidc_clients`: whether the profile `oidc` is served here. Answers the client's secret, if its method is
    by one: nobody can read it later. Raises ClientInvalidError with every fault, ClientExistsError.
    """
    _check(session, registration, is_loopback_allowed=is_loopback_allowed, oidc_clients=oidc_clients)
    raw_secret, metadata = _with_secret(registration.metadata)
    row = {
        "client_id": registration.client_id,
        "status": ClientStatus.ACTIVE,
        "created_at": now,
        **_columns(registration, metadata),
    }
    if not insert_if_absent(session, Client, row):
        raise ClientExistsError(registration.client_id)
    return raw_secret


def replace(session: Session, registration: ClientRegistration, *, is_loopback_allowed: bool) -> None:
    """Put a registration in the place of a client's present one, by the rules of `add`.

    Not for the profile `oidc`, whose secret is given once. Raises ClientInvalidError with every fault,
    UnknownClientError.
    """
    _check(session, registration, is_loopback_allowed=is_loopback_allowed, oidc_clients=False)
    row = _row(session, registration.client_id)
    for name, value in _columns(registration, registration.metadata).items():
        setattr(row, name, value)
    session.add(row)


def rotate_secret(session: Session, client_id: str) -> str | None:
    """Give a client a new secret, which is shown once; the one of before is worth nothing from now on.

    None for a client that has none. Raises UnknownClientError.
    """
    row = _row(session, client_id)
    metadata = ClientMetadata.model_validate_json(row.client_metadata)
    raw_secret, renewed = _with_secret(metadata)
    if raw_secret is not None:
        row.client_metadata = renewed.model_dump_json(exclude_defaults=True)
        session.add(row)
    return raw_secret


def secret_digest(raw_secret: str) -> str:
    """What of a client's secret is stored: 256 random bits need neither salt nor pepper."""
    return hashlib.sha256(raw_secret.encode()).hexdigest()


def _check(
    session: Session, registration: ClientRegistration, *, is_loopback_allowed: bool, oidc_clients: bool
) -> None:
    profile = registration.security_profile
    faults = [
        *_identity_faults(session, registration),
        *_profile_faults(registration, oidc_clients=oidc_clients),
        *_key_set_faults(registration),
        *((f"metadata.{member}", rule) for member, rule in faults_of(registration.metadata, profile)),
        *mtls.registration_faults(registration.metadata, registration.jwks),
        *(
            (f"redirect_uris.{number}", rule)
            for number, uri in enumerate(registration.redirect_uris)
            if (rule := _address_fault(uri, is_loopback_allowed=is_loopback_allowed))
        ),
    ]
    faults += _other_address_faults(registration, is_loopback_allowed=is_loopback_allowed)
    if faults:
        raise ClientInvalidError(faults)


def _columns(registration: ClientRegistration, metadata: ClientMetadata) -> dict[str, Any]:
    return {
        "organisation_id": registration.organisation_id,
        "name": registration.name,
        "jwks": json.dumps(registration.jwks),
        "redirect_uris": json.dumps(registration.redirect_uris),
        "scope": scopes.choose(registration.scope, scopes.SUPPORTED),
        "purposes": json.dumps(registration.purposes),
        "events_endpoint": registration.events_endpoint,
        "security_profile": registration.security_profile,
        "client_metadata": metadata.model_dump_json(exclude_defaults=True),
    }


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


def purposes_of(session: Session, organisation_id: str) -> set[str]:
    """The purposes that an organisation's active clients may ask under."""
    rows = session.exec(
        select(Client).where(Client.organisation_id == organisation_id, Client.status == ClientStatus.ACTIVE)
    )
    return {purpose for row in rows for purpose in _parsed(row).purposes}


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
        profile=SecurityProfile(row.security_profile),
        metadata=ClientMetadata.model_validate_json(row.client_metadata),
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
    # Who asks without a browser only has none to be sent back (OpenID CIBA Core section 4).
    asks_without = registration.metadata.backchannel_token_delivery_mode is not None
    can_ask = bool(registration.redirect_uris) or asks_without
    if scopes.RECORDS_READ in asked and not (can_ask and registration.purposes):
        yield "scope", f"{scopes.RECORDS_READ} needs a redirect URI and a purpose"
    if scopes.OPENID in asked and not can_ask:
        yield "scope", f"{scopes.OPENID} needs a redirect URI"


def _profile_faults(registration: ClientRegistration, *, oidc_clients: bool) -> Iterator[tuple[str, str]]:
    """The profile `oidc` is for no records: its tokens may be good for whoever has them."""
    if registration.metadata.client_secret_sha256 is not None:
        yield "metadata.client_secret_sha256", "a secret is made here, by registering"
    if registration.security_profile is not SecurityProfile.OIDC:
        return
    if not oidc_clients:
        yield "security_profile", "oidc is served only with oauth.oidc_clients = true"
    if not set(registration.scope.split()) <= scopes.OF_PLAIN:
        yield "scope", f"a client of the profile oidc has nothing but {', '.join(sorted(scopes.OF_PLAIN))}"
    if registration.purposes:
        yield "purposes", "a client of the profile oidc asks for no records"
    if registration.events_endpoint is not None:
        yield "events_endpoint", "a client of the profile oidc is told nothing but on its event stream"


def _with_secret(metadata: ClientMetadata) -> tuple[str | None, ClientMetadata]:
    if metadata.token_endpoint_auth_method not in SECRET_METHODS:
        return None, metadata
    raw_secret = _SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    return raw_secret, metadata.model_copy(update={"client_secret_sha256": secret_digest(raw_secret)})


def _key_set_faults(registration: ClientRegistration) -> Iterator[tuple[str, str]]:
    keys = registration.jwks.get("keys")
    if keys == [] and registration.metadata.token_endpoint_auth_method in SECRET_METHODS:
        return
    if not isinstance(keys, list) or not keys:
        yield "jwks.keys", "one public key or more"
        return
    by_certificate = registration.metadata.token_endpoint_auth_method in CERTIFICATE_METHODS
    for number, key in enumerate(keys):
        try:
            check_public_jwks({"keys": [key]}, of_certificates=by_certificate)
        except UntrustedTokenError as error:
            yield f"jwks.keys.{number}", error.reason
    kids = [str(key.get("kid")) for key in keys if isinstance(key, dict)]
    if len(set(kids)) != len(kids):
        yield "jwks.keys", "every key needs a kid of its own"
    if not any(isinstance(key, dict) and key.get("use", "sig") == "sig" for key in keys):
        yield "jwks.keys", "a key for signing is needed"


def _other_address_faults(
    registration: ClientRegistration, *, is_loopback_allowed: bool
) -> Iterator[tuple[str, str]]:
    metadata = registration.metadata
    named = ("backchannel_logout_uri", "backchannel_client_notification_endpoint")
    addresses = {
        "events_endpoint": registration.events_endpoint,
        **{f"metadata.{member}": getattr(metadata, member) for member in named},
        **{
            f"metadata.post_logout_redirect_uris.{number}": uri
            for number, uri in enumerate(metadata.post_logout_redirect_uris)
        },
    }
    for path, uri in addresses.items():
        if uri is None:
            continue
        rule = _address_fault(uri, is_loopback_allowed=is_loopback_allowed)
        if rule is None and path.removeprefix("metadata.") in _CALLED:
            rule = _called_fault(uri, is_loopback_allowed=is_loopback_allowed)
        if rule is not None:
            yield path, rule


def _called_fault(uri: str, *, is_loopback_allowed: bool) -> str | None:
    """The guard of every call of ours; but a name may stand for something else until then."""
    try:
        check_url(uri, allow_loopback=is_loopback_allowed)
    except OutboundError:
        return "not an address in the public net"
    is_here = not is_loopback_allowed and _is_loopback(urlsplit(uri).hostname or "")
    return "not an address in the public net" if is_here else None


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
