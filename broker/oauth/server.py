"""The adapter to Authlib, and the only file that imports it. Rules live in the files beside this one.

Authlib drives: which grant, in which order, how errors and redirects are written. What FAPI 2.0
forbids of its defaults is overridden. One object serves the whole process: what belongs to one
request, its session first of all, travels on the request.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from authlib.oauth2 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, Endpoint, TokenMixin
from authlib.oauth2.rfc6749 import grants as rfc6749
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from sqlmodel import Session
from starlette.responses import JSONResponse, Response

from broker.oauth import client_assertion, par, pkce, revocation, scopes, tokens
from broker.oauth.clients import RegisteredClient
from broker.oauth.dpop import Proof
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.models import Code, PushedRequest, Token
from broker.oauth.requests import Call

_FOUND: Final = 302
_SEE_OTHER: Final = 303

# What Authlib passes around: status, body, headers.
Raw = tuple[int, object, list[tuple[str, str]]]


class OAuthServer:
    """The token, push and revocation endpoints. Errors are answers too: what was used up stays used up."""

    def __init__(self) -> None:
        # At DEBUG Authlib prints whole token responses.
        logging.getLogger("authlib").setLevel(logging.INFO)
        self._server = _Server()
        self._server.register_client_auth_method(client_assertion.METHOD, _authenticate)
        self._server.register_grant(_AuthorizationCodeGrant, [_CodeChallenge()])
        self._server.register_grant(_RefreshTokenGrant)
        self._server.register_grant(_ClientCredentialsGrant)
        self._server.register_endpoint(_PushEndpoint)
        self._server.register_endpoint(_RevocationEndpoint)

    def token(self, call: Call) -> Response:
        """RFC 6749 section 3.2."""
        return self._server.answer(call, self._server.create_token_response)

    def push(self, call: Call) -> Response:
        """RFC 9126 section 2."""
        return self._server.answer(call, lambda it: self._server.create_endpoint_response("par", it))

    def revoke(self, call: Call) -> Response:
        """RFC 7009 section 2."""
        return self._server.answer(call, lambda it: self._server.create_endpoint_response("revocation", it))


def authorization_redirect(
    session: Session, issuer: str, pushed: PushedRequest, issued: tokens.IssuedCode | None
) -> str:
    """Where the browser goes after a person's answer: with a code, or with access_denied if there is none.

    State as it was pushed, and `iss` always (RFC 9207 section 2).
    """
    server = _Server()
    server.register_extension(_Issuer(issuer))
    request = _AuthorizationRequest(session, issuer, pushed, issued)
    grant = _AuthorizationCodeGrant(request, server)
    subject_id = issued.row.subject_id if issued else None
    response = server.create_authorization_response(request, grant_user=subject_id, grant=grant)
    return str(response.location)


class _Server(AuthorizationServer):
    def answer(self, call: Call, respond: Callable[["_PostRequest"], Any]) -> Response:
        try:
            request = _PostRequest(call)
        except OAuthError as error:
            return self.handle_response(*_told(error)())
        response: Response = respond(request)
        return response

    def query_client(self, client_id: str) -> None:
        """Never answers: clients are known by their assertion (`_authenticate`)."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nothing listens."""

    def save_token(self, token: object, request: object) -> None:
        """Stored when it was made: only there are grant, key and version known."""

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> Response:
        # 302 lets a browser repeat the POST of the consent form at the client (FAPI 2.0 section 5.3.2.2).
        status = _SEE_OTHER if status == _FOUND else status
        response = (
            _Redirect(status_code=status) if status == _SEE_OTHER else JSONResponse(body, status_code=status)
        )
        response.headers.update(dict(headers))
        response.headers["Cache-Control"] = "no-store"
        return response


class _Redirect(Response):
    """Authlib's `iss` extension reads and sets `location`, which Starlette does not have."""

    @property
    def location(self) -> str:
        return self.headers["Location"]

    @location.setter
    def location(self, value: str) -> None:
        self.headers["Location"] = value


class _Issuer(IssuerParameter):
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer


class _PostRequest(OAuth2Request):
    """A call in Authlib's form. Raises OAuthError for a repeated parameter, before anything happens."""

    proof: Proof

    def __init__(self, call: Call) -> None:
        super().__init__("POST", call.url)
        self.call = call
        self.payload = BasicOAuth2Payload(dict(call.parameters))

    @property
    def form(self) -> dict[str, str]:
        return dict(self.call.parameters)


class _AuthorizationRequest(OAuth2Request):
    """A pushed request at its completion: the payload is what was pushed."""

    def __init__(
        self, session: Session, issuer: str, pushed: PushedRequest, issued: tokens.IssuedCode | None
    ) -> None:
        super().__init__("POST", f"{issuer}/authorize")
        self.session = session
        self.pushed = pushed
        self.issued = issued
        self.payload = BasicOAuth2Payload({"state": pushed.state} if pushed.state else {})


class _Client(ClientMixin):
    def __init__(self, registered: RegisteredClient) -> None:
        self.registered = registered

    def get_client_id(self) -> str:
        return self.registered.client_id

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        del endpoint
        return method == client_assertion.METHOD

    def check_grant_type(self, grant_type: str) -> bool:
        needed = scopes.CLIENT_OWN if grant_type == "client_credentials" else scopes.GRANTABLE
        return not needed.isdisjoint(self.registered.scopes)


class _Code:
    def __init__(self, row: Code) -> None:
        self.row = row

    def get_redirect_uri(self) -> str:
        return self.row.redirect_uri

    def get_scope(self) -> str:
        return self.row.scope


class _RefreshToken(TokenMixin):
    def __init__(self, row: Token) -> None:
        self.row = row

    def check_client(self, client: _Client) -> bool:
        return self.row.client_id == client.get_client_id()

    def get_scope(self) -> str:
        return self.row.scope


def _authenticate(query_client: object, request: _PostRequest) -> _Client:
    del query_client
    call = request.call
    with _telling():
        found = client_assertion.authenticate(call.session, call.parameters, issuer=call.issuer, now=call.now)
    return _Client(found)


class _SenderConstrained(rfc6749.BaseGrant):
    """What our grants have in common: private_key_jwt, then a DPoP proof, then the grant's own checks."""

    TOKEN_ENDPOINT_AUTH_METHODS: Final = [client_assertion.METHOD]
    request: _PostRequest

    def authenticate_token_endpoint_client(self) -> Any:  # noqa: ANN401 - Authlib has no types
        client = super().authenticate_token_endpoint_client()
        with _telling():
            if "authorization_details" in self.request.call.parameters:
                # RFC 9396 section 6 would let a client narrow here; a wish that is not met is refused.
                raise OAuthError(OAuthCode.INVALID_AUTHORIZATION_DETAILS, "details cannot be changed here")
            self.request.proof = self.request.call.accept_proof()
        return client

    def find_grant(self, pointer: Code | Token) -> tokens.Grant:
        call = self.request.call
        grant = tokens.find_grant(call.session, call.installation.keyring, pointer, call.now)
        if grant is None:
            with _telling():
                raise _dead_grant()
        return grant

    def generate_token(
        self,
        user: tokens.Grant | None = None,
        scope: str = "",
        grant_type: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = False,  # noqa: FBT001, FBT002 - Authlib's signature
    ) -> dict[str, object]:
        """RFC 6749 section 5.1, with what RFC 9396 section 7 and Grant Management add."""
        del grant_type, expires_in
        call, client = self.request.call, self.request.client
        binding = tokens.Binding(client.get_client_id(), scope, self.request.proof.jkt, user)
        seconds = call.installation.settings.oauth.access_token_seconds
        access_token, life = tokens.issue_access(call.session, binding, seconds=seconds, now=call.now)
        answer = {"access_token": access_token, "token_type": "DPoP", "expires_in": life, "scope": scope}
        if user is None:
            return answer
        if include_refresh_token:
            answer["refresh_token"] = tokens.issue_refresh(call.session, binding, user, now=call.now)
        detail = user.terms.to_detail() | {"grant_id": user.grant_id}
        return answer | {"authorization_details": [detail], "grant_id": user.grant_id}


