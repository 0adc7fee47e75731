"""What the pages raise; `broker/web/error_pages.py` says each in words."""


class PageError(Exception):
    """The base of what a page raises, with its HTTP status and stable code."""

    status = 500
    code = "internal_error"


class CrossSiteError(PageError):
    """A form that did not come from one of our pages."""

    status = 403
    code = "foreign_form"


class SignInRequiredError(PageError):
    """Nobody is signed in; `location` is the sign-in page that leads back."""

    status = 303
    code = "sign_in_required"

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__(self.code)


class WrongRoleError(PageError):
    """Somebody is signed in, but this page is for another role."""

    status = 403
    code = "wrong_role"


class ActingOverError(PageError):
    """Somebody wanted to go on acting for another person, and may not any more."""

    status = 403
    code = "acting_over"


class NotWhileActingError(PageError):
    """What nobody does for somebody else, or what their mandate does not allow."""

    status = 403
    code = "not_while_acting"


class PageNotFoundError(PageError):
    """Unknown, foreign and not yours are one answer."""

    status = 404
    code = "not_found"


class RequestGoneError(PageError):
    """A request for consent that is over, answered, or somebody else's: one answer."""

    status = 410
    code = "request_gone"


class BadChoiceError(PageError):
    """A form that our pages do not make."""

    status = 400
    code = "bad_form"


class LinkingClosedError(PageError):
    """A source that cannot be linked from here; why is told to nobody."""

    status = 409
    code = "linking_closed"


class NoKoreanFontError(PageError):
    """A PDF in Korean was asked for, and no font here has Korean letters: no boxes instead."""

    status = 503
    code = "no_korean_font"


class ProofNotReadyError(PageError):
    """No signed checkpoint covers the entry yet: the next one does, a few seconds from now."""

    status = 503
    code = "proof_not_ready"
