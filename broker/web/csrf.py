"""A page's form may only be posted from our own pages (OWASP: Fetch Metadata, Origin, then a token).

Every POST of a page goes through `read_own_form`, which hangs on the one router of all pages.
"""

import hashlib
import hmac
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request

from broker.deps import FormData, Installed, read_form
from broker.web.errors import CrossSiteError
from broker.web.signin.sessions import cookie_name

TOKEN_FIELD: Final = "form_token"  # noqa: S105 - a field's name
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_PURPOSE: Final = b"mydata form token v1"


def form_token(raw_cookie: str) -> str:
    """The hidden token for forms of one browser. Its key is the cookie, which no other site can read."""
    return hmac.new(raw_cookie.encode(), _TOKEN_PURPOSE, hashlib.sha256).hexdigest()


async def read_own_form(request: Request, installation: Installed) -> FormData:
    """The form of a POST that came from our own page; an empty one for a method that changes nothing.

    Raises CrossSiteError (403).
    """
    if request.method in _SAFE_METHODS:
        return FormData({})
    issuer = installation.settings.server.issuer
    claims = _claims_of_browser(request, issuer)
    if not all(claims):
        raise CrossSiteError
    form = await read_form(request, installation) if _has_body(request) else FormData({})
    # A client that says nothing about where the form came from must show that it has read our form.
    if not claims and not _bears_token(request, form, cookie_name(issuer)):
        raise CrossSiteError
    return form


OwnForm = Annotated[FormData, Depends(read_own_form)]


def _claims_of_browser(request: Request, issuer: str) -> list[bool]:
    """For each header that says where the form came from: whether it says that it is ours."""
    claims = []
    if (site := request.headers.get("sec-fetch-site")) is not None:
        claims.append(site == "same-origin")
    if (origin := request.headers.get("origin")) is not None:
        # The issuer may stand behind a proxy; a page opened under another name of ours is its own origin.
        own_host = request.headers.get("host", "")
        claims.append(
            origin == issuer or (bool(own_host) and origin == f"{urlsplit(issuer).scheme}://{own_host}")
        )
    return claims


def _has_body(request: Request) -> bool:
    """Whether there is a body to read (RFC 9112 section 6.3): a button alone sends none."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _bears_token(request: Request, form: FormData, cookie: str) -> bool:
    raw_cookie = request.cookies.get(cookie)
    unverified_token = form.one(TOKEN_FIELD)
    if not raw_cookie or not unverified_token:
        return False
    return hmac.compare_digest(unverified_token.encode(), form_token(raw_cookie).encode())