class _AuthorizationCodeGrant(_SenderConstrained, rfc6749.AuthorizationCodeGrant):
    def validate_authorization_request(self) -> str:
        """Everything was checked at the push, and the redirect URI again just now."""
        redirect_uri: str = self.request.pushed.redirect_uri
        return redirect_uri

    def generate_authorization_code(self) -> str:
        raw_code: str = self.request.issued.raw_code
        return raw_code

    def save_authorization_code(self, code: str, request: object) -> None:
        del code, request
        self.request.session.add(self.request.issued.row)

    def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
        call = self.request.call
        row = tokens.take_code(call.session, code, client_id=client.get_client_id(), now=call.now)
        return _Code(row) if row else None

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """Used up when it was taken; it stays, so that a second use is noticed."""

    def authenticate_user(self, authorization_code: _Code) -> tokens.Grant:
        bound_to = authorization_code.row.dpop_jkt
        if bound_to not in {None, self.request.proof.jkt}:  # RFC 9449 section 10
            with _telling():
                raise OAuthError(OAuthCode.INVALID_GRANT, "the code is bound to another key")
        return self.find_grant(authorization_code.row)


class _CodeChallenge(CodeChallenge):
    def validate_code_verifier(self, grant: _AuthorizationCodeGrant, result: object) -> None:
        del result
        with _telling():
            pkce.verify(
                grant.request.form.get("code_verifier"), grant.request.authorization_code.row.code_challenge
            )


class _RefreshTokenGrant(_SenderConstrained, rfc6749.RefreshTokenGrant):
    """No rotation: the client authenticates and its tokens are bound to keys (FAPI 2.0 section 5.3.2.1)."""

    INCLUDE_NEW_REFRESH_TOKEN = False

    def authenticate_refresh_token(self, refresh_token: str) -> _RefreshToken | None:
        call, client_id = self.request.call, self.request.client.get_client_id()
        row = tokens.find_token(call.session, refresh_token, client_id=client_id, now=call.now)
        return _RefreshToken(row) if row and row.kind == tokens.TokenKind.REFRESH else None

    def authenticate_user(self, refresh_token: _RefreshToken) -> tokens.Grant:
        return self.find_grant(refresh_token.row)

    def revoke_old_credential(self, refresh_token: _RefreshToken) -> None:
        """It stays: no rotation."""


class _ClientCredentialsGrant(_SenderConstrained, rfc6749.ClientCredentialsGrant):
    def validate_requested_scope(self) -> None:
        allowed = self.request.client.registered.scopes & scopes.CLIENT_OWN
        payload = self.request.payload
        with _telling():
            chosen = scopes.choose(payload.scope, allowed)
        self.request.payload = BasicOAuth2Payload(payload.data | {"scope": chosen})


class _PushEndpoint(Endpoint):
    ENDPOINT_NAME = "par"

    def create_endpoint_response(self, request: _PostRequest) -> Raw:
        client = self.server.authenticate_client(request, [client_assertion.METHOD], self.ENDPOINT_NAME)
        with _telling():
            pushed = par.push(request.call, client.registered)
        return 201, {"request_uri": pushed.request_uri, "expires_in": pushed.expires_in}, []


class _RevocationEndpoint(RevocationEndpoint):
    CLIENT_AUTH_METHODS: Final = [client_assertion.METHOD]

    def authenticate_token(self, request: _PostRequest, client: _Client) -> Token | None:
        call, raw_token = request.call, request.form.get("token")
        if raw_token is None:
            with _telling():
                raise OAuthError(OAuthCode.INVALID_REQUEST, "token is missing")
        client_id = client.get_client_id()
        return revocation.find_revocable(call.session, raw_token, client_id=client_id, now=call.now)

    def revoke_token(self, token: Token, request: _PostRequest) -> None:
        revocation.revoke(request.call.session, token, request.call.now)


def _dead_grant() -> OAuthError:
    return OAuthError(OAuthCode.INVALID_GRANT, "the consent is not given, over, or another version now")


def _told(error: OAuthError) -> OAuth2Error:
    return OAuth2Error(error=str(error.code), description=error.description)


@contextmanager
def _telling() -> Iterator[None]:
    """Our refusals in the form that Authlib catches and writes as an answer."""
    try:
        yield
    except OAuthError as error:
        raise _told(error) from error
