"""Asking somebody without a browser: OpenID Client-Initiated Backchannel Authentication, as FAPI-CIBA has it.

A client asks by a signed object; the person reads and decides on the very page of the redirect flow; the
client polls, or is pinged and then asks. Nothing is ever pushed (FAPI-CIBA section 5.2.2).
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import col, func, select

from broker.deps import FormData
from broker.oauth import (
    assertion_audience,
    ciba_requests,
    grants,
    par,
    request_object,
    scopes,
    token_answer,
    tokens,
)
from broker.oauth.ciba_hints import person_of
from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.ciba_requests import NO_REDIRECT_URI, AskedState, Notification
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.kept_parameters import Kept, seal_kept
from broker.oauth.models import Client, Interaction, PushedRequest
from broker.oauth.openid_request import LOGIN, acr_values_of
from broker.oauth.request_object import RequestObject
from broker.oauth.requests import Call
from broker.rate_limits import proven
from consent.models import Consent, Subject
from consent.models import Notification as Notice
from consent.notification_wishes import Channel
from consent.notifications import NoticeKind, add_all
from vault.schema import random_id

GRANT_TYPE: Final = assertion_audience.CIBA
DELIVERY_MODES: Final = ("poll", "ping")
ASKED_EVENT: Final = "backchannel.asked"
_PING: Final = "ping"
_PACE: Final = timedelta(hours=1)
_MAX_MESSAGE: Final = 64
_MAX_NOTIFICATION_TOKEN: Final = 1024
_NOTIFICATION_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1
_EXPIRY: Final = re.compile(r"[1-9][0-9]{0,8}")
# What a browser would need, or what is not asked for this way.
_NOT_HERE: Final = (
    "response_type",
    "redirect_uri",
    "code_challenge",
    "deal_invitation",
    "request_uri",
    "user_code",  # metadata say that there is none: a secret of the person's is not taken and thrown away
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was accepted, about to be kept."""

    subject_id: str
    seconds: int
    notification_token: str | None


def ask(call: Call) -> dict[str, object]:
    """CIBA Core section 7: what the client is told once its request is kept. Raises OAuthError."""
    client = call.authenticate()
    proven(client.client_id)
    _check_client(client)
    call, opened = _unwrap(call, client)
    if not call.parameters.keys().isdisjoint(_NOT_HERE):
        raise OAuthError(OAuthCode.INVALID_REQUEST, f"none of {', '.join(_NOT_HERE)} is taken here")
    call.check_resources()
    message, seconds = _binding_message(call), _seconds(call)
    notification_token = _notification_token(call, client)
    scope = scopes.choose_with_person(call.parameters.get("scope"), client.scopes)
    terms = par.asked_terms(call, client, scope)
    if message is None and terms is None:  # FAPI-CIBA section 5.2.2: nothing else tells it from another
        raise OAuthError(
            OAuthCode.INVALID_REQUEST, "binding_message is needed where no details are asked for"
        )
    target = grants.target_of(call, client, terms)
    subject_id, sub = person_of(call, client)
    _check_owner(call, target, subject_id)
    _check_pace(call, client, subject_id)
    _use_up(call, opened)
    kept = Kept(
        prompt=(LOGIN,),  # whoever answers signs in for it: a browser that was left open is not enough
        acr_values=acr_values_of(call.parameters),  # a wish, as in the redirect flow
        hinted_sub=sub,
        is_merge=target is not None and target.is_merge,
        binding_message=message,
    )
    keyring, request_id = call.installation.keyring, random_id()
    request = PushedRequest(
        request_id=request_id,
        uri_digest=par.digest_of(random_id()),  # nobody has the address
        client_id=client.client_id,
        redirect_uri=NO_REDIRECT_URI,
        scope=scope,
        code_challenge="",
        language=par.preferred_language((call.parameters.get("ui_locales") or "").split()),
        terms_sealed=par.seal_terms(keyring, request_id, terms),
        kept_sealed=seal_kept(keyring, request_id, kept),
        grant_id=target.grant_id if target else None,
        created_at=call.now,
        expires_at=call.now + timedelta(seconds=seconds),
    )
    return _keep(call, client, request, _Asked(subject_id, seconds, notification_token))


