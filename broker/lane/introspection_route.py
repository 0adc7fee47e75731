"""`POST /introspect`, RFC 7662: the form, then the batch. Refusals are written in OAuth's own form."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from broker.deps import BadFormError, BodyTooLargeError, read_form
from broker.installation import Installation
from broker.lane.introspecting import Inquiry
from broker.lane.pulls import OverloadedError
from broker.oauth.client_assertion import read_assertion
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.requests import parameters_of
from broker.oauth.tokens import hash_of

if TYPE_CHECKING:
    from broker.lane.routes import Lane

PATH: Final = "/introspect"
_RETRY_AFTER: Final = {"Retry-After": "1"}


async def introspect(request: Request) -> Response:
    """What a client's organisation may know of one of its tokens."""
    installation: Installation = request.app.state.installation
    lane: Lane = request.app.state.lane
    try:
        inquiry = _inquiry(parameters_of(await read_form(request, installation)))
        return _answer(200, await lane.inquiries.submit(inquiry))
    except OAuthError as error:
        # RFC 7662 section 2.3: a client that does not authenticate is answered with 401.
        return _refusal(401 if error.code is OAuthCode.INVALID_CLIENT else 400, error)
    except BadFormError:
        description = "the body must be an urlencoded form in UTF-8"
        return _refusal(400, OAuthError(OAuthCode.INVALID_REQUEST, description))
    except BodyTooLargeError:
        return _refusal(413, OAuthError(OAuthCode.INVALID_REQUEST, "the body is too large"))
    except OverloadedError:
        return _answer(503, orjson.dumps({"error": "temporarily_unavailable"}), _RETRY_AFTER)


def _inquiry(parameters: Mapping[str, str]) -> Inquiry:
    assertion = read_assertion(parameters)
    raw_token = parameters.get("token")  # `token_type_hint` is not needed: one table holds both kinds
    if raw_token is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "token is missing")
    return Inquiry(assertion, hash_of(raw_token))


def _refusal(status: int, error: OAuthError) -> Response:
    return _answer(status, orjson.dumps({"error": error.code, "error_description": error.description}))


def _answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    said = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status_code=status, media_type="application/json", headers=said)
