"""Who may see a page: guards declared per router. Each opens and closes a short read session of its own."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, Request
from sqlmodel import select

from broker.db import transaction
from broker.deps import Installed, Now
from broker.installation import Installation
from broker.oauth.authentication_context import ONE_FACTOR
from broker.oauth.tokens import SignedIn
from broker.web.errors import ActingOverError, NotWhileActingError, SignInRequiredError, WrongRoleError
from broker.web.i18n import DEFAULT_LANGUAGE, language_of_path
from broker.web.signin import sessions
from broker.web.signin.accounts import display_name
from broker.web.signin.acting import END_ROUTE, ROUTES, ActingFor, read_acting, set_acting
from broker.web.signin.paths import home_of, safe_next
from consent.errors import NotFoundError
from consent.models import Consent
from consent.party_records import refuse_acting
from consent.people_vocabulary import Action
from consent.standing import Acting

_CITIZEN: Final = "citizen"
_AUDITOR: Final = "auditor"
_OPERATOR: Final = "operator"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in. `subject_id` is empty for staff, whose role has no subject.

    On a citizen's page it is the person's whose affairs they are: while somebody acts for another (`acting`),
    the other's. `ended` is a representation that the browser still had and that is over. `signed_in` is the
    sign-in of a citizen, and always their own.
    """

    account_id: str
    role: str
    subject_id: str
    name: str | None = field(repr=False)
    acting: ActingFor | None = None
    ended: str | None = None
    signed_in: SignedIn | None = field(default=None, repr=False)

    @property
    def is_acting(self) -> bool:
        """Whether the browser acts for another person, or did until it was over."""
        return self.acting is not None or self.ended is not None


def read_visitor(request: Request, installation: Installed, now: Now) -> Visitor | None:
    """Who is signed in, if anybody; remembered on the request for the page's header."""
    visitor = _find_visitor(request, installation, now)
    request.state.visitor = visitor
    return visitor


SignedInVisitor = Annotated[Visitor | None, Depends(read_visitor)]


def require_citizen(request: Request, installation: Installed, visitor: SignedInVisitor, now: Now) -> Visitor:
    """A signed-in citizen, or who acts for one and may do this; raises SignInRequiredError, WrongRoleError.

    Raises ActingOverError once a representation is over, NotWhileActingError for what it does not allow, and
    NotFoundError for a consent that it does not cover. Each is on record.
    """
    citizen = _require(request, visitor, _CITIZEN)
    if citizen.ended is not None:
        _end_acting(request, installation, citizen, now)
        raise ActingOverError
    if citizen.acting is None:
        return citizen
    acting = citizen.acting.acting
    route = request.scope["route"].name
    if route != END_ROUTE:
        action = ROUTES.get(route)
        if action is None or not acting.scope.allows(action):
            _record_refusal(installation, acting.representation_id, acting.representative_id, route, now)
            raise NotWhileActingError
        _require_covered(installation, acting, request.path_params.get("grant_id"))
    return replace(citizen, subject_id=acting.subject_id)


def require_auditor(request: Request, visitor: SignedInVisitor) -> Visitor:
    """A signed-in auditor; raises SignInRequiredError (303) or WrongRoleError (403)."""
    return _require(request, visitor, _AUDITOR)


def require_operator(request: Request, visitor: SignedInVisitor) -> Visitor:
    """A signed-in operator; raises SignInRequiredError (303) or WrongRoleError (403)."""
    return _require(request, visitor, _OPERATOR)


Citizen = Annotated[Visitor, Depends(require_citizen)]
Auditor = Annotated[Visitor, Depends(require_auditor)]
Operator = Annotated[Visitor, Depends(require_operator)]


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
        own_id, chosen = account.subject_id or "", row.representation_id
        acting = read_acting(session, installation.keyring, chosen, own_id, now) if chosen else None
    if sessions.is_due_for_touch(row, now):
        with transaction(installation.data) as work:
            sessions.touch(work.session, row.session_digest, now)
    name = display_name(installation.keyring, account)
    ended = chosen if acting is None else None
    signed_in = SignedIn(own_id, row.created_at, ONE_FACTOR, row.session_digest) if own_id else None
    return Visitor(account.account_id, account.role, own_id, name, acting, ended, signed_in)


def _require_covered(installation: Installation, acting: Acting, grant_id: str | None) -> None:
    """A consent for a purpose that the mandate does not name is as unknown."""
    if grant_id is None:
        return
    with installation.data.read() as session:
        purpose = session.exec(
            select(Consent.purpose).where(
                Consent.grant_id == grant_id,
                Consent.subject_id == acting.subject_id,
            ),
        ).one_or_none()
    if purpose is None or not acting.scope.allows(Action.SEE, purpose):
        raise NotFoundError


def _end_acting(request: Request, installation: Installation, citizen: Visitor, now: datetime) -> None:
    raw_cookie = request.cookies.get(sessions.cookie_name(installation.settings.server.issuer))
    with transaction(installation.data) as work:
        set_acting(work.session, raw_cookie, None)
    _record_refusal(installation, citizen.ended or "", citizen.subject_id, "over", now)


def _record_refusal(
    installation: Installation,
    representation_id: str,
    representative_id: str,
    fault: str,
    now: datetime,
) -> None:
    with transaction(installation.data) as work:
        refuse_acting(work, installation.keyring, representation_id, representative_id, fault, now)