def redeem(call: Call, client: RegisteredClient, cnf: str) -> dict[str, object]:
    """CIBA Core section 10.1: the tokens of what the person allowed, once. Raises OAuthError."""
    _check_client(client)
    auth_req_id = call.parameters.get("auth_req_id")
    if auth_req_id is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "auth_req_id is missing")
    code = ciba_requests.take(call.session, auth_req_id, client_id=client.client_id, now=call.now)
    if not set(code.scope.split()) <= client.scopes:  # given up since (RFC 7592 section 2.2)
        raise OAuthError(OAuthCode.INVALID_GRANT, "the client is no longer registered for this scope")
    signed_in = tokens.SignedIn.behind(code)
    grant = None
    if code.grant_id is not None:
        grant = tokens.find_grant(call.session, call.installation.keyring, code, call.now)
        if grant is None:
            raise OAuthError(OAuthCode.INVALID_GRANT, "the consent is over, or another version now")
    binding = tokens.Binding(client.client_id, code.scope, cnf, grant, signed_in)
    refresh_scope = None if grant is None else code.scope
    return token_answer.issue(call, client, binding, nonce=None, refresh_scope=refresh_scope)


def _check_client(client: RegisteredClient) -> None:
    """Signed requests and bound tokens are what makes this way safe: it is for the profiles of FAPI alone."""
    is_plain = client.profile is SecurityProfile.OIDC
    if is_plain or client.metadata.backchannel_token_delivery_mode is None:
        raise OAuthError(OAuthCode.UNAUTHORIZED_CLIENT, "this client is not registered to ask this way")


def _unwrap(call: Call, client: RegisteredClient) -> tuple[Call, RequestObject]:
    """The request as its object has it, which is needed (FAPI-CIBA section 5.2.2).

    CIBA Core section 13 knows one code for whatever is wrong with it: `invalid_request`.
    """
    raw_object = call.parameters.get("request")
    if raw_object is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "a signed request object is needed")
    beside = (request_object.KNOWN | {"request_uri"}) - {"client_id"}
    if not beside.isdisjoint(call.parameters):  # CIBA Core section 7.1.1
        raise OAuthError(OAuthCode.INVALID_REQUEST, "nothing of the request may stand beside its object")
    most = call.installation.settings.limits.jwt_bytes
    try:
        opened = request_object.verify_backchannel(
            raw_object, client, issuer=call.issuer, now=call.now, max_bytes=most
        )
        form = FormData(request_object.parameters_of(opened.claims))
    except OAuthError as error:
        raise OAuthError(OAuthCode.INVALID_REQUEST, error.description) from error
    return replace(call, form=form), opened


def _use_up(call: Call, opened: RequestObject) -> None:
    """At the end: a request that was refused may come again with the same object."""
    try:
        request_object.use_up(call.session, opened)
    except OAuthError as error:
        raise OAuthError(OAuthCode.INVALID_REQUEST, error.description) from error


def _binding_message(call: Call) -> str | None:
    """CIBA Core section 7.1: short, and of characters that a page shows as they are."""
    message = call.parameters.get("binding_message")
    if message is not None and (len(message) > _MAX_MESSAGE or not message.isprintable()):
        description = f"binding_message must be at most {_MAX_MESSAGE} printable characters"
        raise OAuthError(OAuthCode.INVALID_BINDING_MESSAGE, description)
    return message


def _seconds(call: Call) -> int:
    """The life of the request: what the client wishes, but not longer than any other may be read."""
    longest = call.installation.settings.oauth.interaction_minutes * 60
    asked = call.parameters.get("requested_expiry")
    if asked is None:
        return longest
    if _EXPIRY.fullmatch(asked) is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "requested_expiry must be a positive number of seconds")
    return min(int(asked), longest)


