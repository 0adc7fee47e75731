"""The authorization endpoint, RFC 6749 section 3.1 narrowed by RFC 9126: a pushed request, nothing else.

Only a client of the profile `oidc` may send its request whole (`broker.oauth.direct_request`).

Whatever is wrong with it is told to the person on a page: nothing unproven decides where a browser goes. What
was proven when it was pushed may go back to its client at once (`broker.oauth.openid_sign_in`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from sqlmodel import Session, col, select

from broker.db import Transaction
from broker.deps import FormData
from broker.installation import Installation
from broker.oauth import interaction
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.clients import RegisteredClient, find_active
from broker.oauth.direct_request import may_come_unpushed, new_uri, read
from broker.oauth.errors import AuthorizationPageError, InteractionGoneError, OAuthCode
from broker.oauth.models import PushedRequest
from broker.oauth.openid_sign_in import Demand, attach, demand_of, refusal_at_once, was_told
from broker.oauth.par import REQUEST_URI_PREFIX, digest_of, preferred_language
from broker.oauth.requests import Call
from broker.oauth.tokens import SignedIn
from consent.recognition import record_recognition

_PATH: Final = "/authorize"
_DEFAULT_LANGUAGE: Final = "ko"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a browser brings: the query's pairs in order, `Accept-Language`, and who is signed in with it.

    `signed_in` is None also while somebody acts for another person.
    """

    query: Sequence[tuple[str, str]]
    accept_language: str
    signed_in: SignedIn | None = None


def begin(work: Transaction, installation: Installation, page: PageRequest, now: datetime) -> str:
    """Start or find the interaction; answers where the browser goes: to its page, or back at once.

    The request URI is not used up here but at completion, so a reload works. Raises
    AuthorizationPageError.
    """
    session, settings = work.session, installation.settings
    client = _client_of(session, installation, page.query)
    if may_come_unpushed(client, oidc_clients=settings.oauth.oidc_clients) and not _is_pushed(page.query):
        form = FormData({})
        for name, value in page.query:
            form.values.setdefault(name, []).append(value)
        request = read(Call(installation, session, now, _PATH, form, ()), client, new_uri())
        if isinstance(request, str):
            return request
        session.flush()
    else:
        request = _find_pushed(session, client, _only(page.query, "request_uri"), now)
    minutes = settings.oauth.interaction_minutes
    interaction_id = interaction.start(session, request, minutes=minutes, now=now)
    try:
        demand = demand_of(session, installation.keyring, interaction_id, now)
        answer = _answer_at_once(work, installation, client.client_id, demand, page.signed_in, now)
        if answer is not None:
            return answer
    except InteractionGoneError as error:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST_URI) from error
    accepted = [tag.partition(";")[0].strip() for tag in page.accept_language.split(",")]
    language = request.language or preferred_language(accepted) or _DEFAULT_LANGUAGE
    return f"/{language}/{demand.room}/{interaction_id}"


def take_posted(session: Session, installation: Installation, form: FormData, now: datetime) -> str:
    """Where a posted request goes: here by GET, with a reference in the place of what it says.

    What was posted stays out of the browser's history; its session's cookie comes with the GET only. Or back
    to the client at once, with what is wrong. Raises AuthorizationPageError.
    """
    pairs = [(name, value) for name, found in form.values.items() for value in found]
    client = _client_of(session, installation, pairs)
    request_uri = new_uri()
    if _is_pushed(pairs):
        request_uri = _only(pairs, "request_uri")
    elif may_come_unpushed(client, oidc_clients=installation.settings.oauth.oidc_clients):
        request = read(Call(installation, session, now, _PATH, form, ()), client, request_uri)
        if isinstance(request, str):
            return request
    else:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST)
    return f"{_PATH}?{urlencode({'client_id': client.client_id, 'request_uri': request_uri})}"


def _client_of(
    session: Session, installation: Installation, pairs: Sequence[tuple[str, str]]
) -> RegisteredClient:
    client = find_active(session, _only(pairs, "client_id"))
    is_plain = client is not None and client.profile is SecurityProfile.OIDC
    if client is None or (is_plain and not installation.settings.oauth.oidc_clients):
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST_URI)
    return client


def _find_pushed(
    session: Session, client: RegisteredClient, request_uri: str, now: datetime
) -> PushedRequest:
    request = session.exec(
        select(PushedRequest).where(
            PushedRequest.uri_digest == digest_of(request_uri),
            PushedRequest.expires_at > now,
            col(PushedRequest.used_at).is_(None),
        )
    ).one_or_none()
    if request is None or request.client_id != client.client_id:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST_URI)
    return request


def _answer_at_once(  # noqa: PLR0913, PLR0917 - who asks what of whom
    work: Transaction,
    installation: Installation,
    client_id: str,
    demand: Demand,
    signed_in: SignedIn | None,
    now: datetime,
) -> str | None:
    """Where the browser goes without a page: a refusal, or what the person said in this session before.

    Raises InteractionGoneError.
    """
    session, keyring, settings = work.session, installation.keyring, installation.settings
    issuer, interaction_id = settings.server.issuer, demand.interaction_id
    refusal = refusal_at_once(keyring, demand, signed_in)
    if refusal is None:
        return None
    is_silent = refusal is OAuthCode.INTERACTION_REQUIRED and demand.may_be_silent
    if not is_silent or signed_in is None or not was_told(session, client_id, signed_in):
        return interaction.deny(session, keyring, issuer, interaction_id, None, now, refusal=refusal)
    subject_id, seconds = signed_in.subject_id, settings.oauth.code_seconds
    attach(session, demand, subject_id, now)
    of = (session, keyring, issuer, interaction_id, subject_id)
    address = interaction.allow(*of, None, now, code_seconds=seconds, signed_in=signed_in)
    record_recognition(work, keyring, subject_id, demand.recipient_id, now, is_told=True)
    return address


def _is_pushed(query: Sequence[tuple[str, str]]) -> bool:
    return any(name == "request_uri" and value.startswith(REQUEST_URI_PREFIX) for name, value in query)


def _only(query: Sequence[tuple[str, str]], name: str) -> str:
    values = [value for key, value in query if key == name]
    if len(values) != 1 or not values[0]:
        raise AuthorizationPageError(OAuthCode.INVALID_REQUEST)
    return values[0]
