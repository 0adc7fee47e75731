"""The routes of the authorization server. All are open: a client proves itself inside, by assertion."""

from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from broker.deps import BadFormError, BodyTooLargeError, Form, Installed, Now, Tx
from broker.oauth import authorize, metadata
from broker.oauth.dpop import HEADER
from broker.oauth.errors import AuthorizationPageError, OAuthCode
from broker.oauth.requests import Call
from broker.oauth.server import OAuthServer

_NO_STORE: Final = {"Cache-Control": "no-store"}
_PUBLIC: Final = {"Cache-Control": "public, max-age=300"}


class _OAuthRoute(APIRoute):
    """A body that is no form is answered in OAuth's own form too (RFC 6749 section 5.2)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_in_oauth_form(request: Request) -> Response:
            try:
                return await handle(request)
            except BadFormError:
                return _invalid_request(400, "the body must be an urlencoded form in UTF-8")
            except BodyTooLargeError:
                return _invalid_request(413, "the body is too large")

        return handle_in_oauth_form


def create_router() -> APIRouter:
    """The endpoints, with one Authlib server for the process."""
    router = APIRouter(tags=["OAuth 2"], route_class=_OAuthRoute)
    server = OAuthServer()

    @router.post("/par", status_code=201)
    def push(request: Request, form: Form, installed: Installed, work: Tx, now: Now) -> Response:
        """Push an authorization request (RFC 9126)."""
        return server.push(Call(installed, work.session, now, "/par", form, _proofs(request)))

    @router.post("/token")
    def token(request: Request, form: Form, installed: Installed, work: Tx, now: Now) -> Response:
        """Redeem a code or a refresh token, or ask for a token of the client's own (RFC 6749)."""
        return server.token(Call(installed, work.session, now, "/token", form, _proofs(request)))

    @router.post("/revoke")
    def revoke(request: Request, form: Form, installed: Installed, work: Tx, now: Now) -> Response:
        """Give a token back (RFC 7009)."""
        return server.revoke(Call(installed, work.session, now, "/revoke", form, _proofs(request)))

    @router.get("/authorize", status_code=303)
    def open_pushed_request(request: Request, installed: Installed, work: Tx, now: Now) -> Response:
        """Show a pushed request to a person: a browser comes here with `client_id` and `request_uri`."""
        minutes = installed.settings.oauth.interaction_minutes
        path = authorize.begin(work.session, _page_request(request), minutes=minutes, now=now)
        return RedirectResponse(path, status_code=303, headers=_NO_STORE)

    @router.get("/jwks")
    def jwks(installed: Installed) -> Response:
        """Our public keys (RFC 7517)."""
        return JSONResponse(metadata.key_set(installed.keyring), headers=_PUBLIC)

    @router.get("/.well-known/oauth-authorization-server")
    def describe_server(installed: Installed) -> Response:
        """Metadata of the authorization server (RFC 8414)."""
        return JSONResponse(metadata.authorization_server(installed.settings.server.issuer), headers=_PUBLIC)

    @router.get("/.well-known/oauth-protected-resource")
    def describe_resource(installed: Installed) -> Response:
        """Metadata of the resources (RFC 9728)."""
        return JSONResponse(metadata.protected_resource(installed.settings.server.issuer), headers=_PUBLIC)

    return router


def _proofs(request: Request) -> tuple[str, ...]:
    return tuple(request.headers.getlist(HEADER))


def _page_request(request: Request) -> authorize.PageRequest:
    try:
        query = parse_qsl(request.url.query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST) from error
    return authorize.PageRequest(query, request.headers.get("accept-language", ""))


def _invalid_request(status: int, description: str) -> Response:
    body = {"error": OAuthCode.INVALID_REQUEST, "error_description": description}
    return JSONResponse(body, status_code=status, headers=_NO_STORE)