def _notification_token(call: Call, client: RegisteredClient) -> str | None:
    if client.metadata.backchannel_token_delivery_mode != _PING:
        return None
    token = call.parameters.get("client_notification_token")
    is_short = token is not None and len(token) <= _MAX_NOTIFICATION_TOKEN
    if token is None or not is_short or _NOTIFICATION_TOKEN.fullmatch(token) is None:
        description = "client_notification_token is needed: up to 1024 characters of a Bearer token"
        raise OAuthError(OAuthCode.INVALID_REQUEST, description)
    return token


def _check_owner(call: Call, target: grants.Target | None, subject_id: str) -> None:
    """A grant is changed by its own person (Grant Management section 5); here that is known at once."""
    if target is None:
        return
    owner = select(Consent.subject_id).where(Consent.grant_id == target.grant_id)
    if call.session.exec(owner).one_or_none() != subject_id:
        raise OAuthError(OAuthCode.INVALID_GRANT_ID, "not a living grant of this client and person")


def _check_pace(call: Call, client: RegisteredClient, subject_id: str) -> None:
    """Nobody is worn down, or flooded with mail (`limits.asked_per_hour`).

    Requests of one organisation count together, however short each lives and whichever client asks, but for
    what was allowed. Whoever asks the same person at the same moment waits here, so that all are counted.
    """
    most = call.installation.settings.limits.asked_per_hour
    if not most:
        return
    person = select(Subject.subject_id).where(Subject.subject_id == subject_id)
    call.session.exec(person.with_for_update(key_share=True)).first()
    unheard = (
        select(func.count())
        .select_from(BackchannelRequest)
        .join(Client, col(Client.client_id) == col(BackchannelRequest.client_id))
        .where(
            Client.organisation_id == client.organisation_id,
            BackchannelRequest.subject_id == subject_id,
            BackchannelRequest.state != AskedState.ALLOWED,
            col(BackchannelRequest.created_at) > call.now - _PACE,
        )
    )
    if call.session.exec(unheard).one() >= most:
        raise OAuthError(OAuthCode.ACCESS_DENIED, "this person was asked too often; wait an hour")


def _keep(call: Call, client: RegisteredClient, request: PushedRequest, asked: _Asked) -> dict[str, object]:
    auth_req_id, keyring = ciba_requests.new_auth_req_id(), call.installation.keyring
    request_id, sealed = request.request_id, None
    if asked.notification_token is not None:
        notification = Notification(auth_req_id, asked.notification_token)
        sealed = ciba_requests.seal_notification(keyring, request_id, notification)
    call.session.add(request)
    call.session.flush()
    call.session.add(
        Interaction(
            interaction_id=random_id(),
            request_id=request_id,
            client_id=client.client_id,
            created_at=call.now,
            expires_at=request.expires_at,
        )
    )
    call.session.add(
        BackchannelRequest(
            auth_req_hash=tokens.hash_of(auth_req_id),
            request_id=request_id,
            client_id=client.client_id,
            subject_id=asked.subject_id,
            state=AskedState.PENDING,
            interval_seconds=ciba_requests.INTERVAL_SECONDS,
            notification_sealed=sealed,
            created_at=call.now,
            expires_at=request.expires_at,
        )
    )
    _tell(call, client, asked.subject_id, call.now)
    return {
        "auth_req_id": auth_req_id,
        "expires_in": asked.seconds,
        "interval": ciba_requests.INTERVAL_SECONDS,
    }


def _tell(call: Call, client: RegisteredClient, subject_id: str, now: datetime) -> None:
    """The person is told at once, on every way that they confirmed: who asks, and where to read on."""
    has_mail = bool(call.installation.settings.mail.host)
    notice = Notice(
        notification_id=random_id(),
        subject_id=subject_id,
        kind=NoticeKind.CONSENT,
        event=ASKED_EVENT,
        at=now,
        organisation_id=client.organisation_id,
    )
    channels = frozenset({Channel.WEBHOOK, Channel.MAIL} if has_mail else {Channel.WEBHOOK})
    add_all(call.session, channels, [notice], now)
