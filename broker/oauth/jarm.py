"""Authorization responses as signed tokens: JWT Secured Authorization Response Mode for OAuth 2.0 (JARM).

What a browser carries back is one parameter, `response`: the client can tell that it is ours, and for it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.models import PushedRequest
from broker.service_keys import OAUTH_KEY
from vault.jose import sign_jwt
from vault.keys.keyring import Keyring

ALGORITHMS: Final = ("ES256",)
PLAIN: Final = "query"
SIGNED: Final = ("jwt", "query.jwt")  # JARM section 2.3: for a code the one stands for the other
MODES: Final = (PLAIN, *SIGNED)
_LIFETIME: Final = timedelta(minutes=5)  # JARM section 2.1: ten minutes at the most


def choose_mode(parameters: Mapping[str, str], client: RegisteredClient) -> str | None:
    """How the answer to a request goes back; None for plain, which nobody asked for. Raises OAuthError.

    A client that registered `authorization_signed_response_alg` is answered signed or not at all (JARM
    section 3).
    """
    mode = parameters.get("response_mode")
    if mode not in {None, *MODES}:
        raise OAuthError(OAuthCode.INVALID_REQUEST, f"response_mode must be one of {', '.join(MODES)}")
    if client.metadata.authorization_signed_response_alg is None:
        return mode
    if mode == PLAIN:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "this client's answers are signed: response_mode jwt")
    return mode or SIGNED[0]


def signed_address(keyring: Keyring, issuer: str, pushed: PushedRequest, address: str, now: datetime) -> str:
    """A plain answer's address with all that was added to the redirect URI in one signed parameter.

    JARM section 2.1: `iss`, `aud`, `exp` and the answer's own parameters, errors too.
    """
    redirect_uri = pushed.redirect_uri
    own = parse_qsl(urlsplit(redirect_uri).query, keep_blank_values=True)
    whole = parse_qsl(urlsplit(address).query, keep_blank_values=True)
    if whole[: len(own)] != own:
        message = "an answer must begin with its redirect URI"
        raise ValueError(message)
    claims = dict(whole[len(own) :]) | {
        "iss": issuer,
        "aud": pushed.client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + _LIFETIME).timestamp()),
    }
    (key, *_) = keyring.service_keys(OAUTH_KEY)
    token = sign_jwt(claims, key.private_pem, kid=key.kid, typ="JWT", alg=key.kind)
    return urlsplit(redirect_uri)._replace(query=urlencode([*own, ("response", token)])).geturl()
