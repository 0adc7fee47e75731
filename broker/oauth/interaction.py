"""Interactions: the hour between a pushed request and a person's answer. The pages come through here."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import update
from sqlmodel import Session, col, select

from broker.oauth import ciba_requests
from broker.oauth.clients import RegisteredClient, find_active
from broker.oauth.errors import InteractionGoneError, OAuthCode
from broker.oauth.models import Code, Interaction, PushedRequest
from broker.oauth.par import kept_of, open_terms
from broker.oauth.redirects import AuthorizationAnswer
from broker.oauth.scopes import OPENID
from broker.oauth.server import authorization_redirect
from broker.oauth.session_clients import take_part
from broker.oauth.tokens import IssuedCode, SignedIn, new_code
from consent.models import Consent
from consent.states import LIVING
from consent.terms import Terms
from consent.vocabulary import ConsentState
from vault.insert import insert_if_absent
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

CODE_SECONDS: Final = 60
RECOGNISE: Final = "recognise"
CONFIRM: Final = "confirm"
CONSENT: Final = "consent"
_ANSWER_KEY: Final = "interaction_answer"
_ANSWERED: Final = (
    ConsentState.PARTIALLY_SIGNED,
    ConsentState.GIVEN,
    ConsentState.PAUSED,
    ConsentState.REFUSED,
)


@dataclass(frozen=True, slots=True)
class InteractionView:
    """What a page needs to know. `grant_id` and `subject_id` are set once a citizen has opened it.

    `replaces` is the consent whose terms are to be replaced, or merged with these if `is_merge`, and
    `change_id` the change that came of it.
    `is_sign_in`: the client is to learn who the person is, too. Without a redirect URI the request came
    without a browser (CIBA Core), maybe with a `binding_message`.
    """

    interaction_id: str
    client_id: str
    recipient_id: str
    redirect_uri: str
    terms: Terms
    grant_id: str | None
    subject_id: str | None
    deal_member_id: str | None
    replaces: str | None = None
    change_id: str | None = None
    is_merge: bool = False
    is_sign_in: bool = False
    binding_message: str | None = None


def start(session: Session, request: PushedRequest, *, minutes: int, now: datetime) -> str:
    """The interaction of a pushed request: made at the first page view, the same one at every reload."""
    values = {
        "interaction_id": random_id(),
        "request_id": request.request_id,
        "client_id": request.client_id,
        "subject_id": None,
        "grant_id": None,
        "created_at": now,
        "expires_at": now + timedelta(minutes=minutes),
    }
    insert_if_absent(session, Interaction, values)
    return session.exec(
        select(Interaction.interaction_id).where(Interaction.request_id == request.request_id)
    ).one()


def room_of(request: PushedRequest) -> str:
    """The page on which a request is decided: by what it asks for."""
    if request.terms_sealed is not None:
        return CONSENT
    return RECOGNISE if request.grant_id is None else CONFIRM


def load_interaction(
    session: Session, keyring: Keyring, interaction_id: str, now: datetime
) -> InteractionView:
    """A living interaction, its request not yet answered. Raises InteractionGoneError.

    One without terms is none of these.
    """
    interaction, request, client = living(session, interaction_id, now)
    if request.terms_sealed is None:
        raise InteractionGoneError
    kept = kept_of(keyring, request)
    return InteractionView(
        interaction_id=interaction.interaction_id,
        client_id=client.client_id,
        recipient_id=client.organisation_id,
        redirect_uri=request.redirect_uri,
        terms=open_terms(keyring, request),
        is_sign_in=OPENID in request.scope.split(),
        grant_id=interaction.grant_id,
        subject_id=interaction.subject_id,
        deal_member_id=request.deal_member_id,
        replaces=request.grant_id,
        change_id=interaction.change_id,
        is_merge=kept.is_merge,
        binding_message=kept.binding_message,
    )


def attach_consent(  # noqa: PLR0913 - who opened what, and what came of it
    session: Session,
    interaction_id: str,
    subject_id: str,
    grant_id: str | None,
    now: datetime,
    *,
    change_id: str | None = None,
) -> None:
    """Bind an interaction to the citizen who opened it, once; without a grant it is for a sign-in alone.

    Raises InteractionGoneError.
    """
    attached = session.exec(
        update(Interaction)
        .where(
            col(Interaction.interaction_id) == interaction_id,
            col(Interaction.subject_id).is_(None),
            col(Interaction.expires_at) > now,
        )
        .values(subject_id=subject_id, grant_id=grant_id, change_id=change_id)
        .returning(col(Interaction.interaction_id))
    ).one_or_none()
    if attached is None:
        raise InteractionGoneError


def allow(  # noqa: PLR0913, PLR0917 - a code is bound to all of these
    session: Session,
    keyring: Keyring,
    issuer: str,
    interaction_id: str,
    subject_id: str,
    version_id: str | None,
    now: datetime,
    *,
    code_seconds: int = CODE_SECONDS,
    signed_in: SignedIn | None = None,
) -> str:
    """The person agreed: use the request up and answer the address to send them to, with code, state, iss.

    `version_id` is what they agreed to, and None where only a sign-in was asked for. Raises
    InteractionGoneError, also when another answer was faster.
    """
    interaction, request, client = living(session, interaction_id, now)
    grant_id = interaction.grant_id
    agreed_to = None if version_id is None else version_id.rpartition(".")[0]
    is_alone = room_of(request) == RECOGNISE
    if interaction.subject_id != subject_id or agreed_to != grant_id or is_alone != (grant_id is None):
        raise InteractionGoneError
    _complete(session, request, now)
    raw_code, code_hash = new_code()
    row = Code(
        code_hash=code_hash,
        client_id=client.client_id,
        subject_id=subject_id,
        grant_id=grant_id,
        version_id=version_id,
        redirect_uri=request.redirect_uri,
        scope=request.scope,
        code_challenge=request.code_challenge,
        dpop_jkt=request.dpop_jkt,
        request_id=request.request_id,
        kept_sealed=request.kept_sealed,
        auth_time=signed_in.auth_time if signed_in else None,
        acr=signed_in.acr if signed_in else None,
        session_digest=signed_in.session_digest if signed_in else None,
        created_at=now,
        expires_at=now + timedelta(seconds=code_seconds),
    )
    if signed_in is not None and OPENID in request.scope.split():
        take_part(session, client.client_id, signed_in, now)
    if ciba_requests.is_backchannel(request):
        ciba_requests.answer(session, request, subject_id, row, now)
        return ciba_requests.page_of(interaction_id)
    answer = AuthorizationAnswer(request, kept_of(keyring, request), IssuedCode(raw_code, row))
    return authorization_redirect(session, keyring, issuer, answer, now)


def deny(  # noqa: PLR0913, PLR0917 - whose answer to what, and why
    session: Session,
    keyring: Keyring,
    issuer: str,
    interaction_id: str,
    subject_id: str | None,
    now: datetime,
    *,
    refusal: OAuthCode = OAuthCode.ACCESS_DENIED,
) -> str:
    """The person declined, or it cannot be: use the request up and answer the address (error, state, iss).

    `subject_id` is None for somebody who never signed in. Raises InteractionGoneError.
    """
    interaction, request, _ = living(session, interaction_id, now)
    if interaction.subject_id not in {None, subject_id}:
        raise InteractionGoneError
    _complete(session, request, now)
    if ciba_requests.is_backchannel(request):
        ciba_requests.answer(session, request, subject_id, None, now)
        return ciba_requests.page_of(interaction_id)
    answer = AuthorizationAnswer(request, kept_of(keyring, request), refusal=refusal)
    return authorization_redirect(session, keyring, issuer, answer, now)


def keep_answer(session: Session, keyring: Keyring, interaction_id: str, decision: str, address: str) -> None:
    """Remember where the person was sent, for the same form posted again: a double click, or going back."""
    content = f"{decision}\n{address}".encode()
    sealed = seal(keyring.sealing_key(_ANSWER_KEY), _answer_context(interaction_id), content)
    session.exec(
        update(Interaction)
        .where(col(Interaction.interaction_id) == interaction_id)
        .values(answer_sealed=sealed)
    )


def same_answer(  # noqa: PLR0913 - whose answer to what, and until when
    session: Session,
    keyring: Keyring,
    interaction_id: str,
    subject_id: str,
    *,
    decision: str,
    since: datetime,
) -> str | None:
    """The address of this person's own answer, if it was the same decision and given after `since`.

    Only while it still leads somewhere: the code was not redeemed, or the person had said no.
    """
    code_is_used = (
        select(Code.code_hash)
        .where(Code.request_id == Interaction.request_id, col(Code.used_at).is_not(None))
        .correlate(Interaction)
        .exists()
    )
    is_given_or_refused = (
        select(Consent.grant_id)
        .where(
            Consent.grant_id == Interaction.grant_id,
            col(Consent.state).in_((*LIVING, ConsentState.PARTIALLY_SIGNED, ConsentState.REFUSED)),
        )
        .correlate(Interaction)
        .exists()
    )
    sealed = session.exec(
        select(Interaction.answer_sealed)
        .join(PushedRequest, col(PushedRequest.request_id) == col(Interaction.request_id))
        .where(
            Interaction.interaction_id == interaction_id,
            Interaction.subject_id == subject_id,
            col(PushedRequest.used_at) >= since,
            ~code_is_used,
            is_given_or_refused | col(Interaction.grant_id).is_(None),
        )
    ).one_or_none()
    if sealed is None:
        return None
    opened = open_sealed(keyring.sealing_key(_ANSWER_KEY), _answer_context(interaction_id), sealed)
    given, _, address = opened.decode().partition("\n")
    return address if given == decision else None


def _answer_context(interaction_id: str) -> bytes:
    return context_of("mydata/oauth/answer@v1", interaction_id)


def living(
    session: Session, interaction_id: str, now: datetime
) -> tuple[Interaction, PushedRequest, RegisteredClient]:
    """An interaction, its request not yet answered, and its client. Raises InteractionGoneError."""
    if not interaction_id.isascii() or not interaction_id.isprintable():
        raise InteractionGoneError  # PostgreSQL takes no text with a NUL in it
    found = session.exec(
        select(Interaction, PushedRequest)
        .join(PushedRequest, col(PushedRequest.request_id) == col(Interaction.request_id))
        .where(
            Interaction.interaction_id == interaction_id,
            Interaction.expires_at > now,
            col(PushedRequest.used_at).is_(None),
        )
    ).one_or_none()
    client = find_active(session, found[0].client_id) if found else None
    if found is None or client is None:
        raise InteractionGoneError
    known = (*client.redirect_uris, ciba_requests.NO_REDIRECT_URI)
    if found[1].redirect_uri not in known or not set(found[1].scope.split()) <= client.scopes:
        raise InteractionGoneError  # the client has given the address or the scope up since
    return found[0], found[1], client


def _complete(session: Session, request: PushedRequest, now: datetime) -> None:
    """One answer to one request: of several at once, one gets through."""
    taken = session.exec(
        update(PushedRequest)
        .where(col(PushedRequest.request_id) == request.request_id, col(PushedRequest.used_at).is_(None))
        .values(used_at=now)
        .returning(col(PushedRequest.request_id))
    ).one_or_none()
    if taken is None:
        raise InteractionGoneError
