"""Token revocation, RFC 7009: an access token ends alone, a refresh token ends all of its grant's."""

from datetime import datetime

from sqlmodel import Session

from broker.oauth.models import Token
from broker.oauth.tokens import TokenKind, find_token, revoke_grant_tokens, revoke_token


def find_revocable(session: Session, raw_token: str, *, client_id: str, now: datetime) -> Token | None:
    """The client's own living token. Unknown, foreign, expired and revoked are one answer, and no error.

    RFC 7009 section 2.2: an invalid token is answered like a revoked one. Section 2.1 would have a
    foreign one refused; that would tell a thief that it lives. `token_type_hint` is not needed: one
    table holds both kinds.
    """
    return find_token(session, raw_token, client_id=client_id, now=now)


def revoke(session: Session, token: Token, now: datetime) -> None:
    """End what the token stands for. The consent stays: stopping it is the person's."""
    if token.kind == TokenKind.REFRESH and token.grant_id is not None:
        revoke_grant_tokens(session, token.grant_id, now)
    else:
        revoke_token(session, token, now)
