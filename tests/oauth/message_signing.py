"""What a client of FAPI 2.0 Message Signing sends and gets: signed requests, signed answers."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import orjson
from httpx import Response
from sqlmodel import select

from broker.db import transaction
from broker.oauth import par
from broker.oauth.client_metadata import ClientMetadata, SecurityProfile
from broker.oauth.kept_parameters import Kept
from broker.oauth.models import Client, PushedRequest
from tests.installation import ISSUER
from tests.oauth.world import Recipient, World, details, refused, without_left_out
from vault.jose import Jwk, sign_with_jwk, verify_jwt

TYP = "oauth-authz-req+jwt"


def register(
    world: World,
    client: Recipient,
    profile: SecurityProfile = SecurityProfile.FAPI2_MESSAGE_SIGNING,
    **metadata: Any,  # noqa: ANN401 - members of RFC 7591
) -> None:
    """Give a client this profile and these metadata."""
    with transaction(world.installation.data) as work:
        row = work.session.get_one(Client, client.client_id)
        row.security_profile = profile
        row.client_metadata = ClientMetadata(**metadata).model_dump_json(exclude_defaults=True)


def request_object(
    client: Recipient,
    *,
    key: Jwk | None = None,
    header: Mapping[str, Any] | None = None,
    **changes: Any,  # noqa: ANN401 - claims
) -> str:
    """The client's request as a signed object; `LEFT_OUT` takes a claim away."""
    claims = {
        **client.request(),
        "authorization_details": [details()],
        "iss": client.client_id,
        "aud": ISSUER,
        "nbf": client.seconds,
        "exp": client.seconds + 300,
    }
    used = key or client.key
    named = {"alg": used["alg"], "kid": used["kid"], "typ": TYP} | dict(header or {})
    return sign_with_jwk(without_left_out(claims | changes), used, without_left_out(named))


def push_object(client: Recipient, raw_object: str, **beside: object) -> Response:
    """Push an object; `beside` it parameters that should not be there."""
    return client.post("/par", client.authentication() | {"request": raw_object} | beside)


def push_signed(client: Recipient, **changes: Any) -> Response:  # noqa: ANN401 - claims
    """Push the client's request, signed."""
    return push_object(client, request_object(client, **changes))


def read_signed(world: World, token: str, typ: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of what the broker signed, verified with its published keys alone."""
    return verify_jwt(token, world.http.get("/jwks").json(), algorithms=["ES256"], typ=typ)


def object_refused(client: Recipient, raw_object: str) -> bool:
    return refused(push_object(client, raw_object), "invalid_request_object")


def kept_in(world: World) -> tuple[PushedRequest, Kept]:
    """The only request that was pushed, and what of it is sealed."""
    with world.installation.data.read() as session:
        row = session.exec(select(PushedRequest)).one()
        return row, par.kept_of(world.installation.keyring, row)


def unsigned(raw_object: str, **header: object) -> str:
    """The same payload under another header, and a signature that is none."""
    _, payload, _ = raw_object.split(".")
    return f"{_base64url(orjson.dumps(header))}.{payload}.{_base64url(b'x' * 64)}"


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
