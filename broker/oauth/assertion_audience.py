"""For whom a client's assertion may be meant: our issuer, and where no browser is, our addresses too.

FAPI 2.0 section 5.3.2.1 takes the issuer alone, since another server's metadata can make a client name any
address. OpenID CIBA Core section 7.1 demands that the addresses are taken, and software for FAPI-CIBA sends
them. There it opens nothing: such a request needs an object that the client signed for our issuer, or an
`auth_req_id` or a refresh token that only the client was told, and for that the key that it is bound to.
"""

from typing import Final

from broker.setting_sections import Server

REFRESH: Final = "refresh_token"
CIBA: Final = "urn:openid:params:grant-type:ciba"
_ISSUE: Final = "/token"
_ASK: Final = "/bc-authorize"


def addresses(
    server: Server, path: str, grant_type: str | None, *, is_for_ciba: bool = False
) -> frozenset[str]:
    """What an assertion in a request to `path` may name instead of the issuer, as a single string.

    `is_for_ciba`: whether the client that it names is registered for the grant of CIBA. Which grant a refresh
    token came of is told by no row of it.
    """
    if path == _ASK:
        endpoints = [_ISSUE, _ASK]
    elif path == _ISSUE and (grant_type == CIBA or (grant_type == REFRESH and is_for_ciba)):
        endpoints = [_ISSUE]
    else:
        return frozenset()
    bases = [base for base in (server.issuer, server.mtls_issuer) if base]
    return frozenset(base + endpoint for base in bases for endpoint in endpoints)
