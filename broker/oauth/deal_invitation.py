"""The parameter `deal_invitation` of a pushed authorization request: the role of a deal that it is for."""

import re
from typing import Final

from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.requests import Call
from consent.deal_opening import find_invited
from consent.errors import InvitationInvalidError
from consent.terms import Terms

PARAMETER: Final = "deal_invitation"
_FORM: Final = re.compile(r"[\x21-\x7e]{1,200}")


def read_invitation(call: Call, client: RegisteredClient, terms: Terms, *, is_replacing: bool) -> str | None:
    """The member of a deal that the request is for; None if it is for none.

    What is asked for in deals is asked for nowhere else: alone it would be a way around all or nothing. What
    is replaced was given in its deal, and lives on its own.
    Raises OAuthError invalid_request.
    """
    raw_invitation = call.parameters.get(PARAMETER)
    if is_replacing:
        if raw_invitation is not None:
            raise OAuthError(OAuthCode.INVALID_REQUEST, "a grant that is replaced is in no deal any more")
        return None
    if raw_invitation is None:
        if call.installation.deal_shapes.is_for_deals_only(terms.purpose):
            raise OAuthError(
                OAuthCode.INVALID_REQUEST, "this purpose needs the invitation of a deal (deal_invitation)"
            )
        return None
    if _FORM.fullmatch(raw_invitation) is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "deal_invitation must be printable ASCII")
    try:
        return find_invited(call.session, raw_invitation, client.client_id, terms.purpose, call.now)
    except InvitationInvalidError as error:
        raise OAuthError(OAuthCode.INVALID_REQUEST, f"deal_invitation: {error.why}") from error
