"""Dynamic client registration by invitation (RFC 7591), and its management by the client (RFC 7592).

What is asked is held against the invitation first and then against the rules of every client
(`broker.oauth.clients`). Members that this server does not know are ignored (RFC 7591 section 2).
"""

import hmac
import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import update
from sqlmodel import Session, col, select

from broker.installation import Installation
from broker.oauth import ciba, clients, invitations, metadata, mtls, rich_authorization, scopes
from broker.oauth.client_metadata import AuthMethod, ClientMetadata
from broker.oauth.clients import ClientRegistration, RegisteredClient
from broker.oauth.errors import (
    ClientInvalidError,
    OAuthCode,
    RegistrationRefusedError,
    RegistrationTokenError,
)
from broker.oauth.invitations import Invitation
from broker.oauth.models import Code, Token
from broker.oauth.registration_models import ManagedClient
from broker.oauth.tokens import hash_of
from broker.signals import streams
from consent.errors import UnknownPurposeError

_PREFIX: Final = "mdm_"
_SECRET_BYTES: Final = 32
_MAX_DESCRIPTION: Final = 500
_MAX_URIS: Final = 50
_MAX_KEY_SET: Final = 32_768  # characters; it is read with every assertion
_METHODS: Final = (
    AuthMethod.PRIVATE_KEY_JWT,
    AuthMethod.TLS_CLIENT_AUTH,
    AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH,
)
"""No method with a secret: none is issued here."""
_REFUSED: Final[Mapping[str, str]] = {
    "jwks_uri": "nothing is fetched here: send jwks",
    "software_statement": "no issuer of software statements is trusted here",
    "client_secret": "no secret is issued here",
}
_OURS_ALONE: Final = (  # RFC 7592 section 2.2
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)
_OWN_NAMES: Final[Mapping[str, str]] = {"name": "client_name", "purposes": "mydata_purposes"}
_NOBODY: Final = bytes(32)

_log: Final = logging.getLogger(__name__)


class _Asked(BaseModel):
    """The members that are not of `ClientMetadata`. Without scope or purposes it is all that is invited."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    client_name: str = Field(min_length=1, max_length=100)
    jwks: dict[str, Any]
    redirect_uris: tuple[str, ...] = Field(default=(), max_length=_MAX_URIS)
    scope: str = ""
    grant_types: tuple[str, ...] = ()
    response_types: tuple[str, ...] = ()
    authorization_details_types: tuple[str, ...] = ()
    mydata_purposes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Managed:
    """A client that manages itself, proven by its registration access token."""

    client_id: str
    raw_token: str
    invitation_id: str


def find_managed(session: Session, unverified_client_id: str, raw_token: str) -> Managed | None:
    """The client whose registration access token this is; None for all else, in the same time."""
    client = clients.find_active(session, unverified_client_id)
    row = None if client is None else session.get(ManagedClient, client.client_id)
    is_open = row is not None and row.deleted_at is None
    is_own = hmac.compare_digest(hash_of(raw_token), row.token_hash if row is not None else _NOBODY)
    if row is None or not (is_open and is_own):
        return None
    return Managed(row.client_id, raw_token, row.invitation_id)


def register(
    session: Session,
    installation: Installation,
    invitation: Invitation,
    members: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """Register a client by an invitation, of which one use is gone then.

    Answers as RFC 7591 section 3.2.1 says. Raises RegistrationRefusedError, and RegistrationTokenError if
    another took the last use meanwhile.
    """
    registration = _registration(members, invitation, _new_client_id(), installation)
    if not invitations.take(session, invitation.invitation_id, now):
        raise RegistrationTokenError
    try:
        clients.add(session, registration, is_loopback_allowed=_is_demo(installation), now=now)
    except ClientInvalidError as error:
        raise _refused(error.faults) from None
    raw_token = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    session.add(
        ManagedClient(
            client_id=registration.client_id,
            invitation_id=invitation.invitation_id,
            token_hash=hash_of(raw_token),
            changed_at=now,
        )
    )
    _log.info("client registered", extra={"client_id": registration.client_id})
    return told(session, installation, registration.client_id, raw_token)


def change(
    session: Session, installation: Installation, managed: Managed, members: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Put what is sent in the place of all that is registered (RFC 7592 section 2.2), within the invitation.

    Tokens that bear a scope which is not registered any more end, and without `ssf` the client's event stream
    goes, as if it had deleted it. Raises as `register` does.
    """
    _check_names(members, managed.client_id)
    invitation = invitations.get(session, managed.invitation_id)
    registration = _registration(members, invitation, managed.client_id, installation)
    _hold(session, managed, changed_at=now)
    before = clients.show(session, managed.client_id)
    registration = registration.model_copy(update={"events_endpoint": before.events_endpoint})
    try:
        clients.replace(session, registration, is_loopback_allowed=_is_demo(installation))
    except ClientInvalidError as error:
        raise _refused(error.faults) from None
    dropped = before.scopes - frozenset(registration.scope.split())
    _end_tokens(session, managed.client_id, dropped, now)
    if scopes.SSF in dropped and streams.remove_of_client(session, managed.client_id, now):
        _log.info("stream removed", extra={"client_id": managed.client_id})
    _log.info("client changed", extra={"client_id": managed.client_id})
    return told(session, installation, managed.client_id, managed.raw_token)


