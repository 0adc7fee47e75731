"""A recipient's side of OAuth (RFC 9126, 6749, 9449, 7523), and its pulls, decisions, acknowledgements."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import rfc8785

from connectors.http import OutboundClient
from connectors.services.relying_party.identity import RelyingParty
from vault.jose import Jwk, public_jwk, sign_with_jwk

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 60
_BAD_GATEWAY: Final = 502
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429
_PASSING: Final = frozenset({"consent_paused", "consent_partially_signed", "recipient_suspended"})
_UNREADABLE: Final = "unreadable_answer"
_OBLIGATIONS: Final = "obligations"
_DEALS: Final = "deals"
_OPEN: Final = ("PENDING", "NOTIFIED", "OVERDUE")  # a dispute is for a person
_PAGE: Final = 100
_ATTESTATION_TYPE: Final = "mydata-attestation+jwt"
_DIGESTED: Final = ("as_of", "delivery_id", "grant_id", "records")


class BrokerRefusedError(Exception):
    """The broker said no: HTTP status and its code."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"{status} {code}")

    @property
    def passes(self) -> bool:
        """Not now, rather than no (RFC 9110 section 15.6, RFC 6585 section 4; what people may undo)."""
        return self.status >= _SERVER_ERROR or self.status == _TOO_MANY or self.code in _PASSING


class PayloadDamagedError(Exception):
    """A delivery whose digest is not that of its content."""


