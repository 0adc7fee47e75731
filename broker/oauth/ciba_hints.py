"""Whom a client means by a hint (OpenID CIBA Core section 7.1): only somebody it was told of before.

A hint is a `sub` that we told this organisation, by itself or in an ID token. Any other is `unknown_user_id`,
whether it is another organisation's, made up, or of somebody who was erased: so nobody learns by asking
whether a person exists here. All that could be meant are compared each time: the time tells nothing either.
"""

import hmac
from typing import Final

from sqlmodel import col, select

from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.id_token import subject_of_hint
from broker.oauth.models import Client, Token
from broker.oauth.pairwise import pairwise_subject
from broker.oauth.requests import Call
from consent.models import Consent
from vault.errors import UntrustedTokenError

HINTS: Final = ("login_hint", "id_token_hint", "login_hint_token")


def person_of(call: Call, client: RegisteredClient) -> tuple[str, str]:
    """The person's subject and the `sub` that the client knows. Raises OAuthError invalid_request.

    Raises OAuthError unknown_user_id.
    """
    sub = _hinted_sub(call, client)
    keyring, organisation_id = call.installation.keyring, client.organisation_id
    named = sub.encode()
    found = [
        subject_id
        for subject_id in _told_of(call, organisation_id)
        if hmac.compare_digest(named, pairwise_subject(keyring, organisation_id, subject_id).encode())
    ]
    if not found or keyring.is_erased(found[0]):
        raise OAuthError(OAuthCode.UNKNOWN_USER_ID, "not somebody whom this organisation was told of")
    return found[0], sub


def _hinted_sub(call: Call, client: RegisteredClient) -> str:
    given = [name for name in HINTS if name in call.parameters]
    if len(given) != 1:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "exactly one of login_hint and id_token_hint is needed")
    hint = call.parameters[given[0]]
    match given[0]:
        case "login_hint":
            return hint
        case "id_token_hint":
            keyring, client_id = call.installation.keyring, client.client_id
            try:
                return subject_of_hint(keyring, hint, issuer=call.issuer, client_id=client_id)
            except UntrustedTokenError as error:
                description = "id_token_hint is not an ID token that this client was given"
                raise OAuthError(OAuthCode.INVALID_REQUEST, description) from error
        case _:
            raise OAuthError(OAuthCode.INVALID_REQUEST, "login_hint_token is not taken here")


def _told_of(call: Call, organisation_id: str) -> set[str]:
    """Everybody whose `sub` the organisation was told: by a sign-in, or with a consent that they gave."""
    signed_in = (
        select(Token.subject_id)
        .join(Client, col(Client.client_id) == col(Token.client_id))
        .where(Client.organisation_id == organisation_id, col(Token.subject_id).is_not(None))
        .distinct()
    )
    agreed = (
        select(Consent.subject_id)
        .where(Consent.recipient_id == organisation_id, col(Consent.given_at).is_not(None))
        .distinct()
    )
    by_token = {subject_id for subject_id in call.session.exec(signed_in) if subject_id is not None}
    return by_token | set(call.session.exec(agreed))
