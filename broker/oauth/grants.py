"""Grant Management for OAuth 2.0: asking to change what a standing grant says, instead of for a new one."""

from dataclasses import dataclass
from typing import Final

from sqlmodel import Session, col, select

from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.models import Code, Token
from broker.oauth.requests import Call
from broker.oauth.scopes import OVER_GRANTS
from broker.oauth.tokens import TokenKind
from consent.caps import check_caps
from consent.errors import InvalidTermsError, NotFoundError
from consent.granted import Granted, granted_to
from consent.merging import merge
from consent.terms import Terms

CREATE: Final = "create"
MERGE: Final = "merge"
REPLACE: Final = "replace"
ACTIONS: Final = (CREATE, MERGE, REPLACE)
SUPPORTED: Final = ("create", "query", "merge", "replace", "revoke")
_MAX_DESCRIPTION: Final = 500


@dataclass(frozen=True, slots=True)
class Target:
    """The living grant that a request is to change: what is asked is added to it, or takes its place.

    A merge that asks for nothing leaves it as it is (`broker.oauth.step_up`).
    """

    grant_id: str
    is_merge: bool


def target_of(call: Call, client: RegisteredClient, asked: Terms | None) -> Target | None:
    """The grant that a request names; None where it asks for a new one. Section 5 of the draft.

    A merge is computed here too, so that its client hears at once what stands in the way. Raises OAuthError;
    an unknown grant, another client's and one that has ended are one answer.
    """
    action, grant_id = _action(call), call.parameters.get("grant_id")
    if (action == CREATE) != (grant_id is None):
        raise OAuthError(OAuthCode.INVALID_REQUEST, "grant_id goes with merge and replace, and only there")
    if grant_id is None:
        return None
    if asked is None and action != MERGE:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "a grant is changed by authorization_details")
    try:
        granted = granted_to(call.session, call.installation.keyring, grant_id, client.client_id, call.now)
        if asked is not None:
            _check(call, granted, asked, is_merge=action == MERGE)
    except NotFoundError as error:
        raise OAuthError(OAuthCode.INVALID_GRANT_ID, "not a living grant of this client") from error
    except InvalidTermsError as error:
        description = str(error)[:_MAX_DESCRIPTION]
        raise OAuthError(OAuthCode.INVALID_AUTHORIZATION_DETAILS, description) from error
    return Target(granted.grant_id, is_merge=action == MERGE)


def scope_of(session: Session, grant_id: str) -> str | None:
    """The scope that the grant's tokens bear, or would bear if its code were redeemed; None for none.

    What opens the grants endpoint is about the grant, and not within it.
    """
    refresh = select(Token.scope).where(Token.grant_id == grant_id, Token.kind == TokenKind.REFRESH)
    code = select(Code.scope).where(Code.grant_id == grant_id)
    found = session.exec(refresh.order_by(col(Token.issued_at).desc()).limit(1)).first()
    found = found or session.exec(code.order_by(col(Code.created_at).desc()).limit(1)).first()
    return " ".join(one for one in (found or "").split() if one not in OVER_GRANTS) or None


def _action(call: Call) -> str:
    action = call.parameters.get("grant_management_action", CREATE)
    if action not in ACTIONS:
        raise OAuthError(
            OAuthCode.INVALID_REQUEST, f"grant_management_action must be one of {', '.join(ACTIONS)}"
        )
    return action


def _check(call: Call, granted: Granted, asked: Terms, *, is_merge: bool) -> None:
    if granted.terms.purpose != asked.purpose:
        raise InvalidTermsError([("purpose", "a grant keeps its purpose: ask for a new one")])
    if is_merge:
        installation = call.installation
        purpose = installation.purposes.get(asked.purpose)
        check_caps(merge(granted.terms, asked, call.now), purpose, installation.catalogue, call.now)
