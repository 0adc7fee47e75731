"""Pushing what is new to the broker: client credentials (RFC 6749 section 4.4) bound to a key (RFC 9449).

What is to be pushed lies in the store until the broker has said that it has it; repeating doubles nothing.
"""

import base64
import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Event
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from broker.demo.hospital.configuration import Configuration
from broker.demo.hospital.store import Document, Store
from connectors.errors import OutboundError
from connectors.http import OutboundClient
from vault.jose import Jwk, public_jwk, sign_with_jwk

_SCOPE: Final = "holders.records"
_PATH: Final = "/v1/holders/records"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 60
_BATCH: Final = 50
_PAUSE_SECONDS: Final = 0.3
_LONGEST_PAUSE_SECONDS: Final = 30.0
_OK: Final = 200

_log: Final = logging.getLogger(__name__)


class PushRefusedError(Exception):
    """The broker did not take a push: HTTP status and its code."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        super().__init__(f"{status} {code}")


class Pusher:
    """Pushes what is new, until told to stop."""

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        http: OutboundClient,
        clock: Callable[[], datetime],
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._http = http
        self._clock = clock

    def push_until(self, stop: Event) -> None:
        """A loop: what is new goes at once; a broker that is away is tried again, each time twice as late."""
        pause = _PAUSE_SECONDS
        while not stop.wait(pause):
            try:
                self.push_once()
            except (OutboundError, PushRefusedError) as error:
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                _log.warning("not pushed: %s", type(error).__name__)
            else:
                pause = _PAUSE_SECONDS

    def push_once(self) -> int:
        """Push a batch; how many documents the broker has of it. Raises OutboundError, PushRefusedError."""
        documents = self._store.to_push(self._clock(), _BATCH)
        if not documents:
            return 0
        header = self._store.header(documents[0].format)
        body = orjson.dumps({"header": header, "records": [one.body for one in documents]})
        token = self._token()
        headers = {
            "Authorization": f"DPoP {token}",
            "DPoP": self._proof(_PATH, access_token=token),
            "Content-Type": "application/json",
        }
        answer = self._send(_PATH, headers, body)
        self._settle(documents, answer["results"])
        return len(documents)

    def _settle(self, documents: Sequence[Document], results: Sequence[Mapping[str, Any]]) -> None:
        """Whatever became of them, the broker has answered. For a number of nobody nothing goes again."""
        self._store.mark_pushed(documents)
        for document, result in zip(documents, results, strict=True):
            rules = [fault["rule"] for fault in result["faults"]]
            if "person_not_linked" in rules:
                self._store.end_transmission(document.patient_no)
            if rules:
                _log.warning("a document was %s: %s", result["outcome"], ", ".join(rules))

    def _token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "scope": _SCOPE,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._assertion(),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "DPoP": self._proof("/token")}
        return str(self._send("/token", headers, urlencode(form).encode())["access_token"])

    def _assertion(self) -> str:
        """RFC 7523 section 2.2; the audience is the issuer (FAPI 2.0 section 5.3.2.1)."""
        seconds, key = int(self._clock().timestamp()), self._configuration.client_key
        claims = {
            "iss": self._configuration.client_id,
            "sub": self._configuration.client_id,
            "aud": self._configuration.issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": seconds,
            "exp": seconds + _ASSERTION_SECONDS,
        }
        return sign_with_jwk(claims, key, {"alg": key["alg"], "kid": key["kid"], "typ": "JWT"})

    def _proof(self, path: str, *, access_token: str | None = None) -> str:
        """RFC 9449 section 4.2."""
        key = self._configuration.proof_key
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": "POST",
            "htu": self._configuration.issuer + path,
            "iat": int(self._clock().timestamp()),
        }
        if access_token is not None:
            digest = hashlib.sha256(access_token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return sign_with_jwk(claims, key, {"alg": key["alg"], "typ": "dpop+jwt", "jwk": _bare(key)})

    def _send(self, path: str, headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
        answer = self._http.request("POST", self._configuration.issuer + path, headers=headers, body=content)
        try:
            body = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict) or answer.status != _OK:
            code = (body.get("code") or body.get("error")) if isinstance(body, dict) else "unreadable_answer"
            raise PushRefusedError(answer.status, str(code))
        return body


def _bare(key: Jwk) -> Jwk:
    """The public key alone, as a proof's header bears it."""
    public = public_jwk(key)
    return {name: public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in public}
