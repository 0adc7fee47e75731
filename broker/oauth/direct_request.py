"""Authorization requests that a browser brings whole (OpenID Connect Core section 3.1.2.1).

For clients of the profile `oidc` only, and read by the rules of a pushed one (`broker.oauth.par`). Until the
redirect URI is proven to be the client's, what is wrong is told on a page; from then on to the client.
"""

import secrets
from typing import Final

from broker.oauth import jarm, par
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import AuthorizationPageError, OAuthCode, OAuthError
from broker.oauth.kept_parameters import Kept
from broker.oauth.models import PushedRequest
from broker.oauth.redirects import AuthorizationAnswer
from broker.oauth.requests import Call
from broker.oauth.server import authorization_redirect

# Core section 3.1.2.6. An object by value or by address would say unproven what the query can say as well.
_NOT_SUPPORTED: Final = (
    ("request", OAuthCode.REQUEST_NOT_SUPPORTED),
    ("request_uri", OAuthCode.REQUEST_URI_NOT_SUPPORTED),
)
_NAME_BYTES: Final = 32


def may_come_unpushed(client: RegisteredClient, *, oidc_clients: bool) -> bool:
    """Whether a client may send people here without a push; FAPI 2.0 section 5.3.2.2 forbids it."""
    return oidc_clients and client.profile is SecurityProfile.OIDC


def new_uri() -> str:
    """The name under which such a request is kept, like one that was pushed."""
    return par.REQUEST_URI_PREFIX + secrets.token_urlsafe(_NAME_BYTES)


def read(call: Call, client: RegisteredClient, request_uri: str) -> PushedRequest | str:
    """The request, kept as if it had been pushed; or the address at which its client hears what is wrong.

    Raises AuthorizationPageError while nothing proves where the browser may go.
    """
    redirect_uri = call.form.one("redirect_uri")
    if redirect_uri not in client.redirect_uris:  # exactly, with its query (RFC 9700 section 2.1)
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST)
    try:
        _refuse_objects(call)
        request = par.read_request(call, client, request_uri)
    except OAuthError as error:
        return _refused(call, client, redirect_uri, error)
    call.session.add(request)
    return request


def _refuse_objects(call: Call) -> None:
    for name, code in _NOT_SUPPORTED:
        if name in call.parameters:
            raise OAuthError(code, f"{name} is not taken here")


def _refused(call: Call, client: RegisteredClient, redirect_uri: str, error: OAuthError) -> str:
    """Where the browser carries an error, with state and issuer (RFC 6749 section 4.1.2.1, RFC 9207)."""
    unkept = PushedRequest(
        request_id="",
        uri_digest=b"",
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        scope="",
        code_challenge="",
        created_at=call.now,
        expires_at=call.now,
    )
    answer = AuthorizationAnswer(
        unkept, _heard(call, client), refusal=error.code, description=error.description
    )
    keyring = call.installation.keyring
    return authorization_redirect(call.session, keyring, call.issuer, answer, call.now)


def _heard(call: Call, client: RegisteredClient) -> Kept:
    """What of a refused request decides how its client hears of it, each as far as it can be read."""
    found = {name: value for name in ("state", "response_mode") if (value := call.form.one(name))}
    try:
        state = par.state_of(found)
    except OAuthError:
        state = None
    try:
        mode = jarm.choose_mode(found, client)
    except OAuthError:
        mode = None
    return Kept(state=state, response_mode=mode)
