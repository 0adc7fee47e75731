"""Resource indicators, RFC 8707: where a client says that it will use its token.

There is one resource here, the whole of this server under its issuer (RFC 9728), and every token is good for
that and for nothing else. So whoever names another would get a token that is of no use there, and is refused.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from broker.oauth.errors import OAuthCode, OAuthError
from broker.setting_sections import Server

PARAMETER: Final = "resource"


def check_resources(resources: Sequence[str], server: Server) -> None:
    """Refuse what is not at this server; there may be several. Raises OAuthError invalid_target."""
    if not all(_is_here(resource, server) for resource in resources if resource):
        raise OAuthError(OAuthCode.INVALID_TARGET, "resource is not an address of this server")


def _is_here(resource: str, server: Server) -> bool:
    bases = [base for base in (server.issuer, server.mtls_issuer) if base]
    # RFC 8707 section 2: absolute, and without a fragment.
    if "#" in resource or not any(resource == base or resource.startswith(f"{base}/") for base in bases):
        return False
    return not {".", ".."} & set(urlsplit(resource).path.split("/"))
