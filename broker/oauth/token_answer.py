"""The answer of the token endpoint, RFC 6749 section 5.1.

With what RFC 9396 section 7, Grant Management and OpenID Connect (Core section 3.1.3.3) add.
"""

from dataclasses import replace

from broker.oauth import confirmation, id_token, scopes, session_clients, tokens
from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.requests import Call


def issue(
    call: Call,
    client: RegisteredClient,
    binding: tokens.Binding,
    *,
    nonce: str | None,
    refresh_scope: str | None,
) -> dict[str, object]:
    """Issue what `binding` is for: an access token always, the others where they belong.

    `refresh_scope` is that of a refresh token beside it, if there is to be one.
    A sign-in alone has no refresh token: nobody agreed to anything that lasts.
    Once the session is over a consent's answer has no ID token: it would sign in who has signed out. The
    codes and tokens of a sign-in alone have ended with the session. Raises OAuthError, KeyNotMadeError.
    """
    # What was asked for while the client had the scope may be redeemed when it has it no more (RFC 7592).
    if not frozenset(binding.scope.split()) <= client.scopes:
        raise OAuthError(OAuthCode.INVALID_GRANT, "the client is not registered for this scope any more")
    settings, grant, signed_in = call.installation.settings, binding.grant, binding.signed_in
    seconds = settings.oauth.access_token_seconds
    access_token, life = tokens.issue_access(call.session, binding, seconds=seconds, now=call.now)
    answer: dict[str, object] = {
        "access_token": access_token,
        "token_type": confirmation.token_type(binding.cnf),
        "expires_in": life,
        "scope": binding.scope,
    }
    if signed_in is not None and _is_told(call, client, binding, signed_in):
        telling = id_token.Telling(client, signed_in, access_token, nonce)
        answer["id_token"] = id_token.issue(call.installation.keyring, call.issuer, telling, call.now)
    if grant is None:
        return answer
    if refresh_scope is not None:
        lasting = replace(binding, scope=refresh_scope)
        answer["refresh_token"] = tokens.issue_refresh(call.session, lasting, grant, now=call.now)
    detail = grant.terms.to_detail() | {"grant_id": grant.grant_id}
    return answer | {"authorization_details": [detail], "grant_id": grant.grant_id}


def _is_told(
    call: Call, client: RegisteredClient, binding: tokens.Binding, signed_in: tokens.SignedIn
) -> bool:
    if scopes.OPENID not in binding.scope.split():
        return False
    return binding.grant is None or session_clients.goes_on(call.session, client.client_id, signed_in)
