"""Sign-in and sign-out pages."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from broker.db import transaction
from broker.deps import Installed, Now, Tx
from broker.installation import Installation
from broker.web.csrf import OwnForm
from broker.web.rendering import Page, PageOf
from broker.web.signin import sessions
from broker.web.signin.accounts import Credentials, sign_in
from broker.web.signin.ending import forget_cookie, sign_out
from broker.web.signin.guards import SignedInVisitor
from broker.web.signin.paths import home_of, in_language, safe_next

router = APIRouter()

_UNPROCESSABLE: Final = 422
_ROOMS_OF_REQUESTS: Final = ("/confirm/", "/consent/", "/recognise/")

Next = Annotated[str | None, Query(alias="next")]
Again = Annotated[str | None, Query()]


@router.get("/signin", name="signin")
def show_signin(
    page: PageOf,
    visitor: SignedInVisitor,
    installation: Installed,
    unverified_next: Next = None,
    again: Again = None,
) -> Response:
    """The sign-in page; somebody who is signed in already goes on, unless they are to sign in `again`."""
    target = safe_next(unverified_next)
    if visitor is not None and again is None:
        return page.redirect(_path(target or home_of(page.language, visitor.role)))
    is_again = visitor is not None
    if page.raw_cookie:
        return _signin_page(page, target, username="", has_failed=False, is_again=is_again)
    # A cookie that nobody is signed in with: the form's token needs something to be tied to.
    raw_cookie = sessions.new_cookie_value()
    answer = _signin_page(page.with_cookie(raw_cookie), target, username="", has_failed=False)
    _set_cookie(answer, installation, raw_cookie)
    return answer


@router.post("/signin", name="signin.post")
def post_signin(page: PageOf, form: OwnForm, installation: Installed, now: Now) -> Response:
    """Check name and password. A new cookie each time, so a cookie planted before is worth nothing.

    The browser's session of before ends: nobody could sign it out any more. What clients know of it goes on
    if it is the same person (`carry_over`); another's hear that it is over.
    """
    target = safe_next(form.one("next"))
    username = form.one("username") or ""
    credentials = Credentials(username, form.one("password") or "")
    lifetime = timedelta(hours=installation.settings.session.absolute_hours)
    signed_in = sign_in(
        installation.data,
        installation.keyring,
        credentials,
        now,
        lifetime=lifetime,
        earlier_cookie=page.raw_cookie,
    )
    if signed_in is None:
        is_again = form.one("again") is not None
        return _signin_page(page, target, username=username, has_failed=True, is_again=is_again)
    with transaction(installation.data) as work:
        sign_out(work.session, page.raw_cookie, now)
    answer = page.redirect(_path(target or home_of(page.language, signed_in.role)))
    _set_cookie(answer, installation, signed_in.raw_cookie)
    return answer


@router.post("/signout", name="signout")
def post_signout(page: PageOf, form: OwnForm, installation: Installed, work: Tx, now: Now) -> Response:
    """End the session, with what other sites were given by signing in with it alone; forget the cookie."""
    del form
    sign_out(work.session, page.raw_cookie, now)
    answer = page.redirect("/signin")
    forget_cookie(answer, installation.settings.server.issuer)
    return answer


def _signin_page(
    page: Page, target: str | None, *, username: str, has_failed: bool, is_again: bool = False
) -> Response:
    return page.answer(
        "signin.html",
        status=_UNPROCESSABLE if has_failed else 200,
        next=in_language(target, page.language) if target else "",
        leads_to_request=target is not None and any(room in target for room in _ROOMS_OF_REQUESTS),
        is_again=is_again,
        username=username,
        has_failed=has_failed,
    )


def _path(target: str) -> str:
    """A page's path without its language, as `Page.redirect` takes it."""
    return target[3:]


def _set_cookie(answer: Response, installation: Installation, raw_cookie: str) -> None:
    issuer = installation.settings.server.issuer
    answer.set_cookie(
        sessions.cookie_name(issuer),
        raw_cookie,
        path="/",
        secure=issuer.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
