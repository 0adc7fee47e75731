"""Who may see a page: guards declared per router. Each opens and closes a short read session of its own."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, Request

from broker.db import transaction
from broker.deps import Installed, Now
from broker.installation import Installation
from broker.web.errors import SignInRequiredError, WrongRoleError
from broker.web.i18n import DEFAULT_LANGUAGE, language_of_path
from broker.web.signin import sessions
from broker.web.signin.accounts import display_name
from broker.web.signin.paths import home_of, safe_next

_CITIZEN: Final = "citizen"
_AUDITOR: Final = "auditor"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in. `subject_id` is empty for staff, whose role has no subject."""

    account_id: str
    role: str
    subject_id: str
    name: str | None = field(repr=False)


def read_visitor(request: Request, installation: Installed, now: Now) -> Visitor | None:
    """Who is signed in, if anybody; remembered on the request for the page's header."""
    visitor = _find_visitor(request, installation, now)
    request.state.visitor = visitor
    return visitor


SignedInVisitor = Annotated[Visitor | None, Depends(read_visitor)]


def require_citizen(request: Request, visitor: SignedInVisitor) -> Visitor:
    """A signed-in citizen; raises SignInRequiredError (303) or WrongRoleError (403)."""
    return _require(request, visitor, _CITIZEN)


def require_auditor(request: Request, visitor: SignedInVisitor) -> Visitor:
    """A signed-in auditor; raises SignInRequiredError (303) or WrongRoleError (403)."""
    return _require(request, visitor, _AUDITOR)


Citizen = Annotated[Visitor, Depends(require_citizen)]
Auditor = Annotated[Visitor, Depends(require_auditor)]


def signin_location(request: Request) -> str:
    """The sign-in page that leads back to the page of this request, or home if it was a form."""
    language = language_of_path(request.url.path) or DEFAULT_LANGUAGE
    target = request.url.path
    if request.url.query:
        target = f"{target}?{request.url.query}"
    back = safe_next(target) or home_of(language, _CITIZEN)
    return f"/{language}/signin?next={quote(back, safe='/')}"


def _require(request: Request, visitor: Visitor | None, role: str) -> Visitor:
    if visitor is None:
        raise SignInRequiredError(signin_location(request))
    if visitor.role != role:
        raise WrongRoleError
    return visitor


def _find_visitor(request: Request, installation: Installation, now: datetime) -> Visitor | None:
    settings = installation.settings
    raw_cookie = request.cookies.get(sessions.cookie_name(settings.server.issuer))
    idle = timedelta(minutes=settings.session.idle_minutes)
    with installation.data.read() as session:
        found = sessions.find_session(session, raw_cookie, now, idle=idle)
        if found is None:
            return None
        account, row = found
    if sessions.is_due_for_touch(row, now):
        with transaction(installation.data) as work:
            sessions.touch(work.session, row.session_digest, now)
    name = display_name(installation.keyring, account)
    return Visitor(account.account_id, account.role, account.subject_id or "", name)
