"""Error pages: what happened, whether the data is safe, what to do next, and the trace id."""

from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from broker.deps import get_installation
from broker.web.i18n import Words
from broker.web.rendering import get_page


@dataclass(frozen=True, slots=True)
class _Explanation:
    """One kind of error for people."""

    title: str
    happened: str
    is_safe: str
    next_step: str


def render_error_page(request: Request, status: int, code: str, trace_id: str) -> Response:
    """The page for an error, in the language of the path."""
    page = get_page(request, get_installation(request))
    explanation = _explain(page.words, status, code)
    return page.answer("error.html", status=status, explanation=explanation, code=code, trace_id=trace_id)


def _explain(words: Words, status: int, code: str) -> _Explanation:
    match code:
        case "request_gone":
            return _request_gone(words)
        case "acting_over" | "not_while_acting" | "signer_refused":
            return _not_for_them(words)
        case "wrong_role":
            return _wrong_role(words)
        case "foreign_form" | "bad_form":
            return _foreign_form(words)
        case "no_holder":
            return _no_holder(words)
        case "unfinished":
            return _unfinished(words)
        case "too_many_requests":
            return _too_many(words)
        case "linking_closed" | "already_linked":
            return _linking_closed(words)
        case "no_korean_font" | "proof_not_ready":
            return _no_korean_font(words) if code == "no_korean_font" else _proof_not_ready(words)
    return _of_status(words, status)


def _of_status(words: Words, status: int) -> _Explanation:
    """Where the code has no words of its own."""
    if status in {404, 405}:
        return _not_found(words)
    if status == 503:  # noqa: PLR2004 - Service Unavailable
        return _busy(words)
    return _ours(words) if status >= 500 else _not_understood(words)  # noqa: PLR2004 - server errors


def _request_gone(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("This request cannot be opened"),
        words.gettext("The request is over, was answered already, or was made for somebody else."),
        words.gettext("Your data is safe. Opening this page has sent nothing."),
        words.gettext(
            'See "Where my data goes" for what you have agreed to. For a new request, '
            "go back to the organisation that sent you here."
        ),
    )


def _no_holder(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("No source is linked yet"),
        words.gettext("The request asks for records from your linked sources, and there is none."),
        words.gettext("Your data is safe. Nothing was agreed to and nothing was sent."),
        words.gettext("Link a source first, then open the request again."),
    )


def _unfinished(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("It is done"),
        words.gettext("What you decided holds from now on. A clean-up behind it has not finished yet."),
        words.gettext(
            "Your data is safe. Nothing more is sent, and the clean-up is repeated until it is done."
        ),
        words.gettext('See "Where my data goes": your decision stands there.'),
    )


def _not_for_them(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("You cannot do this for somebody else"),
        words.gettext(
            "Your right to act for this person is over, or it does not cover this. "
            "A child needs a guardian whom we have checked."
        ),
        words.gettext("The data is safe. Nothing was agreed to and nothing was changed."),
        words.gettext("Go back to your own pages, or ask the person themselves. It was put on record."),
    )


def _wrong_role(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("This page is for another role"),
        words.gettext("You are signed in with an account that may not open this page."),
        words.gettext("Your data is safe. Nothing was shown and nothing was changed."),
        words.gettext("Go to your own first page, or sign out and sign in with another account."),
    )


def _foreign_form(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("We did not accept this form"),
        words.gettext("It did not come from one of our own pages, or it was incomplete."),
        words.gettext("Your data is safe. Nothing was changed."),
        words.gettext("Open the page again from here and repeat what you wanted to do."),
    )


def _linking_closed(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("This source could not be linked"),
        words.gettext("The organisation or the number cannot be linked to your account from this page."),
        words.gettext("Your data is safe. Nothing was linked and nothing was collected."),
        words.gettext("Check the number, or ask the organisation to link you."),
    )


def _not_found(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("There is nothing here for you"),
        words.gettext("The page does not exist, or it is not yours to see."),
        words.gettext("Your data is safe. Nothing was changed."),
        words.gettext("Check the address, or start again from your first page."),
    )


def _busy(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("Too much is going on right now"),
        words.gettext("We could not finish this in time."),
        words.gettext("Your data is safe. What could not be finished was undone completely."),
        words.gettext("Wait a moment and try again."),
    )


def _too_many(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("Too many attempts"),
        words.gettext("From where you are it was tried very often in a short time, perhaps by others."),
        words.gettext("Your data is safe. Nothing was changed."),
        words.gettext("Wait a minute and try again."),
    )


def _ours(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("Something went wrong on our side"),
        words.gettext("This is our mistake, not yours."),
        words.gettext("Your data is safe. What could not be finished was undone completely."),
        words.gettext("Try again later. If it happens again, tell us the trace id below."),
    )


def _not_understood(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("We did not understand this request"),
        words.gettext("Something in the address or in the form is not as it should be."),
        words.gettext("Your data is safe. Nothing was changed."),
        words.gettext("Go back and try again, or start from your first page."),
    )


def _no_korean_font(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("No PDF can be made here"),
        words.gettext("This machine has no font with Korean letters, and a receipt full of boxes is none."),
        words.gettext("Your receipt is safe: the signed file can be downloaded as before."),
        words.gettext(
            "Whoever runs this broker installs a Korean font, on Debian the package fonts-noto-cjk."
        ),
    )


def _proof_not_ready(words: Words) -> _Explanation:
    return _Explanation(
        words.gettext("The proof is not ready yet"),
        words.gettext("The log signs its state every few seconds, and has not since this receipt was made."),
        words.gettext("Your receipt is safe and complete; only the proof from the log is still to come."),
        words.gettext("Wait a few seconds and try again."),
    )
