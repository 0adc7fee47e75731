"""The pages of signing out at a client's wish: the question, and that it is done (RP-Initiated Logout)."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from broker.deps import Installed, Now, Tx
from broker.oauth.logout import PARAMETERS, LogoutRequest, read_request
from broker.oauth.routes import query_of
from broker.web.csrf import OwnForm
from broker.web.rendering import SEE_OTHER, PageOf
from broker.web.security_headers import origin_of
from broker.web.signin.ending import forget_cookie, sign_out
from broker.web.signin.guards import SignedInVisitor
from consent.models import Organisation
from consent.reading import party

router = APIRouter()


@router.get("/logout", name="logout")
def show_logout(page: PageOf, visitor: SignedInVisitor, installation: Installed, work: Tx) -> Response:
    """Ask whether to sign out: somebody says so who cannot show that it comes from this session."""
    asked = read_request(work.session, installation, query_of(page.request))
    if visitor is None:
        return page.redirect("/signed-out")
    recipient = None
    if asked.client is not None and asked.address is not None:
        found = work.session.get_one(Organisation, asked.client.organisation_id)
        recipient = party(found).name(page.language)
    return page.answer(
        "logout.html",
        form_target=None if asked.address is None else origin_of(asked.address),
        parameters=asked.parameters,
        recipient_name=recipient,
    )


@router.post("/logout", name="logout.post")
def post_logout(page: PageOf, form: OwnForm, installation: Installed, work: Tx, now: Now) -> Response:
    """The person agrees: sign out, and go where the client has registered that they go."""
    pairs = [(name, value) for name in PARAMETERS for value in form.all(name)]
    asked: LogoutRequest = read_request(work.session, installation, pairs)
    sign_out(work.session, page.raw_cookie, now)
    if asked.address is None:
        answer = page.redirect("/signed-out")
    else:
        answer = RedirectResponse(asked.address, status_code=SEE_OTHER)
    forget_cookie(answer, installation.settings.server.issuer)
    return answer


@router.get("/signed-out", name="signed_out")
def show_signed_out(page: PageOf, visitor: SignedInVisitor) -> Response:
    """That it is done; somebody who is signed in is shown that, too."""
    return page.answer("signed_out.html", is_signed_in=visitor is not None)
