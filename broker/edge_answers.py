"""What is answered before any route is asked, in the form that callers of the place expect.

OAuth's endpoints have a form of their own (RFC 6749 section 5.2), pages are pages, all else is a problem.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from broker.errors import Answer, is_oauth, is_page, oauth_refusal, problem
from broker.logs import current_trace_id
from broker.web.error_pages import render_error_page


def edge_answer(scope: Scope, answer: Answer) -> Response:
    """An answer that no route gives."""
    path: str = scope["path"]
    if is_oauth(path):
        return oauth_refusal(answer)
    if "\0" in path or not path.startswith("/") or not is_page(path):
        return problem(answer, trace_id=current_trace_id())
    page = render_error_page(Request(scope), answer.status, answer.code, current_trace_id())
    page.headers.update(answer.headers)
    return page
