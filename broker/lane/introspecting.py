"""Introspection, RFC 7662: what a client's own organisation may know of a token, as of this very moment.

A flush: read, verify the credentials, use their ids up, answer. Token and consent are judged as a pull
would judge them, so what ends the one ends the other; whatever is not to be told is `active` false.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

import orjson

from broker.lane.deciding import Desk, access_ended
from broker.lane.pulls import Found, KeyMaterial, KeyringStore, StoredGrant
from broker.oauth.client_assertion import Proven, unproven, used_before
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.confirmation import member, token_type
from broker.oauth.introspection_response import MEDIA_TYPE, PLAIN_MEDIA_TYPE, sign, signs_always
from broker.oauth.pairwise import pairwise_subject
from broker.oauth.senders import Credential, prove
from broker.oauth.tokens import TokenKind
from broker.service_keys import OAUTH_KEY
from consent.versions import open_terms_with
from vault.errors import TamperedError, UnknownKeyError

_INLINE: Final = 4  # assertions that are verified in the event loop; more of them in a thread
_INACTIVE: Final[Mapping[str, Any]] = {"active": False}  # RFC 7662 section 2.2: and nothing else


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One request: who says they ask, the hash of the token that they ask about, and the form they want."""

    credential: Credential
    token_hash: bytes
    wants_signed: bool = False

    @property
    def once(self) -> tuple[bytes, ...]:
        """Any two may share a flush: whose assertion came twice, the store finds out."""
        return ()


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token of the asking client's organisation. `client_id` is whose it is, `subject_id` the person's.

    `is_plain`: that client's profile is `oidc`.
    """

    found: Found
    client_id: str
    organisation_id: str
    subject_id: str | None
    is_client_active: bool
    issued_at: datetime
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """The active client that a credential names, and the token if it is its organisation's.

    `is_plain`: the asking client's profile is `oidc`.
    """

    client_id: str
    raw_jwks: str
    raw_metadata: str
    token: KnownToken | None
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: JSON, or a token that holds it (RFC 9701)."""

    body: bytes
    media_type: str = PLAIN_MEDIA_TYPE


class InquiryStore(Protocol):
    """The data database, as introspection sees it."""

    async def look_up(self, inquiries: Sequence[Inquiry]) -> dict[int, Known]:
        """What is known of each inquiry, by position; one of no active client is absent."""

    async def use_up(self, proven: Sequence[Proven]) -> set[bytes]:
        """Remember these ids, durably; the digests of those that were not used before."""

    async def close(self) -> None:
        """Give the connections back."""


