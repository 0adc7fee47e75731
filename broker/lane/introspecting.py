"""Introspection, RFC 7662: what a client's own organisation may know of a token, as of this very moment.

A flush: read, verify the assertions, use their ids up, answer. Token and consent are judged as a pull
would judge them, so what ends the one ends the other; whatever is not to be told is `active` false.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import orjson

from broker.lane.deciding import Desk, access_ended
from broker.lane.pulls import Found, KeyMaterial, KeyringStore, StoredGrant
from broker.oauth.client_assertion import Assertion, Proven, prove, unproven, used_before
from broker.oauth.pairwise import pairwise_subject
from broker.oauth.tokens import TokenKind
from consent.versions import open_terms_with
from vault.errors import TamperedError, UnknownKeyError

_INLINE: Final = 4  # assertions that are verified in the event loop; more of them in a thread
_INACTIVE: Final[Mapping[str, Any]] = {"active": False}  # RFC 7662 section 2.2: and nothing else


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One request: who says they ask, and the hash of the token that they ask about."""

    assertion: Assertion
    token_hash: bytes

    @property
    def once(self) -> tuple[bytes, ...]:
        """Any two may share a flush: whose assertion came twice, the store finds out."""
        return ()


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token of the asking client's organisation. `client_id` is whose it is."""

    found: Found
    client_id: str
    is_client_active: bool
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """The active client that an assertion names, and the token if it is its organisation's."""

    client_id: str
    raw_jwks: str
    token: KnownToken | None


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

    def __init__(
        self,
        data: InquiryStore,
        keyring: KeyringStore,
        desk: Desk,
        *,
        issuer: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._data = data
        self._keyring = keyring
        self._desk = desk
        self._issuer = issuer
        self._clock = clock

    async def process(self, inquiries: Sequence[Inquiry]) -> list[bytes | Exception]:
        """Each inquiry's answer as JSON, or the OAuthError that it alone is refused with."""
        known = await self._data.look_up(inquiries)
        now = self._clock()
        if len(known) > _INLINE:
            proven = await asyncio.to_thread(self._prove_all, inquiries, known, now)
        else:
            proven = self._prove_all(inquiries, known, now)
        grants = [grant for place in proven if (grant := _grant_of(known[place])) is not None]
        keys = await self._keyring.keys([], sorted({grant.subject_id for grant in grants}))
        good = [one for one in proven.values() if isinstance(one, Proven)]
        fresh = await self._data.use_up(good) if good else set()
        answers: list[bytes | Exception] = []
        for place in range(len(inquiries)):
            outcome = proven.get(place) or unproven()
            if isinstance(outcome, Exception):
                answers.append(outcome)
            elif outcome.jti_digest in fresh:
                fresh.remove(outcome.jti_digest)  # the same once more in this flush is a replay too
                answers.append(self._answer(known[place], keys, now))
            else:
                answers.append(used_before())
        return answers

    def _prove_all(
        self, inquiries: Sequence[Inquiry], known: Mapping[int, Known], now: datetime
    ) -> dict[int, Proven | Exception]:
        return {place: self._prove(inquiries[place], client, now) for place, client in known.items()}

    def _prove(self, inquiry: Inquiry, client: Known, now: datetime) -> Proven | Exception:
        try:
            jwks = orjson.loads(client.raw_jwks)
            return prove(inquiry.assertion, client.client_id, jwks, issuer=self._issuer, now=now)
        except Exception as error:  # noqa: BLE001 - what fails fails alone: its caller is told, the others go on
            return error

    def _answer(self, known: Known, keys: KeyMaterial, now: datetime) -> bytes | Exception:
        try:
            return orjson.dumps(self._describe(known.token, keys, now))
        except Exception as error:  # noqa: BLE001 - as above
            return error

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
            "cnf": {"jkt": found.jkt},  # RFC 9449 section 6.2
        }
        if found.kind == TokenKind.ACCESS:  # a refresh token has no type: nobody is to take it for the other
            answer |= {"token_type": "DPoP"}
        if found.grant is None:
            return answer
        agreed = self._agreed(found.grant, keys)
        return _INACTIVE if agreed is None else answer | agreed

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


def _grant_of(known: Known) -> StoredGrant | None:
    return None if known.token is None else known.token.found.grant
