"""The routes of the authorization server. All are open: a client proves itself inside."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter
from fastapi.routing import APIRoute
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from broker.deps import BadFormError, BodyTooLargeError, Form, FormData, Installed, Now, Tx
from broker.installation import Installation
from broker.oauth import authorize, ciba, metadata
from broker.oauth.dpop import HEADER
from broker.oauth.errors import (
    ASSERTION_CHALLENGE,
    BASIC_CHALLENGE,
    AuthorizationPageError,
    BasicRefusedError,
    OAuthCode,
    OAuthError,
)
from broker.oauth.mtls import resource_with_certificates, with_certificates
from broker.oauth.openid_discovery import openid_provider
from broker.oauth.requests import Call
from broker.oauth.senders import certificate_of
from broker.oauth.server import OAuthServer
from broker.web.signin.guards import SignedInVisitor, Visitor

NO_STORE: Final = {"Cache-Control": "no-store"}
_PUBLIC: Final = {"Cache-Control": "public, max-age=300"}


class _OAuthRoute(APIRoute):
    """A body that is no form is answered in OAuth's own form too (RFC 6749 section 5.2)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_in_oauth_form(request: Request) -> Response:
            try:
                return await handle(request)
            except BadFormError:
                if request.url.path == "/authorize":  # a person looks at it
                    raise
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
        return server.push(_call(request, form, installed, work.session, now))

    @router.post("/token")
    def token(request: Request, form: Form, installed: Installed, work: Tx, now: Now) -> Response:
        """Redeem a code or a refresh token, or ask for a token of the client's own (RFC 6749)."""
        return server.token(_call(request, form, installed, work.session, now))

    @router.post("/revoke")
    def revoke(request: Request, form: Form, installed: Installed, work: Tx, now: Now) -> Response:
        """Give a token back (RFC 7009)."""
        return server.revoke(_call(request, form, installed, work.session, now))

    @router.post("/bc-authorize")
    def ask(request: Request, form: Form, installed: Installed, work: Tx, now: Now) -> Response:
        """Ask a person without a browser, by a signed request (OpenID CIBA Core)."""
        try:
            answer = ciba.ask(_call(request, form, installed, work.session, now))
        except OAuthError as error:
            return _refusal(error)
        return JSONResponse(answer, headers=NO_STORE)

    @router.get("/authorize", status_code=303)
    def open_pushed_request(
        request: Request, installed: Installed, visitor: SignedInVisitor, work: Tx, now: Now
    ) -> Response:
        """Show a request to a person: a browser comes here with `client_id` and `request_uri`.

        Clients of the profile `oidc` may send the whole request instead (OpenID Connect Core 3.1.2.1).
        """
        address = authorize.begin(work, installed, _page_request(request, visitor), now)
        return RedirectResponse(address, status_code=303, headers=NO_STORE)

    @router.post("/authorize", status_code=303)
    def open_posted_request(form: Form, installed: Installed, work: Tx, now: Now) -> Response:
        """The same by POST (OpenID Connect Core 3.1.2.1): the browser comes again, with its cookie."""
        address = authorize.take_posted(work.session, installed, form, now)
        return RedirectResponse(address, status_code=303, headers=NO_STORE)

    _describe(router)
    return router


def _describe(router: APIRouter) -> None:
    """The addresses at which the server says what it is."""

    @router.get("/jwks")
    def jwks(installed: Installed) -> Response:
        """Our public keys (RFC 7517)."""
        oidc_clients = installed.settings.oauth.oidc_clients
        keys = metadata.key_set(installed.keyring, oidc_clients=oidc_clients)
        return JSONResponse(keys, headers=_PUBLIC)

    @router.get("/.well-known/oauth-authorization-server")
    def describe_server(installed: Installed) -> Response:
        """Metadata of the authorization server (RFC 8414)."""
        server, oidc_clients = installed.settings.server, installed.settings.oauth.oidc_clients
        document = metadata.authorization_server(server.issuer, oidc_clients=oidc_clients)
        return JSONResponse(with_certificates(document, server), headers=_PUBLIC)

    @router.get("/.well-known/openid-configuration")
    def describe_provider(installed: Installed) -> Response:
        """Metadata of the OpenID provider (OpenID Connect Discovery section 4)."""
        server, oidc_clients = installed.settings.server, installed.settings.oauth.oidc_clients
        document = metadata.authorization_server(server.issuer, oidc_clients=oidc_clients)
        document = openid_provider(document, oidc_clients=oidc_clients)
        return JSONResponse(with_certificates(document, server), headers=_PUBLIC)

    @router.get("/.well-known/oauth-protected-resource")
    def describe_resource(installed: Installed) -> Response:
        """Metadata of the resources (RFC 9728)."""
        server, oidc_clients = installed.settings.server, installed.settings.oauth.oidc_clients
        document = metadata.protected_resource(server.issuer, oidc_clients=oidc_clients)
        return JSONResponse(resource_with_certificates(document, server), headers=_PUBLIC)


def _call(request: Request, form: FormData, installed: Installation, session: Session, now: datetime) -> Call:
    """The request in plain values, with the proofs and the client certificate that it came with."""
    headers, path = request.headers, request.scope["path"]
    proofs, certificate = tuple(headers.getlist(HEADER)), certificate_of(request, installed, now)
    authorization = tuple(headers.getlist("authorization"))
    return Call(installed, session, now, path, form, proofs, certificate, authorization)


def query_of(request: Request) -> list[tuple[str, str]]:
    """The pairs of a query that a browser brings, in order. Raises AuthorizationPageError."""
    try:
        return parse_qsl(request.url.query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST) from error


def _page_request(request: Request, visitor: Visitor | None) -> authorize.PageRequest:
    query = query_of(request)
    signed_in = None if visitor is None or visitor.is_acting else visitor.signed_in
    return authorize.PageRequest(query, request.headers.get("accept-language", ""), signed_in)


def _refusal(error: OAuthError) -> Response:
    """CIBA Core section 13."""
    statuses = {OAuthCode.INVALID_CLIENT: 401, OAuthCode.ACCESS_DENIED: 403}
    body = {"error": error.code, "error_description": error.description}
    named = BASIC_CHALLENGE if isinstance(error, BasicRefusedError) else ASSERTION_CHALLENGE
    challenge = {"WWW-Authenticate": named} if error.code is OAuthCode.INVALID_CLIENT else {}
    return JSONResponse(body, status_code=statuses.get(error.code, 400), headers=NO_STORE | challenge)


def _invalid_request(status: int, description: str) -> Response:
    body = {"error": OAuthCode.INVALID_REQUEST, "error_description": description}
    return JSONResponse(body, status_code=status, headers=NO_STORE)
