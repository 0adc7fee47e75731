"""Where a person goes after a decision: back to the recipient, or to a page of ours if no browser came."""

from starlette.responses import RedirectResponse, Response

from broker.oauth.ciba_requests import NO_REDIRECT_URI
from broker.web.rendering import SEE_OTHER, Page
from broker.web.security_headers import origin_of


def form_target(redirect_uri: str) -> str | None:
    """The origin to which a page's form leads beside our own; None where it stays here."""
    return None if redirect_uri == NO_REDIRECT_URI else origin_of(redirect_uri)


def leave(page: Page, address: str) -> Response:
    """The way out: a whole address, or the path of a page of ours without its language."""
    if address.startswith("/"):
        return page.redirect(address)
    return RedirectResponse(address, status_code=SEE_OTHER)
