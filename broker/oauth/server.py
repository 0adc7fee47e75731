"""The adapter to Authlib, and the only file that imports it. Rules live in the files beside this one.

Authlib drives: which grant, in which order, how errors and redirects are written. What FAPI 2.0
forbids of its defaults is overridden. One object serves the whole process: what belongs to one
request, its session first of all, travels on the request.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
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

from broker.logs import quiet_authlib
from broker.oauth import ciba, client_assertion, jarm, par, pkce, revocation, scopes, token_answer, tokens
from broker.oauth.clients import RegisteredClient
from broker.oauth.confirmation import of_key
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.kept_parameters import open_kept
from broker.oauth.models import Code, Token
from broker.oauth.redirects import AuthorizationAnswer, Redirect
from broker.oauth.requests import Call
from broker.oauth.senders import keep_method
from broker.rate_limits import proven
from vault.keys.keyring import Keyring

_FOUND: Final = 302
_SEE_OTHER: Final = 303
_UNAUTHORIZED: Final = 401

# What Authlib passes around: status, body, headers.
Raw = tuple[int, object, list[tuple[str, str]]]


class OAuthServer:
    """The token, push and revocation endpoints. Errors are answers too: what was used up stays used up."""

    def __init__(self) -> None:
        quiet_authlib()
        self._server = _Server()
        self._server.register_client_auth_method(client_assertion.METHOD, _authenticate)
        self._server.register_grant(_AuthorizationCodeGrant, [_CodeChallenge()])
        self._server.register_grant(_RefreshTokenGrant)
        self._server.register_grant(_ClientCredentialsGrant)
        self._server.register_grant(_BackchannelGrant)
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
    session: Session, keyring: Keyring, issuer: str, answer: AuthorizationAnswer, now: datetime
) -> str:
    """Where the browser goes after a person's answer.

    State as it was pushed, and `iss` always (RFC 9207 section 2); signed where that was asked for (JARM).
    """
    server = _Server()
    server.register_extension(_Issuer(issuer))
    request = _AuthorizationRequest(session, issuer, answer)
    grant = _AuthorizationCodeGrant(request, server)
    subject_id = answer.issued.row.subject_id if answer.issued else None
    response = server.create_authorization_response(request, grant_user=subject_id, grant=grant)
    address = str(response.location)
    if answer.kept.response_mode not in jarm.SIGNED:
        return address
    return jarm.signed_address(keyring, issuer, answer.pushed, address, now)


class _Server(AuthorizationServer):
    def answer(self, call: Call, respond: Callable[["_PostRequest"], Any]) -> Response:
        try:
            response: Response = respond(_PostRequest(call))
        except OAuthError as error:
            response = self.handle_response(*_told(error)())
        if response.status_code == _UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = call.challenge
        return response

    def query_client(self, client_id: str) -> None:
        """Never answers: clients are known by their assertion (`_authenticate`)."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nothing listens."""

    def save_token(self, token: object, request: object) -> None:
        """Stored when it was made: only there are grant, key and version known."""

    def create_token_response(self, request: "_PostRequest") -> Any:  # noqa: ANN401 - Authlib has no types
        if "grant_type" not in request.form:  # RFC 6749 section 5.2: missing is not the same as unsupported
            missing = OAuthError(OAuthCode.INVALID_REQUEST, "grant_type is missing")
            return self.handle_response(*_told(missing)())
        return super().create_token_response(request)

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> Response:
        # 302 lets a browser repeat the POST of the consent form at the client (FAPI 2.0 section 5.3.2.2).
        status = _SEE_OTHER if status == _FOUND else status
        is_redirect = status == _SEE_OTHER
        response = Redirect(status_code=status) if is_redirect else JSONResponse(body, status_code=status)
        response.headers.update(dict(headers))
        response.headers["Cache-Control"] = "no-store"
        return response


class _Issuer(IssuerParameter):
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer


