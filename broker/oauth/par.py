"""Pushed authorization requests, RFC 9126: everything about a request is checked here, before a person."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from broker.oauth import (
    grants,
    id_token,
    jarm,
    openid_request,
    pkce,
    request_object,
    rich_authorization,
    scopes,
)
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.clients import RegisteredClient
from broker.oauth.deal_invitation import PARAMETER as INVITATION
from broker.oauth.deal_invitation import read_invitation
from broker.oauth.errors import InvalidProofError, OAuthCode, OAuthError
from broker.oauth.kept_parameters import Kept, open_kept, seal_kept
from broker.oauth.models import PushedRequest
from broker.oauth.requests import Call
from consent.terms import Terms, stored
from vault.errors import TamperedError
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

REQUEST_URI_PREFIX: Final = "urn:ietf:params:oauth:request_uri:"
_SECRET_BYTES: Final = 32
_STATE: Final = re.compile(r"[\x20-\x7e]{1,2048}")  # RFC 6749 appendix A.5
_JKT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SEALING_KEY: Final = "pushed_request"
LANGUAGES: Final = ("ko", "en")
_ASKING_FOR_MORE: Final = ("authorization_details", INVITATION)
# With one of these a request is about records, whatever its scope.
_ABOUT_RECORDS: Final = ("authorization_details", "grant_id", "grant_management_action", INVITATION)


@dataclass(frozen=True, slots=True)
class Pushed:
    """The answer to a push: a reference that its client redeems at /authorize, and its life in seconds."""

    request_uri: str
    expires_in: int


def push(call: Call, client: RegisteredClient) -> Pushed:
    """Check a request of an authenticated client and keep it. Raises OAuthError."""
    call, signed = request_object.unwrap(call, client)
    request_uri = REQUEST_URI_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    request = read_request(call, client, request_uri)
    request_object.use_up(call.session, signed)
    call.session.add(request)
    return Pushed(request_uri, int((request.expires_at - request.created_at).total_seconds()))


def read_request(call: Call, client: RegisteredClient, request_uri: str) -> PushedRequest:
    """A request, pushed or brought by a browser, as it is to be kept under its URI. Raises OAuthError."""
    parameters, is_plain = call.parameters, client.profile is SecurityProfile.OIDC
    _check_form(parameters, client)
    call.check_resources()
    redirect_uri = redirect_uri_of(parameters, client)
    kept = openid_request.read(call, client, _kept(parameters, client))
    asked = scopes.understood(parameters.get("scope")) if is_plain else parameters.get("scope")
    scope = scopes.choose_with_person(asked, client.scopes)
    code_challenge = pkce.read_optional(parameters) if is_plain else pkce.read_challenge(parameters)
    if is_plain:
        id_token.signing_key(call.installation.keyring, client)  # or no code of it could be redeemed
    dpop_jkt = _dpop_jkt(call)
    terms = asked_terms(call, client, scope)
    target = grants.target_of(call, client, terms)
    deal_member_id = None
    if terms is not None:
        deal_member_id = read_invitation(call, client, terms, is_replacing=target is not None)

    kept = replace(kept, is_merge=target is not None and target.is_merge)
    seconds = call.installation.settings.oauth.request_uri_seconds
    request_id = random_id()
    return PushedRequest(
        request_id=request_id,
        uri_digest=digest_of(request_uri),
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        scope=scope,
        code_challenge=code_challenge,
        dpop_jkt=dpop_jkt,
        language=preferred_language((parameters.get("ui_locales") or "").split()),
        terms_sealed=seal_terms(call.installation.keyring, request_id, terms),
        kept_sealed=seal_kept(call.installation.keyring, request_id, kept),
        grant_id=target.grant_id if target else None,
        deal_member_id=deal_member_id,
        created_at=call.now,
        expires_at=call.now + timedelta(seconds=seconds),
    )


def open_terms(keyring: Keyring, request: PushedRequest) -> Terms:
    """The terms of a pushed request; raises TamperedError, also for one without terms."""
    if request.terms_sealed is None:
        raise TamperedError
    key = keyring.sealing_key(_SEALING_KEY)
    return stored(open_sealed(key, _context(request.request_id), request.terms_sealed))


def kept_of(keyring: Keyring, request: PushedRequest) -> Kept:
    """What else of a pushed request was kept; raises TamperedError."""
    if request.kept_sealed is None:
        return Kept()
    return open_kept(keyring, request.request_id, request.kept_sealed)


def digest_of(request_uri: str) -> bytes:
    """What of a request URI is stored."""
    return hashlib.sha256(request_uri.encode()).digest()


def preferred_language(tags: list[str]) -> str | None:
    """The first of our languages among language tags (RFC 5646), in order of preference."""
    primary = (tag.partition("-")[0].lower() for tag in tags)
    return next((language for language in primary if language in LANGUAGES), None)


def _check_form(parameters: Mapping[str, str], client: RegisteredClient) -> None:
    if parameters.get("client_id") != client.client_id:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "client_id must be the authenticated client's")
    if "response_type" not in parameters:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "response_type is missing")
    if parameters["response_type"] != "code":
        raise OAuthError(OAuthCode.UNSUPPORTED_RESPONSE_TYPE, "response_type must be code")


def redirect_uri_of(parameters: Mapping[str, str], client: RegisteredClient) -> str:
    """The redirect URI of a request, one of the client's. Raises OAuthError invalid_request."""
    redirect_uri = parameters.get("redirect_uri")
    if redirect_uri is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "redirect_uri is missing")
    if redirect_uri not in client.redirect_uris:  # exactly, with its query (RFC 9700 section 2.1)
        raise OAuthError(OAuthCode.INVALID_REQUEST, "redirect_uri is not registered")
    return redirect_uri


