"""The authorization endpoint, RFC 6749 section 3.1 narrowed by RFC 9126: a pushed request, nothing else.

Whatever is wrong with it is told to the person on a page: nothing unproven decides where a browser goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from broker.oauth.clients import find_active
from broker.oauth.errors import AuthorizationPageError, OAuthCode
from broker.oauth.interaction import start
from broker.oauth.models import PushedRequest
from broker.oauth.par import digest_of, preferred_language

_DEFAULT_LANGUAGE: Final = "ko"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a browser brings: the query's pairs in order, and `Accept-Language`."""

    query: Sequence[tuple[str, str]]
    accept_language: str


def begin(session: Session, page: PageRequest, *, minutes: int, now: datetime) -> str:
    """Start or find the interaction; answers the path of its consent page.

    The request URI is not used up here but at completion, so a reload works. Raises
    AuthorizationPageError.
    """
    client_id, request_uri = (_only(page.query, name) for name in ("client_id", "request_uri"))
    client = find_active(session, client_id)
    request = session.exec(
        select(PushedRequest).where(
            PushedRequest.uri_digest == digest_of(request_uri),
            PushedRequest.expires_at > now,
            col(PushedRequest.used_at).is_(None),
        )
    ).one_or_none()
    if client is None or request is None or request.client_id != client.client_id:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST_URI)
    interaction_id = start(session, request, minutes=minutes, now=now)
    accepted = [tag.partition(";")[0].strip() for tag in page.accept_language.split(",")]
    language = request.language or preferred_language(accepted) or _DEFAULT_LANGUAGE
    return f"/{language}/consent/{interaction_id}"


def _only(query: Sequence[tuple[str, str]], name: str) -> str:
    values = [value for key, value in query if key == name]
    if len(values) != 1 or not values[0]:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST)
    return values[0]