def delete(session: Session, managed: Managed, now: datetime) -> None:
    """Give a client up (RFC 7592 section 2.3): it is refused from here on, and its tokens end.

    Its consents stand, since they are the persons'. Raises RegistrationTokenError.
    """
    _hold(session, managed, changed_at=now, deleted_at=now)
    clients.suspend(session, managed.client_id)
    _end_tokens(session, managed.client_id, None, now)
    _log.info("client deleted", extra={"client_id": managed.client_id})


def told(session: Session, installation: Installation, client_id: str, raw_token: str) -> dict[str, Any]:
    """What is registered (RFC 7591 section 3.2.1, RFC 7592 section 3)."""
    client = clients.show(session, client_id)
    return {
        "client_id": client.client_id,
        "client_id_issued_at": int(client.created_at.timestamp()),
        "registration_access_token": raw_token,
        "registration_client_uri": f"{installation.settings.server.issuer}/register/{client.client_id}",
        "client_name": client.name,
        "jwks": client.jwks,
        "redirect_uris": list(client.redirect_uris),
        "scope": " ".join(sorted(client.scopes)),
        **_kinds(client),
        "mydata_purposes": list(client.purposes),
        "mydata_security_profile": client.profile,
        **client.metadata.model_dump(mode="json", exclude_none=True),
    }


def _kinds(client: RegisteredClient) -> dict[str, list[str]]:
    """What follows from the scopes and the way of asking, whatever was asked."""
    asks_persons = bool(client.scopes & scopes.GRANTABLE)
    reads, by_browser = scopes.RECORDS_READ in client.scopes, asks_persons and bool(client.redirect_uris)
    grants = {
        "authorization_code": by_browser,
        "refresh_token": reads,
        "client_credentials": bool(client.scopes & scopes.CLIENT_OWN),
        ciba.GRANT_TYPE: asks_persons and client.metadata.backchannel_token_delivery_mode is not None,
    }
    return {
        "grant_types": [name for name, is_usable in grants.items() if is_usable],
        "response_types": ["code"] if by_browser else [],
        "authorization_details_types": list(rich_authorization.TYPES) if reads else [],
    }


def _registration(
    members: Mapping[str, Any], invitation: Invitation, client_id: str, installation: Installation
) -> ClientRegistration:
    """A request as a registration within its invitation. RFC 7592 section 2.2: null is as good as absent."""
    given = {name: value for name, value in members.items() if value is not None}
    if faults := [(name, rule) for name, rule in _REFUSED.items() if name in given]:
        raise _refused(faults)
    asked, chosen = _read(given)
    scope = frozenset(asked.scope.split()) or invitation.scopes
    reads = scopes.RECORDS_READ in scope
    purposes = (
        (invitation.purposes if reads else ()) if asked.mydata_purposes is None else asked.mydata_purposes
    )
    faults = [
        *_faults_beyond(invitation, scope, purposes, installation),
        *_faults_of_kinds(asked, chosen, reads=reads),
        *_method_faults(chosen, installation),
    ]
    if faults:
        raise _refused(faults)
    return ClientRegistration(
        client_id=client_id,
        organisation_id=invitation.organisation_id,
        name=asked.client_name,
        jwks=asked.jwks,
        redirect_uris=asked.redirect_uris,
        scope=" ".join(sorted(scope)),
        purposes=tuple(dict.fromkeys(purposes)),
        security_profile=invitation.profile,
        metadata=chosen,
    )


def _read(given: Mapping[str, Any]) -> tuple[_Asked, ClientMetadata]:
    chosen = {name: given[name] for name in ClientMetadata.model_fields if name in given}
    try:
        # As JSON: an array is a tuple there, and a text is no number.
        asked = _Asked.model_validate_json(json.dumps(dict(given)))
        return asked, ClientMetadata.model_validate_json(json.dumps(chosen), strict=True)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise _refused((".".join(map(str, one["loc"])), one["msg"]) for one in found) from None


def _faults_beyond(
    invitation: Invitation, scope: frozenset[str], purposes: Iterable[str], installation: Installation
) -> Iterator[tuple[str, str]]:
    if not scope <= invitation.scopes:
        yield "scope", "more than the invitation allows"
    # One of somebody else, one that nobody declares and one that was not invited are the same answer.
    if not set(purposes) <= {code for code in invitation.purposes if _is_declared(code, installation)}:
        yield "mydata_purposes", "not all of them are purposes of the invitation"


