"""The end session endpoint (OpenID Connect RP-Initiated Logout 1.0 section 2)."""

from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from broker.deps import Form, Installed, Now, Tx
from broker.oauth.errors import AuthorizationPageError, OAuthCode
from broker.oauth.logout import PARAMETERS, read_request
from broker.oauth.routes import NO_STORE, query_of
from broker.web.i18n import LANGUAGES, preferred_language
from broker.web.signin import sessions
from broker.web.signin.ending import forget_cookie, sign_out
from broker.web.signin.guards import SignedInVisitor

PATH = "/end_session"
_MAX_ADDRESS: Final = 8000  # RFC 9110 section 4.1: what every part of the way takes
router = APIRouter(tags=["OAuth 2"])


@router.get(PATH, status_code=303)
def end_session(
    request: Request, installed: Installed, visitor: SignedInVisitor, work: Tx, now: Now
) -> Response:
    """Sign the person out whom a browser brings here, and send them back; or ask them first."""
    pairs = query_of(request)
    asked = read_request(work.session, installed, pairs)
    issuer = installed.settings.server.issuer
    raw_cookie = request.cookies.get(sessions.cookie_name(issuer), "")
    language = _language(asked.parameters.get("ui_locales"), request.headers.get("accept-language"))
    session_digest = sessions.digest_of(raw_cookie)
    if visitor is not None and not asked.names(work.session, installed.keyring, session_digest):
        known = urlencode(list(asked.parameters.items()))
        return RedirectResponse(f"/{language}/logout?{known}", status_code=303, headers=NO_STORE)
    sign_out(work.session, raw_cookie, now)
    # Whose address it is only an ID token shows; a client id that anybody can write is for the person to see.
    address = asked.address if asked.hint is not None else None
    answer = RedirectResponse(address or f"/{language}/signed-out", status_code=303, headers=NO_STORE)
    forget_cookie(answer, issuer)
    return answer


@router.post(PATH, status_code=303)
def end_session_by_form(form: Form) -> Response:
    """The same by POST: the browser comes again, with the cookie that it sends to no other site's form."""
    pairs = [(name, value) for name in PARAMETERS for value in form.all(name)]
    address = f"{PATH}?{urlencode(pairs)}"
    if len(address) > _MAX_ADDRESS:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST)
    return RedirectResponse(address, status_code=303, headers=NO_STORE)


def _language(ui_locales: str | None, accept_language: str | None) -> str:
    """The first of `ui_locales` that there is (Core section 3.1.2.1), else as the browser prefers."""
    for tag in (ui_locales or "").split():
        language = tag.lower().partition("-")[0]
        if language in LANGUAGES:
            return language
    return preferred_language(accept_language)