class _PostRequest(OAuth2Request):
    """A call in Authlib's form. Raises OAuthError for a repeated parameter, before anything happens."""

    cnf: str
    signed_in: tokens.SignedIn | None = None
    nonce: str | None = None
    refresh_scope: str | None = None

    def __init__(self, call: Call) -> None:
        super().__init__("POST", call.url)
        self.call = call
        self.payload = BasicOAuth2Payload(dict(call.parameters))

    @property
    def form(self) -> dict[str, str]:
        return dict(self.call.parameters)


class _AuthorizationRequest(OAuth2Request):
    """A pushed request at its completion: the payload is what was pushed."""

    def __init__(self, session: Session, issuer: str, answer: AuthorizationAnswer) -> None:
        super().__init__("POST", f"{issuer}/authorize")
        self.session, self.answer = session, answer
        self.payload = BasicOAuth2Payload({"state": answer.kept.state} if answer.kept.state else {})


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
    with _telling():
        found = request.call.authenticate()
    proven(found.client_id)  # from here on it is counted by itself, and not by its address
    return _Client(found)


class _SenderConstrained(rfc6749.BaseGrant):
    """What our grants have in common: the client, then what binds its tokens, then the grant's own checks."""

    TOKEN_ENDPOINT_AUTH_METHODS: Final = [client_assertion.METHOD]
    request: _PostRequest

    def authenticate_token_endpoint_client(self) -> Any:  # noqa: ANN401 - Authlib has no types
        client = super().authenticate_token_endpoint_client()
        with _telling():
            if "authorization_details" in self.request.call.parameters:
                # RFC 9396 section 6 would let a client narrow here; a wish that is not met is refused.
                raise OAuthError(OAuthCode.INVALID_AUTHORIZATION_DETAILS, "details cannot be changed here")
            self.request.call.check_resources()
            self.request.cnf = self.request.call.accept_constraint(client.registered)
        return client

    def find_grant(self, pointer: Code | Token) -> tokens.Grant:
        call = self.request.call
        grant = tokens.find_grant(call.session, call.installation.keyring, pointer, call.now)
        if grant is None:
            with _telling():
                raise OAuthError(
                    OAuthCode.INVALID_GRANT, "the consent is not given, over, or another version now"
                )
        return grant

    def generate_token(
        self,
        user: tokens.Grant | tokens.SignedIn | None = None,
        scope: str = "",
        grant_type: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = False,  # noqa: FBT001, FBT002 - Authlib's signature
    ) -> dict[str, object]:
        del grant_type, expires_in
        call, client = self.request.call, self.request.client
        grant = user if isinstance(user, tokens.Grant) else None
        binding = tokens.Binding(
            client.get_client_id(), scope, self.request.cnf, grant, self.request.signed_in
        )
        refresh_scope = (self.request.refresh_scope or scope) if include_refresh_token else None
        with _telling():
            return token_answer.issue(
                call, client.registered, binding, nonce=self.request.nonce, refresh_scope=refresh_scope
            )


class _AuthorizationCodeGrant(_SenderConstrained, rfc6749.AuthorizationCodeGrant):
    def validate_authorization_request(self) -> str:
        """Everything was checked at the push, and the redirect URI again just now."""
        return str(self.request.answer.pushed.redirect_uri)

    def create_authorization_response(self, redirect_uri: str, grant_user: str | None) -> Raw:
        refusal = self.request.answer.refusal
        if grant_user is None and refusal is not OAuthCode.ACCESS_DENIED:
            description = self.request.answer.description
            raise OAuth2Error(error=str(refusal), description=description, redirect_uri=redirect_uri)
        response: Raw = super().create_authorization_response(redirect_uri, grant_user)
        return response

    def generate_authorization_code(self) -> str:
        return str(self.request.answer.issued.raw_code)

    def save_authorization_code(self, code: str, request: object) -> None:
        del code, request
        self.request.session.add(self.request.answer.issued.row)

    def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
        call = self.request.call
        row = tokens.take_code(call.session, code, client_id=client.get_client_id(), now=call.now)
        return _Code(row) if row else None

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """Used up when it was taken; it stays, so that a second use is noticed."""

    def authenticate_user(self, authorization_code: _Code) -> tokens.Grant | tokens.SignedIn:
        row = authorization_code.row
        # RFC 9449 section 10
        if row.dpop_jkt is not None and self.request.cnf != of_key(row.dpop_jkt):
            with _telling():
                raise OAuthError(OAuthCode.INVALID_GRANT, "the code is bound to another key")
        signed_in = self.request.signed_in = tokens.SignedIn.behind(row)
        if row.request_id is not None and row.kept_sealed is not None:
            keyring = self.request.call.installation.keyring
            self.request.nonce = open_kept(keyring, row.request_id, row.kept_sealed).nonce
        return signed_in if signed_in is not None and row.grant_id is None else self.find_grant(row)


