"""Sign-in and sign-out pages."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from broker.deps import Installed, Now, Tx
from broker.installation import Installation
from broker.web.csrf import OwnForm
from broker.web.rendering import Page, PageOf
from broker.web.signin import sessions
from broker.web.signin.accounts import Credentials, sign_in
from broker.web.signin.guards import SignedInVisitor
from broker.web.signin.paths import home_of, in_language, safe_next

router = APIRouter()

_UNPROCESSABLE: Final = 422

Next = Annotated[str | None, Query(alias="next")]


@router.get("/signin", name="signin")
def show_signin(
    page: PageOf, visitor: SignedInVisitor, installation: Installed, unverified_next: Next = None
) -> Response:
    """The sign-in page; somebody who is signed in already goes on."""
    target = safe_next(unverified_next)
    if visitor is not None:
        return page.redirect(_path(target or home_of(page.language, visitor.role)))
    if page.raw_cookie:
        return _signin_page(page, target, username="", has_failed=False)
    # A cookie that nobody is signed in with: the form's token needs something to be tied to.
    raw_cookie = sessions.new_cookie_value()
    answer = _signin_page(page.with_cookie(raw_cookie), target, username="", has_failed=False)
    _set_cookie(answer, installation, raw_cookie)
    return answer


@router.post("/signin", name="signin.post")
def post_signin(page: PageOf, form: OwnForm, installation: Installed, now: Now) -> Response:
    """Check name and password. A new cookie each time, so a cookie planted before is worth nothing."""
    target = safe_next(form.one("next"))
    username = form.one("username") or ""
    credentials = Credentials(username, form.one("password") or "")
    lifetime = timedelta(hours=installation.settings.session.absolute_hours)
    signed_in = sign_in(installation.data, installation.keyring, credentials, now, lifetime=lifetime)
    if signed_in is None:
        return _signin_page(page, target, username=username, has_failed=True)
    answer = page.redirect(_path(target or home_of(page.language, signed_in.role)))
    _set_cookie(answer, installation, signed_in.raw_cookie)
    return answer


@router.post("/signout", name="signout")
def post_signout(page: PageOf, form: OwnForm, installation: Installed, work: Tx) -> Response:
    """End the session and forget the cookie."""
    del form
    sessions.end_session(work.session, page.raw_cookie)
    answer = page.redirect("/signin")
    _delete_cookie(answer, installation)
    return answer


def _signin_page(page: Page, target: str | None, *, username: str, has_failed: bool) -> Response:
    return page.answer(
        "signin.html",
        status=_UNPROCESSABLE if has_failed else 200,
        next=in_language(target, page.language) if target else "",
        leads_to_request=target is not None and "/consent/" in target,
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


def _delete_cookie(answer: Response, installation: Installation) -> None:
    issuer = installation.settings.server.issuer
    answer.delete_cookie(
        sessions.cookie_name(issuer),
        path="/",
        secure=issuer.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
