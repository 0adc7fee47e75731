"""Pushed authorization requests, RFC 9126: everything about a request is checked here, before a person."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from broker.oauth import pkce, rich_authorization, scopes
from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import InvalidProofError, OAuthCode, OAuthError
from broker.oauth.models import PushedRequest
from broker.oauth.requests import Call
from consent.terms import Terms, stored
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

REQUEST_URI_PREFIX: Final = "urn:ietf:params:oauth:request_uri:"
_SECRET_BYTES: Final = 32
_STATE: Final = re.compile(r"[\x20-\x7e]{1,2048}")  # RFC 6749 appendix A.5
_JKT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SEALING_KEY: Final = "pushed_request"
LANGUAGES: Final = ("ko", "en")


@dataclass(frozen=True, slots=True)
class Pushed:
    """The answer to a push: a reference that its client redeems at /authorize, and its life in seconds."""

    request_uri: str
    expires_in: int


def push(call: Call, client: RegisteredClient) -> Pushed:
    """Check a request of an authenticated client and keep it. Raises OAuthError."""
    parameters = call.parameters
    _check_form(parameters, client)
    redirect_uri = _redirect_uri(parameters, client)
    state = _state(parameters)
    scope = scopes.choose(parameters.get("scope"), client.scopes & scopes.GRANTABLE)
    code_challenge = pkce.read_challenge(parameters)
    dpop_jkt = _dpop_jkt(call)
    terms = rich_authorization.read_details(call, client)

    request_uri = REQUEST_URI_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    seconds = call.installation.settings.oauth.request_uri_seconds
    request_id = random_id()
    call.session.add(
        PushedRequest(
            request_id=request_id,
            uri_digest=digest_of(request_uri),
            client_id=client.client_id,
            redirect_uri=redirect_uri,
            state=state,
            scope=scope,
            code_challenge=code_challenge,
            dpop_jkt=dpop_jkt,
            language=preferred_language((parameters.get("ui_locales") or "").split()),
            terms_sealed=_seal_terms(call.installation.keyring, request_id, terms),
            created_at=call.now,
            expires_at=call.now + timedelta(seconds=seconds),
        )
    )
    return Pushed(request_uri, seconds)


def open_terms(keyring: Keyring, request: PushedRequest) -> Terms:
    """The terms of a pushed request; raises TamperedError."""
    key = keyring.sealing_key(_SEALING_KEY)
    return stored(open_sealed(key, _context(request.request_id), request.terms_sealed))


def digest_of(request_uri: str) -> bytes:
    """What of a request URI is stored."""
    return hashlib.sha256(request_uri.encode()).digest()


def preferred_language(tags: list[str]) -> str | None:
    """The first of our languages among language tags (RFC 5646), in order of preference."""
    primary = (tag.partition("-")[0].lower() for tag in tags)
    return next((language for language in primary if language in LANGUAGES), None)


def _check_form(parameters: Mapping[str, str], client: RegisteredClient) -> None:
    if "request_uri" in parameters:  # RFC 9126 section 2.1
        raise OAuthError(OAuthCode.INVALID_REQUEST, "request_uri cannot be pushed")
    if "request" in parameters:
        raise OAuthError(OAuthCode.REQUEST_NOT_SUPPORTED, "request objects are not supported")
    if parameters.get("client_id") != client.client_id:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "client_id must be the authenticated client's")
    if "response_type" not in parameters:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "response_type is missing")
    if parameters["response_type"] != "code":
        raise OAuthError(OAuthCode.UNSUPPORTED_RESPONSE_TYPE, "response_type must be code")
    if parameters.get("response_mode", "query") != "query":
        raise OAuthError(OAuthCode.INVALID_REQUEST, "response_mode must be query")
    if "grant_id" in parameters or parameters.get("grant_management_action", "create") != "create":
        raise OAuthError(OAuthCode.INVALID_REQUEST, "grants can only be created")


def _redirect_uri(parameters: Mapping[str, str], client: RegisteredClient) -> str:
    redirect_uri = parameters.get("redirect_uri")
    if redirect_uri is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "redirect_uri is missing")
    if redirect_uri not in client.redirect_uris:  # exactly, with its query (RFC 9700 section 2.1)
        raise OAuthError(OAuthCode.INVALID_REQUEST, "redirect_uri is not registered")
    return redirect_uri


def _state(parameters: Mapping[str, str]) -> str | None:
    state = parameters.get("state")
    if state is not None and _STATE.fullmatch(state) is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "state must be at most 2048 printable ASCII characters")
    return state


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


def _seal_terms(keyring: Keyring, request_id: str, terms: Terms) -> bytes:
    return seal(keyring.sealing_key(_SEALING_KEY), _context(request_id), terms.canonical())


def _context(request_id: str) -> bytes:
    return context_of("mydata/oauth/pushed-request@v1", request_id)