def _kept(parameters: Mapping[str, str], client: RegisteredClient) -> Kept:
    mode = jarm.choose_mode(parameters, client)
    return Kept(state=state_of(parameters), nonce=_nonce(parameters), response_mode=mode)


def state_of(parameters: Mapping[str, str]) -> str | None:
    """`state` of a request; None if it has none. Raises OAuthError invalid_request."""
    state = parameters.get("state")
    if state is not None and _STATE.fullmatch(state) is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "state must be at most 2048 printable ASCII characters")
    return state


def _nonce(parameters: Mapping[str, str]) -> str | None:
    """OpenID Connect Core section 3.1.2.1: given back unaltered, so never cut."""
    nonce = parameters.get("nonce")
    if nonce is not None and _STATE.fullmatch(nonce) is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "nonce must be at most 2048 printable ASCII characters")
    return nonce


def _dpop_jkt(call: Call) -> str | None:
    """The key that the code is bound to: by header, by parameter, or both (RFC 9449 section 10)."""
    named = call.parameters.get("dpop_jkt")
    if named is not None and _JKT.fullmatch(named) is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "dpop_jkt must be 43 characters of base64url")
    if not call.raw_proofs:
        return named
    proof = call.accept_proof()
    if named not in {None, proof.jkt}:  # RFC 9449 section 10.1
        raise InvalidProofError("dpop_jkt is not the key of the proof")
    return proof.jkt


def asked_terms(call: Call, client: RegisteredClient, scope: str) -> Terms | None:
    """What records are asked for; None where only who the person is, or nothing beside what a grant says.

    Records need no scope beside their details (RFC 9396 section 3), but a client that may have them.
    """
    if scope == scopes.OPENID and call.parameters.keys().isdisjoint(_ABOUT_RECORDS):
        return None
    if scopes.RECORDS_READ not in client.scopes:
        raise OAuthError(OAuthCode.INVALID_AUTHORIZATION_DETAILS, "this client cannot ask for records")
    is_merge = call.parameters.get("grant_management_action") == grants.MERGE
    is_for_records = scopes.RECORDS_READ in scope.split()
    if is_merge and is_for_records and call.parameters.keys().isdisjoint(_ASKING_FOR_MORE):
        return None
    return rich_authorization.read_details(call, client)


def seal_terms(keyring: Keyring, request_id: str, terms: Terms | None) -> bytes | None:
    """The terms of a request, readable for it only; None for none."""
    if terms is None:
        return None
    return seal(keyring.sealing_key(_SEALING_KEY), _context(request_id), terms.canonical())


def _context(request_id: str) -> bytes:
    return context_of("mydata/oauth/pushed-request@v1", request_id)