@dataclass(frozen=True, slots=True)
class Started:
    """A pushed request: where to send the person, and what to keep until they come back."""

    authorization_url: str
    state: str
    code_verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """What the token endpoint answered."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    grant_id: str
    authorization_details: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivery, its digest checked."""

    delivery_id: str
    grant_id: str
    payload_digest: str
    records: dict[str, list[dict[str, Any]]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Owed:
    """What must be deleted by when; `cause` is None while the consent lives."""

    obligation_id: str
    grant_id: str
    cause: str | None
    due_at: datetime
    delivery_ids: tuple[str, ...]
    payload_digests: tuple[str, ...]


class BrokerClient:
    """Speaks to one broker as one client. Stateless: every call makes its own proof."""

    def __init__(self, party: RelyingParty, http: OutboundClient) -> None:
        self._party = party
        self._http = http

    def start(self, terms: Mapping[str, Any], now: datetime, *, invitation: str | None = None) -> Started:
        """Push the request (RFC 9126); the person is sent to the address that comes back.

        `invitation` opens the role of a deal that it is for.
        """
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        challenge = _base64url(hashlib.sha256(verifier.encode()).digest())
        form = {
            "response_type": "code",
            "client_id": self._party.client_id,
            "redirect_uri": self._party.redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "authorization_details": orjson.dumps([dict(terms)]).decode(),
            **({} if invitation is None else {"deal_invitation": invitation}),
        }
        request_uri = _text(self._post_form("/par", form, now), "request_uri")
        query = urlencode({"client_id": self._party.client_id, "request_uri": request_uri})
        return Started(f"{self._party.issuer}/authorize?{query}", state, verifier)

    def redeem(self, code: str, code_verifier: str, now: datetime) -> Granted:
        """Exchange the code for a token bound to our key."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._party.redirect_uri,
            "code_verifier": code_verifier,
        }
        answer = self._post_form("/token", form, now)
        return Granted(
            _text(answer, "access_token"),
            answer.get("refresh_token"),
            _text(answer, "grant_id"),
            answer.get("authorization_details", []),
        )

    def refresh(self, refresh_token: str, now: datetime) -> str:
        """A new access token (RFC 6749 section 6)."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return _text(self._post_form("/token", form, now), "access_token")

    def pull(self, access_token: str, idempotency_key: str, now: datetime) -> Delivered:
        """Take everything that was granted, once. The same key gives the same payload again."""
        headers = self._bound("POST", "/v1/deliveries", access_token, now)
        headers["Idempotency-Key"] = idempotency_key
        answer = self._send("POST", "/v1/deliveries", headers=headers)
        try:
            content = rfc8785.dumps({name: answer[name] for name in _DIGESTED})
            nonce = base64.urlsafe_b64decode(answer["nonce"] + "=")
            digest = hashlib.sha256(nonce + content).hexdigest()
            is_whole = compare_digest(digest, answer["payload_digest"])
        except (KeyError, TypeError, ValueError):
            raise PayloadDamagedError from None
        if not is_whole:
            raise PayloadDamagedError
        return Delivered(answer["delivery_id"], answer["grant_id"], digest, answer["records"])

    def acknowledge(self, delivery_id: str, now: datetime) -> None:
        """Say that the delivery is stored safely."""
        path = f"/v1/deliveries/{delivery_id}/ack"
        self._send("POST", path, headers=self._bound("POST", path, self._own_token(now), now))

    def send_decision(self, delivery_id: str, decision: Mapping[str, Any], now: datetime) -> str:
        """Send the decision back to the person; answers the broker's id for it."""
        path = f"/v1/deliveries/{delivery_id}/decision"
        headers = self._bound("POST", path, self._own_token(now), now)
        headers["Content-Type"] = "application/json"
        answer = self._send("POST", path, headers=headers, content=orjson.dumps(dict(decision)))
        return _text(answer, "decision_id")

    def open_deal(
        self, kind: str, matter: str, deadline: datetime, now: datetime
    ) -> tuple[str, dict[str, str]]:
        """Open a deal; its id, and the invitation of each role."""
        path = "/v1/deals"
        headers = self._bound("POST", path, self._own_token(now, _DEALS), now)
        headers["Content-Type"] = "application/json"
        asked = {"kind": kind, "matter": matter, "deadline": deadline.isoformat()}
        answer = self._send("POST", path, headers=headers, content=orjson.dumps(asked))
        try:
            return _text(answer, "deal_id"), {role: str(secret) for role, secret in answer["roles"].items()}
        except (KeyError, AttributeError):
            raise BrokerRefusedError(_BAD_GATEWAY, _UNREADABLE) from None

    def deal_state(self, deal_id: str, now: datetime) -> str:
        """`OPEN`, `COMPLETE`, `REFUSED` or `EXPIRED`."""
        path = f"/v1/deals/{deal_id}"
        headers = self._bound("GET", path, self._own_token(now, _DEALS), now)
        return _text(self._send("GET", path, headers=headers), "state")

    def owed(self, now: datetime) -> list[Owed]:
        """Everything that we must delete at some time and have not attested yet."""
        owed: list[Owed] = []
        path, after = "/v1/obligations", ""
        while True:
            query = urlencode({"state": _OPEN, "after": after, "limit": _PAGE}, doseq=True)
            headers = self._bound("GET", path, self._own_token(now, _OBLIGATIONS), now)
            page = self._send("GET", path, headers=headers, query=query)
            try:
                owed += [_owed(one) for one in page["obligations"]]
                after = page["next"] or ""
            except (KeyError, TypeError, ValueError):
                raise BrokerRefusedError(_BAD_GATEWAY, _UNREADABLE) from None
            if not after:
                return owed

    def attest(self, owed: Owed, deleted_at: datetime, method: str, now: datetime) -> None:
        """Sign that everything an obligation names is deleted, and say so."""
        key = self._party.client_key
        claims = {
            "iss": self._party.client_id,
            "aud": self._party.issuer,
            "iat": int(now.timestamp()),
            "jti": secrets.token_urlsafe(16),
            "obligation_id": owed.obligation_id,
            "grant_id": owed.grant_id,
            "deliveries": sorted(owed.payload_digests),
            "deleted_at": deleted_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "method": method,
        }
        word = sign_with_jwk(claims, key, {"alg": key["alg"], "kid": key["kid"], "typ": _ATTESTATION_TYPE})
        path = f"/v1/obligations/{owed.obligation_id}/attestation"
        headers = self._bound("POST", path, self._own_token(now, _OBLIGATIONS), now)
        headers["Content-Type"] = "application/json"
        self._send("POST", path, headers=headers, content=orjson.dumps({"attestation": word}))

    def _own_token(self, now: datetime, scope: str = "deliveries") -> str:
        """A token for our own business (client credentials): it works after the consent has ended."""
        answer = self._post_form("/token", {"grant_type": "client_credentials", "scope": scope}, now)
        return _text(answer, "access_token")

    def _post_form(self, path: str, form: Mapping[str, str], now: datetime) -> dict[str, Any]:
        proved = {
            **form,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._assertion(now),
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "DPoP": self._proof("POST", path, now, access_token=None),
        }
        return self._send("POST", path, headers=headers, content=urlencode(proved).encode())

    def _bound(self, method: str, path: str, access_token: str, now: datetime) -> dict[str, str]:
        return {
            "Authorization": f"DPoP {access_token}",
            "DPoP": self._proof(method, path, now, access_token=access_token),
        }

    def _assertion(self, now: datetime) -> str:
        """RFC 7523 section 2.2; the audience is the issuer (FAPI 2.0 section 5.3.2.1)."""
        seconds = int(now.timestamp())
        key = self._party.client_key
        claims = {
            "iss": self._party.client_id,
            "sub": self._party.client_id,
            "aud": self._party.issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": seconds,
            "exp": seconds + _ASSERTION_SECONDS,
        }
        return sign_with_jwk(claims, key, {"alg": key["alg"], "kid": key["kid"], "typ": "JWT"})

    def _proof(self, method: str, path: str, now: datetime, *, access_token: str | None) -> str:
        """RFC 9449 section 4.2."""
        key = self._party.proof_key
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": self._party.issuer + path,
            "iat": int(now.timestamp()),
        }
        if access_token is not None:
            claims["ath"] = _base64url(hashlib.sha256(access_token.encode()).digest())
        return sign_with_jwk(claims, key, {"alg": key["alg"], "typ": "dpop+jwt", "jwk": _bare(key)})

    def _send(
        self, method: str, path: str, *, headers: Mapping[str, str], content: bytes = b"", query: str = ""
    ) -> dict[str, Any]:
        url = self._party.issuer + path + (f"?{query}" if query else "")
        answer = self._http.request(method, url, headers=headers, body=content)
        try:
            body = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            body = None
        is_object = isinstance(body, dict)
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
            code = body.get("code") or body.get("error") if is_object else None
            raise BrokerRefusedError(answer.status, str(code or _UNREADABLE))
        if not is_object:
            raise BrokerRefusedError(_BAD_GATEWAY, _UNREADABLE)
        return dict(body)


def _owed(told: Mapping[str, Any]) -> Owed:
    return Owed(
        obligation_id=told["obligation_id"],
        grant_id=told["grant_id"],
        cause=told["cause"],
        due_at=datetime.fromisoformat(told["due_at"]),
        delivery_ids=tuple(delivery["delivery_id"] for delivery in told["deliveries"]),
        payload_digests=tuple(delivery["payload_digest"] for delivery in told["deliveries"]),
    )


def _bare(key: Jwk) -> Jwk:
    """The public key alone, as a proof's header bears it."""
    public = public_jwk(key)
    return {name: public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in public}


def _text(answer: Mapping[str, Any], name: str) -> str:
    """A member that the answer must have: without it, the broker has not answered yet."""
    value = answer.get(name)
    if not isinstance(value, str):
        raise BrokerRefusedError(_BAD_GATEWAY, _UNREADABLE)
    return value


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