class Introspection:
    """The steps over two stores; `process` fits `batch.Process`."""

    def __init__(  # noqa: PLR0913 - the stores, who decides, and what is served
        self,
        data: InquiryStore,
        keyring: KeyringStore,
        desk: Desk,
        *,
        issuer: str,
        clock: Callable[[], datetime],
        oidc_clients: bool = False,
    ) -> None:
        self._data = data
        self._keyring = keyring
        self._desk = desk
        self._issuer = issuer
        self._clock = clock
        self._oidc_clients = oidc_clients

    async def process(self, inquiries: Sequence[Inquiry]) -> list[Told | Exception]:
        """Each inquiry's answer, or the OAuthError that it alone is refused with."""
        known = self._served(await self._data.look_up(inquiries))
        now = self._clock()
        if len(known) > _INLINE:
            proven = await asyncio.to_thread(self._prove_all, inquiries, known, now)
        else:
            proven = self._prove_all(inquiries, known, now)
        grants = [grant for place in proven if (grant := _grant_of(known[place])) is not None]
        keys = await self._keyring.keys([], sorted({grant.subject_id for grant in grants}))
        good = [one for one in proven.values() if isinstance(one, Proven)]
        fresh = await self._data.use_up(good) if good else set()
        answers: list[Mapping[str, Any] | Exception] = []
        for place in range(len(inquiries)):
            outcome = proven.get(place) or unproven()
            if isinstance(outcome, Exception):
                answers.append(outcome)
            elif outcome.jti_digest in fresh:
                fresh.remove(outcome.jti_digest)  # the same once more in this flush is a replay too
                answers.append(self._answer(known[place], keys, now))
            else:
                answers.append(used_before())
        return await self._write_all(inquiries, known, answers, now)

    def _served(self, known: dict[int, Known]) -> dict[int, Known]:
        """Without `oauth.oidc_clients` a client of that profile is unknown, and its tokens open nothing."""
        if self._oidc_clients:
            return known
        asking = {place: one for place, one in known.items() if not one.is_plain}
        return {
            place: replace(one, token=None) if one.token is not None and one.token.is_plain else one
            for place, one in asking.items()
        }

    def _prove_all(
        self, inquiries: Sequence[Inquiry], known: Mapping[int, Known], now: datetime
    ) -> dict[int, Proven | Exception]:
        return {place: self._prove(inquiries[place], client, now) for place, client in known.items()}

    def _prove(self, inquiry: Inquiry, client: Known, now: datetime) -> Proven | Exception:
        try:
            jwks = orjson.loads(client.raw_jwks)
            metadata = ClientMetadata.model_validate_json(client.raw_metadata)
            return prove(inquiry.credential, client.client_id, jwks, metadata, issuer=self._issuer, now=now)
        except Exception as error:  # noqa: BLE001 - what fails fails alone: its caller is told, the others go on
            return error

    def _answer(self, known: Known, keys: KeyMaterial, now: datetime) -> Mapping[str, Any] | Exception:
        try:
            return self._describe(known.token, keys, now)
        except Exception as error:  # noqa: BLE001 - as above
            return error

    async def _write_all(
        self,
        inquiries: Sequence[Inquiry],
        known: Mapping[int, Known],
        answers: Sequence[Mapping[str, Any] | Exception],
        now: datetime,
    ) -> list[Told | Exception]:
        """Plain ones at once; those that are to be signed together, in a thread: the key is read anew."""
        to_sign = {
            place: (known[place].client_id, answer)
            for place, answer in enumerate(answers)
            if not isinstance(answer, Exception)
            and (inquiries[place].wants_signed or signs_always(known[place].raw_metadata))
        }
        signed = await asyncio.to_thread(self._sign_all, to_sign, now) if to_sign else {}
        return [signed.get(place) or _written(answer) for place, answer in enumerate(answers)]

    def _sign_all(
        self, to_sign: Mapping[int, tuple[str, Mapping[str, Any]]], now: datetime
    ) -> dict[int, Told | Exception]:
        try:
            (key, *_) = self._desk.keyring.service_keys(OAUTH_KEY)
            return {
                place: Told(
                    sign(answer, issuer=self._issuer, client_id=client_id, key=key, now=now).encode(),
                    MEDIA_TYPE,
                )
                for place, (client_id, answer) in to_sign.items()
            }
        except Exception as error:  # noqa: BLE001 - without a key these fail, and the plain ones do not
            return dict.fromkeys(to_sign, error)

    def _describe(self, token: KnownToken | None, keys: KeyMaterial, now: datetime) -> Mapping[str, Any]:
        if token is None or not token.is_client_active or access_ended(self._desk, token.found, now):
            return _INACTIVE
        found = token.found
        answer: dict[str, Any] = {
            "active": True,
            "iss": self._issuer,
            "client_id": token.client_id,
            "scope": found.scope,
            "iat": int(token.issued_at.timestamp()),
            "exp": int(found.expires_at.timestamp()),
        }
        if constraint := member(found.cnf):  # RFC 9449 section 6.2, RFC 8705 section 3.2
            answer |= {"cnf": constraint}
        if found.kind == TokenKind.ACCESS:  # a refresh token has no type: nobody is to take it for the other
            answer |= {"token_type": token_type(found.cnf)}
        if found.sign_in is not None:  # RFC 9470 section 6.2
            answer |= {"auth_time": int(found.sign_in.at.timestamp()), "acr": found.sign_in.acr}
        if found.grant is None:
            return answer | self._signed_in(token)
        agreed = self._agreed(found.grant, keys)
        return _INACTIVE if agreed is None else answer | agreed

    def _signed_in(self, token: KnownToken) -> dict[str, Any]:
        """Who signed in, where that is all that the token is of; a client's own token is nobody's."""
        if token.subject_id is None:
            return {}
        return {"sub": pairwise_subject(self._desk.keyring, token.organisation_id, token.subject_id)}

    def _agreed(self, grant: StoredGrant, keys: KeyMaterial) -> dict[str, Any] | None:
        """What the person agreed to (RFC 9396 section 9.2), and who they are to this recipient alone.

        None if the terms cannot be opened: such a consent permits nothing.
        """
        stored = keys.audit_keys.get(grant.subject_id)
        if stored is None:
            return None
        try:
            audit_key = self._desk.keyring.open_audit_key(
                stored.epoch_id, stored.subject_id, stored.key_id, stored.wrapped
            )
            terms = open_terms_with(audit_key, grant.version_id, grant.terms_sealed)
        except (TamperedError, UnknownKeyError):
            return None
        return {
            "sub": pairwise_subject(self._desk.keyring, grant.recipient_id, grant.subject_id),
            "grant_id": grant.grant_id,
            "authorization_details": [terms.to_detail() | {"grant_id": grant.grant_id}],
        }


def _written(answer: Mapping[str, Any] | Exception) -> Told | Exception:
    return answer if isinstance(answer, Exception) else Told(orjson.dumps(answer))


def _grant_of(known: Known) -> StoredGrant | None:
    return None if known.token is None else known.token.found.grant
