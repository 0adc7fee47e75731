"""Signing out at a client's wish (OpenID Connect RP-Initiated Logout 1.0).

Only an ID token of this very session signs out at once; otherwise the person is asked. Only an address that
the client has registered is gone to, and only where an ID token or `client_id` says whose it is. Whatever is
wrong with the request is told to the person on a page.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from sqlmodel import Session

from broker.installation import Installation
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.clients import RegisteredClient, find_active
from broker.oauth.errors import AuthorizationPageError, OAuthCode
from broker.oauth.id_token import Hint, read_hint
from broker.oauth.pairwise import pairwise_session
from broker.oauth.session_clients import sid_digests
from vault.errors import UntrustedTokenError
from vault.keys.keyring import Keyring

PARAMETERS: Final = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales")
"""What of section 2 says something here. `logout_hint` does not: nobody but the browser's person is meant."""


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A checked request. `client` is who asks, if that is known; `address` where the browser goes afterwards.

    `parameters` are those that it came with, to be checked again when the person has agreed.
    """

    parameters: Mapping[str, str]
    client: RegisteredClient | None
    hint: Hint | None
    address: str | None

    def names(self, session: Session, keyring: Keyring, session_digest: bytes) -> bool:
        """Whether its ID token was given in this session, so that the person need not be asked."""
        if self.client is None or self.hint is None or self.hint.sid is None:
            return False
        organisation_id = self.client.organisation_id
        return any(
            hmac.compare_digest(self.hint.sid, pairwise_session(keyring, organisation_id, digest))
            for digest in {session_digest, *sid_digests(session, session_digest, self.client.client_id)}
        )


def read_request(
    session: Session, installation: Installation, pairs: Iterable[tuple[str, str]]
) -> LogoutRequest:
    """Check a request, from its parameters as they came. Raises AuthorizationPageError."""
    parameters = _parameters(pairs)
    hint = _hint(installation, parameters.get("id_token_hint"))
    named = parameters.get("client_id")
    if hint is not None:
        if named not in {None, hint.client_id}:
            raise _refused()  # section 2: the two must be one
        named = hint.client_id
    client = None if named is None else find_active(session, named)
    if client is not None and client.profile is SecurityProfile.OIDC:
        client = client if installation.settings.oauth.oidc_clients else None  # as everywhere else
    if named is not None and client is None:
        raise _refused()
    address = None if client is None else _address(client, parameters)
    return LogoutRequest(parameters, client, hint, address)


def _parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those that are known, each once; one without a value was left out (RFC 6749 section 3.1)."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS or not value:
            continue
        if name in found:
            raise _refused()
        found[name] = value
    return found


def _hint(installation: Installation, raw: str | None) -> Hint | None:
    if raw is None:
        return None
    try:
        return read_hint(installation.keyring, raw, issuer=installation.settings.server.issuer)
    except UntrustedTokenError as error:
        raise _refused() from error


def _address(client: RegisteredClient, parameters: Mapping[str, str]) -> str | None:
    """Where the browser goes afterwards, with `state` as it came; None if the client names nothing."""
    uri = parameters.get("post_logout_redirect_uri")
    if uri is None:
        return None
    if uri not in client.metadata.post_logout_redirect_uris:
        raise _refused()
    if "state" not in parameters:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode({'state': parameters['state']})}"


def _refused() -> AuthorizationPageError:
    return AuthorizationPageError(OAuthCode.INVALID_REQUEST)
