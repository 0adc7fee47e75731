"""The insurer's side of OAuth (RFC 9126, 6749, 9449, 7523), and its pulls, decisions, acknowledgements."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import rfc8785

from connectors.http import OutboundClient
from connectors.services.indemnity.recipient.configuration import Configuration
from vault.jose import Jwk, public_jwk, sign_with_jwk

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 60
_BAD_GATEWAY: Final = 502
_UNREADABLE: Final = "unreadable_answer"
_DIGESTED: Final = ("as_of", "delivery_id", "grant_id", "records")


class BrokerRefusedError(Exception):
    """The broker said no: HTTP status and its code."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"{status} {code}")


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


class BrokerClient:
    """Speaks to one broker as one client. Stateless: every call makes its own proof."""

    def __init__(self, configuration: Configuration, http: OutboundClient) -> None:
        self._configuration = configuration
        self._http = http

    def start(self, terms: Mapping[str, Any], now: datetime) -> Started:
        """Push the request (RFC 9126); the person is sent to the address that comes back."""
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        challenge = _base64url(hashlib.sha256(verifier.encode()).digest())
        form = {
            "response_type": "code",
            "client_id": self._configuration.client_id,
            "redirect_uri": self._configuration.redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "authorization_details": orjson.dumps([dict(terms)]).decode(),
        }
        request_uri = _text(self._post_form("/par", form, now), "request_uri")
        query = urlencode({"client_id": self._configuration.client_id, "request_uri": request_uri})
        return Started(f"{self._configuration.issuer}/authorize?{query}", state, verifier)

    def redeem(self, code: str, code_verifier: str, now: datetime) -> Granted:
        """Exchange the code for a token bound to our key."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._configuration.redirect_uri,
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

    def _own_token(self, now: datetime) -> str:
        """A token for our own business (client credentials): it works after the consent has ended."""
        answer = self._post_form("/token", {"grant_type": "client_credentials", "scope": "deliveries"}, now)
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
        key = self._configuration.client_key
        claims = {
            "iss": self._configuration.client_id,
            "sub": self._configuration.client_id,
            "aud": self._configuration.issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": seconds,
            "exp": seconds + _ASSERTION_SECONDS,
        }
        return sign_with_jwk(claims, key, {"alg": key["alg"], "kid": key["kid"], "typ": "JWT"})

    def _proof(self, method: str, path: str, now: datetime, *, access_token: str | None) -> str:
        """RFC 9449 section 4.2."""
        key = self._configuration.proof_key
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": self._configuration.issuer + path,
            "iat": int(now.timestamp()),
        }
        if access_token is not None:
            claims["ath"] = _base64url(hashlib.sha256(access_token.encode()).digest())
        return sign_with_jwk(claims, key, {"alg": key["alg"], "typ": "dpop+jwt", "jwk": _bare(key)})

    def _send(
        self, method: str, path: str, *, headers: Mapping[str, str], content: bytes = b""
    ) -> dict[str, Any]:
        url = self._configuration.issuer + path
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