class _CodeChallenge(CodeChallenge):
    def validate_code_verifier(self, grant: _AuthorizationCodeGrant, result: object) -> None:
        del result
        with _telling():
            pkce.verify(
                grant.request.form.get("code_verifier"), grant.request.authorization_code.row.code_challenge
            )


class _RefreshTokenGrant(_SenderConstrained, rfc6749.RefreshTokenGrant):
    """No rotation: the client authenticates and its tokens are bound to keys (FAPI 2.0 section 5.3.2.1).

    Only where the consent has a newer version does the answer bear a new one, which lives as long as that.
    """

    INCLUDE_NEW_REFRESH_TOKEN = False

    def authenticate_refresh_token(self, refresh_token: str) -> _RefreshToken | None:
        call, client_id = self.request.call, self.request.client.get_client_id()
        row = tokens.find_token(call.session, refresh_token, client_id=client_id, now=call.now, hold=True)
        return _RefreshToken(row) if row and row.kind == tokens.TokenKind.REFRESH else None

    def _validate_token_scope(self, token: _RefreshToken) -> None:
        if (asked := self.request.payload.scope) is None:
            return
        with _telling():
            chosen = scopes.choose(asked, frozenset(token.get_scope().split()))
        self.request.payload = BasicOAuth2Payload(self.request.payload.data | {"scope": chosen})

    def authenticate_user(self, refresh_token: _RefreshToken) -> tokens.Grant:
        with _telling():
            keep_method(refresh_token.row.cnf, self.request.cnf)
        grant = self.find_grant(refresh_token.row)
        self.request.signed_in = tokens.SignedIn.behind(refresh_token.row)
        self.INCLUDE_NEW_REFRESH_TOKEN = refresh_token.row.version_id != grant.version_id
        # RFC 6749 section 6: who asks for less this time has not given up the rest.
        self.request.refresh_scope = refresh_token.get_scope()
        return grant

    def revoke_old_credential(self, refresh_token: _RefreshToken) -> None:
        """It stays: no rotation."""


class _ClientCredentialsGrant(_SenderConstrained, rfc6749.ClientCredentialsGrant):
    def validate_requested_scope(self) -> None:
        allowed = self.request.client.registered.scopes & scopes.CLIENT_OWN
        payload = self.request.payload
        with _telling():
            chosen = scopes.choose(payload.scope, allowed)
        self.request.payload = BasicOAuth2Payload(payload.data | {"scope": chosen})


class _BackchannelGrant(_SenderConstrained, rfc6749.TokenEndpointMixin):
    """OpenID CIBA Core section 10.1."""

    GRANT_TYPE = ciba.GRANT_TYPE

    def validate_token_request(self) -> None:
        self.request.client = self.authenticate_token_endpoint_client()

    def create_token_response(self) -> Raw:
        with _telling():
            answer = ciba.redeem(self.request.call, self.request.client.registered, self.request.cnf)
        return 200, answer, self.TOKEN_RESPONSE_HEADER


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


def _told(error: OAuthError) -> OAuth2Error:
    status = _UNAUTHORIZED if error.code is OAuthCode.INVALID_CLIENT else error.status
    return OAuth2Error(error=str(error.code), description=error.description, status_code=status)


@contextmanager
def _telling() -> Iterator[None]:
    """Our refusals in the form that Authlib catches and writes as an answer."""
    try:
        yield
    except OAuthError as error:
        raise _told(error) from error
