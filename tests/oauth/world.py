"""A broker with two recipients, a person, and the requests that a recipient's software sends."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
from httpx import Response

from broker.db import transaction
from broker.installation import Installation
from broker.oauth import interaction
from broker.oauth.pkce import challenge_of
from broker.receipt_signing import receipt_signer
from consent import lifecycle
from tests.installation import ISSUER, Clock
from vault.jose import Jwk, generate_private_jwk, sign_with_jwk, thumbprint
from vault.schema import random_id

REDIRECT_URI = "https://insurer.example/callback?flow=claim"
OTHER_REDIRECT_URI = "https://other.example/callback"
VERIFIER = "a-verifier-that-is-long-enough-to-be-one-of-RFC-7636"
PURPOSE = "test.claim"
RECORD_TYPE = "health.medical_bill"
LEFT_OUT: Any = object()

PURPOSE_DECLARATION: dict[str, Any] = {
    "code": PURPOSE,
    "legal_basis": "eu-gdpr:A6-1-a",
    "dpv_purpose": "dpv:ServiceProvision",
    "name": {"ko": "청구", "en": "Claim"},
    "text": {"ko": "청구를 처리합니다.", "en": "To settle a claim."},
    "refusal_effect": {"ko": "서류를 직접 내야 합니다.", "en": "You hand in papers yourself."},
    "items": [
        {
            "record_type": RECORD_TYPE,
            "modes": ["fields"],
            "fields": ["institution", "totals"],
            "required": True,
        }
    ],
    "caps": {
        "kind": "once",
        "max_pulls": 1,
        "max_days": 60,
        "max_lookback_days": 1095,
        "max_retention_days": 90,
    },
    "notice": {"revision": "2026-11-01", "ko": "안내", "en": "Notice"},
}


def details(**changes: object) -> dict[str, Any]:
    """A `mydata_consent` object within the purpose; `LEFT_OUT` takes a member away."""
    detail = {
        "type": "mydata_consent",
        "locations": [f"{ISSUER}/v1/records"],
        "actions": ["read"],
        "purpose": PURPOSE,
        "items": [item()],
        "holders": ["hospital"],
        "access": {
            "kind": "once",
            "max_pulls": 1,
            "valid_from": "2026-12-01T00:00:00Z",
            "valid_until": "2026-12-31T00:00:00Z",
        },
        "data_period": {"from": "2026-01-01", "to": "2026-11-30"},
        "retention": {"store": True, "period": "P90D", "on_end": "delete"},
    }
    return without_left_out(detail | changes)


def item(**changes: object) -> dict[str, Any]:
    asked = {"record_type": RECORD_TYPE, "mode": "fields", "fields": ["totals"], "required": True}
    return without_left_out(asked | changes)


def without_left_out(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not LEFT_OUT}


@dataclass
class Recipient:
    """A recipient's software: its keys, and each request it makes, to be changed by a test."""

    http: httpx.Client
    clock: Clock
    client_id: str
    redirect_uri: str
    key: Jwk = field(default_factory=lambda: generate_private_jwk("ES256"))
    dpop_key: Jwk = field(default_factory=lambda: generate_private_jwk("ES256"))

    @property
    def jkt(self) -> str:
        return thumbprint(self.dpop_key)

    @property
    def seconds(self) -> int:
        return int(self.clock().timestamp())

    def assertion(
        self, *, key: Jwk | None = None, header: Mapping[str, Any] | None = None, **changes: object
    ) -> str:
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": ISSUER,
            "jti": random_id(),
            "iat": self.seconds,
            "exp": self.seconds + 60,
        }
        used = key or self.key
        named = {"alg": used["alg"], "kid": used["kid"], "typ": "JWT"} | dict(header or {})
        return sign_with_jwk(without_left_out(claims | changes), used, without_left_out(named))

    def proof(
        self, path: str, *, key: Jwk | None = None, header: Mapping[str, Any] | None = None, **changes: object
    ) -> str:
        claims = {"jti": random_id(), "htm": "POST", "htu": ISSUER + path, "iat": self.seconds}
        used = key or self.dpop_key
        public = {name: used[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in used}
        named = {"alg": used["alg"], "typ": "dpop+jwt", "jwk": public} | dict(header or {})
        return sign_with_jwk(without_left_out(claims | changes), used, without_left_out(named))

    def authentication(self, assertion: str | None = None) -> dict[str, str]:
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion or self.assertion(),
        }

    def post(self, path: str, form: Mapping[str, Any], proofs: Sequence[str] = ()) -> Response:
        headers = [("DPoP", proof) for proof in proofs]
        return self.http.post(path, data=without_left_out(form), headers=headers)

    def request(self, **changes: object) -> dict[str, Any]:
        return {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "state": "a state",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "authorization_details": orjson.dumps([details()]).decode(),
        } | changes

    def push(self, *, proofs: Sequence[str] = (), **changes: object) -> Response:
        return self.post("/par", self.authentication() | self.request(**changes), proofs)

    def push_details(self, *asked: object) -> Response:
        return self.push(authorization_details=orjson.dumps(asked).decode())

    def open(self, request_uri: str, *, client_id: str | None = None, **headers: str) -> Response:
        query = {"client_id": client_id or self.client_id, "request_uri": request_uri}
        return self.http.get("/authorize", params=query, headers=headers)

    def redeem(self, code: str, *, proofs: Sequence[str] | None = None, **changes: object) -> Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": VERIFIER,
        }
        used = [self.proof("/token")] if proofs is None else proofs
        return self.post("/token", self.authentication() | form | changes, used)

    def refresh(
        self, refresh_token: str, *, proofs: Sequence[str] | None = None, **changes: object
    ) -> Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        used = [self.proof("/token")] if proofs is None else proofs
        return self.post("/token", self.authentication() | form | changes, used)

    def own_token(self, *, proofs: Sequence[str] | None = None, **changes: object) -> Response:
        used = [self.proof("/token")] if proofs is None else proofs
        form = {"grant_type": "client_credentials"}
        return self.post("/token", self.authentication() | form | changes, used)

    def introspect(self, token: str, **changes: object) -> Response:
        return self.post("/introspect", self.authentication() | {"token": token} | changes)

    def revoke(self, token: str, **changes: object) -> Response:
        return self.post("/revoke", self.authentication() | {"token": token} | changes)