def _faults_of_kinds(asked: _Asked, chosen: ClientMetadata, *, reads: bool) -> Iterator[tuple[str, str]]:
    if not asked.client_name.isprintable() or asked.client_name != asked.client_name.strip():
        yield "client_name", "printable text that neither begins nor ends with a space"
    if len(json.dumps(asked.jwks)) > _MAX_KEY_SET:
        yield "jwks", f"at most {_MAX_KEY_SET} characters"
    if not set(asked.grant_types) <= set(metadata.GRANT_TYPES):
        yield "grant_types", f"one or more of {', '.join(metadata.GRANT_TYPES)}"
    if ciba.GRANT_TYPE in asked.grant_types and chosen.backchannel_token_delivery_mode is None:
        yield "grant_types", "that of CIBA needs a backchannel_token_delivery_mode"  # CIBA Core section 4
    if not set(asked.response_types) <= {"code"}:
        yield "response_types", "only code"
    if not set(asked.authorization_details_types) <= set(rich_authorization.TYPES if reads else ()):
        yield (
            "authorization_details_types",
            f"{', '.join(rich_authorization.TYPES)} with {scopes.RECORDS_READ}",
        )


def _method_faults(chosen: ClientMetadata, installation: Installation) -> Iterator[tuple[str, str]]:
    usable = {AuthMethod.PRIVATE_KEY_JWT, *mtls.auth_methods(installation.settings.server)}
    usable &= set(_METHODS)
    if chosen.token_endpoint_auth_method not in usable:
        yield "token_endpoint_auth_method", f"one of {', '.join(sorted(usable))}"


def _new_client_id() -> str:
    """128 random bits that say nothing; in hex, since a client's id begins with a letter or a digit."""
    return secrets.token_hex(16)


def _is_declared(code: str, installation: Installation) -> bool:
    try:
        installation.purposes.get(code)
    except UnknownPurposeError:
        return False
    return True


def _check_names(members: Mapping[str, Any], client_id: str) -> None:
    """RFC 7592 section 2.2: the client's id must be there and its own; what is ours alone must not."""
    faults = [(name, "must not be sent") for name in _OURS_ALONE if name in members]
    if members.get("client_id") != client_id:
        faults.append(("client_id", "must be the client's own"))
    if faults:
        raise _refused(faults)


def _hold(session: Session, managed: Managed, **values: datetime) -> None:
    """Take the row for this change: one at a time, and none after a deletion."""
    held = session.exec(
        update(ManagedClient)
        .where(
            col(ManagedClient.client_id) == managed.client_id,
            col(ManagedClient.token_hash) == hash_of(managed.raw_token),
            col(ManagedClient.deleted_at).is_(None),
        )
        .values(**values)
        .returning(col(ManagedClient.client_id))
    ).one_or_none()
    if held is None:
        raise RegistrationTokenError


def _end_tokens(session: Session, client_id: str, dropped: frozenset[str] | None, now: datetime) -> None:
    """End the client's tokens that bear a dropped scope, and codes that would give some; with None, all."""
    if dropped is not None and not dropped:
        return
    # First whoever redeems or refreshes right now is waited for: what that issues is not there before.
    codes = select(Code).where(
        Code.client_id == client_id, col(Code.used_at).is_(None), col(Code.expires_at) > now
    )
    for code in session.exec(codes.order_by(col(Code.code_hash)).with_for_update()):
        if dropped is None or dropped & frozenset(code.scope.split()):
            code.expires_at = now  # not used: a grant that nobody came for ends (`broker.jobs.claiming`)
            session.add(code)
    is_theirs = (Token.client_id == client_id, col(Token.revoked_at).is_(None), col(Token.expires_at) > now)
    held = select(Token.token_hash).where(*is_theirs).order_by(col(Token.token_hash))
    session.exec(held.with_for_update()).all()
    for token in session.exec(select(Token).where(*is_theirs)):
        if dropped is None or dropped & frozenset(token.scope.split()):
            token.revoked_at = now
            session.add(token)


def _is_demo(installation: Installation) -> bool:
    return installation.settings.server.profile == "demo"


def _refused(found: Iterable[tuple[str, str]]) -> RegistrationRefusedError:
    """RFC 7591 section 3.2.2: every fault and no value of theirs, in the characters of RFC 6749."""
    faults = [(path.removeprefix("metadata."), rule) for path, rule in found]
    is_address = any(path.partition(".")[0] == "redirect_uris" for path, _ in faults)
    code = OAuthCode.INVALID_REDIRECT_URI if is_address else OAuthCode.INVALID_CLIENT_METADATA
    text = "; ".join(f"{_OWN_NAMES.get(path, path)}: {rule}" for path, rule in faults)
    plain = "".join(
        character if " " <= character <= "~" and character not in '"\\' else "?" for character in text
    )
    return RegistrationRefusedError(code, plain[:_MAX_DESCRIPTION])
