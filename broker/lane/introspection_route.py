"""`POST /introspect`, RFC 7662 and 9701: the form, then the batch. Refusals are in OAuth's own form."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from broker.deps import BadFormError, BodyTooLargeError, read_form
from broker.installation import Installation
from broker.lane.introspecting import Inquiry
from broker.lane.pulls import OverloadedError
from broker.oauth.client_secret import basic_credentials
from broker.oauth.errors import ASSERTION_CHALLENGE, BASIC_CHALLENGE, OAuthCode, OAuthError
from broker.oauth.introspection_response import PLAIN_MEDIA_TYPE, wants_signed
from broker.oauth.requests import parameters_of
from broker.oauth.senders import Credential, certificate_of, read_credential
from broker.oauth.tokens import hash_of

if TYPE_CHECKING:
    from broker.lane.routes import Lane

PATH: Final = "/introspect"
_RETRY_AFTER: Final = {"Retry-After": "1"}


async def introspect(request: Request) -> Response:
    """What a client's organisation may know of one of its tokens."""
    installation: Installation = request.app.state.installation
    lane: Lane = request.app.state.lane
    is_signed = wants_signed(request.headers.getlist("accept"))
    authorization = request.headers.getlist("authorization")
    try:
        form = await read_form(request, installation)
        parameters = parameters_of(form, jwt_bytes=installation.settings.limits.jwt_bytes)
        sent = certificate_of(request, installation, installation.clock())
        oidc_clients = installation.settings.oauth.oidc_clients
        credential = read_credential(parameters, sent, authorization, oidc_clients=oidc_clients)
        told = await lane.inquiries.submit(_inquiry(parameters, credential, is_signed=is_signed))
        return _answer(200, told.body, media_type=told.media_type)
    except OAuthError as error:
        # Who does not authenticate: 401 (RFC 7662 section 2.3), but 400 where a token is asked for (RFC 9701
        # section 5).
        came_by_basic = bool(basic_credentials(authorization))  # RFC 6749 section 5.2
        if error.code is OAuthCode.INVALID_CLIENT and (came_by_basic or not is_signed):
            is_served = installation.settings.oauth.oidc_clients
            challenge = BASIC_CHALLENGE if came_by_basic and is_served else ASSERTION_CHALLENGE
            return _refusal(401, error, {"WWW-Authenticate": challenge})
        return _refusal(400, error)
    except BadFormError:
        description = "the body must be an urlencoded form in UTF-8"
        return _refusal(400, OAuthError(OAuthCode.INVALID_REQUEST, description))
    except BodyTooLargeError:
        return _refusal(413, OAuthError(OAuthCode.INVALID_REQUEST, "the body is too large"))
    except OverloadedError:
        return _answer(503, orjson.dumps({"error": "temporarily_unavailable"}), _RETRY_AFTER)


def _inquiry(parameters: Mapping[str, str], credential: Credential, *, is_signed: bool) -> Inquiry:
    raw_token = parameters.get("token")  # `token_type_hint` is not needed: one table holds both kinds
    if raw_token is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "token is missing")
    return Inquiry(credential, hash_of(raw_token), is_signed)


def _refusal(status: int, error: OAuthError, headers: dict[str, str] | None = None) -> Response:
    body = orjson.dumps({"error": error.code, "error_description": error.description})
    return _answer(status, body, headers)


def _answer(
    status: int,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    media_type: str = PLAIN_MEDIA_TYPE,
) -> Response:
    said = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status_code=status, media_type=media_type, headers=said)