@dataclass(frozen=True)
class World:
    """A broker over HTTP, its two recipients, and a person."""

    installation: Installation
    clock: Clock
    http: httpx.Client
    insurer: Recipient
    stranger: Recipient
    subject_id: str

    def interaction_of(self, pushed: Response) -> str:
        opened = self.insurer.open(pushed.json()["request_uri"])
        assert opened.status_code == 303
        return opened.headers["Location"].rpartition("/")[2]

    def agree(self, interaction_id: str) -> str:
        """The person reads and agrees; the address that their browser is sent to."""
        installation, now = self.installation, self.clock()
        with transaction(installation.data) as work:
            view = interaction.load_interaction(work.session, installation.keyring, interaction_id, now)
            purpose = installation.purposes.get(view.terms.purpose)
            digest = purpose.notice_digest("en")
            new = lifecycle.NewConsent(
                self.subject_id, view.recipient_id, view.client_id, view.terms, digest, "en"
            )
            grant_id = lifecycle.request(work, installation.keyring, new, now)
            interaction.attach_consent(work.session, interaction_id, self.subject_id, grant_id, now)
            granted = frozenset(asked.record_type for asked in view.terms.items)
            given = lifecycle.give(
                work,
                installation.keyring,
                lifecycle.Signature(grant_id, self.subject_id, granted, digest, "en"),
                purpose=purpose,
                sign_receipt=receipt_signer(self.installation, self.clock()),
                now=now,
            )
            return interaction.allow(
                work.session,
                installation.keyring,
                ISSUER,
                interaction_id,
                self.subject_id,
                given.version_id,
                now,
            )

    def withdraw(self, grant_id: str) -> None:
        with transaction(self.installation.data) as work:
            lifecycle.withdraw(work, self.installation.keyring, grant_id, self.subject_id, self.clock())

    def code(self, *, proofs: Sequence[str] = (), **changes: object) -> str:
        """A fresh code of the insurer's, from push to redirect."""
        pushed = self.insurer.push(proofs=proofs, **changes)
        assert pushed.status_code == 201, pushed.text
        return answer_in(self.agree(self.interaction_of(pushed)))["code"]

    def tokens(self) -> dict[str, Any]:
        """A fresh token answer of the insurer's."""
        answer = self.insurer.redeem(self.code())
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens


def answer_in(address: str) -> dict[str, str]:
    """The parameters of an authorization response."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def access_token_hash(access_token: str) -> str:
    """`ath` of a proof (RFC 9449 section 4.2)."""
    digest = hashlib.sha256(access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def refused(answer: Response, *codes: str) -> bool:
    """Whether this is an error in OAuth's own form with one of these codes."""
    body = answer.json()
    return (
        answer.status_code in {400, 401}
        and answer.headers["Cache-Control"] == "no-store"
        and answer.headers["Content-Type"] == "application/json"
        and body["error"] in codes
        and "access_token" not in body
    )
