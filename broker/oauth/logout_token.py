"""Logout tokens: that a session here is over, told to one client (Back-Channel Logout section 2.4)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from broker.oauth import id_token
from broker.oauth.clients import RegisteredClient
from broker.oauth.pairwise import pairwise_session, pairwise_subject
from vault.keys.keyring import Keyring

TYPE: Final = "logout+jwt"
EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LIFE: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that is over, and whose it was; `sid_digest` is what its `sid` was made from."""

    subject_id: str
    sid_digest: bytes = field(repr=False)


def issue(  # noqa: PLR0913, PLR0917 - who tells whom what, and when
    keyring: Keyring, issuer: str, client: RegisteredClient, ended: Ended, jti: str, now: datetime
) -> str:
    """The token as a compact JWS, signed like the client's ID tokens. There is no nonce: it is none.

    `jti` is of this one try: a client must not take one twice (section 2.6). Raises KeyNotMadeError.
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": pairwise_subject(keyring, client.organisation_id, ended.subject_id),
        "aud": client.client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + LIFE).timestamp()),
        "jti": jti,
        "sid": pairwise_session(keyring, client.organisation_id, ended.sid_digest),
        "events": {EVENT: {}},
    }
    return id_token.sign_for(keyring, client, claims, TYPE)
