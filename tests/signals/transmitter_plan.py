"""A receiver that does what the OpenID Foundation's suite does to a transmitter: its steps, not its code."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from httpx import Response

from tests.oauth.streaming import StreamClient
from tests.signals.receiver import POLL, PUSH, VERIFICATION, Receiver
from vault.jose import verify_jwt

SESSION_REVOKED: Final = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
CREDENTIAL_CHANGE: Final = "https://schemas.openid.net/secevent/caep/event-type/credential-change"
UNKNOWN: Final = "https://schemas.example/event-type/nobody-knows"
HEADER: Final = "Bearer of-the-receiver"
INVALID: Final = "invalid:8f2a4c1e"


@dataclass
class Plan:
    """One variant of the plan: a client of the profile `oidc`, how events come to it, and what it knows."""

    receiver: Receiver
    client: StreamClient
    method: str
    token: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    stream: dict[str, Any] = field(default_factory=dict)

    @property
    def is_push(self) -> bool:
        return self.method == PUSH

    @property
    def named(self) -> dict[str, Any]:
        return {"stream_id": self.stream["stream_id"]}

    def begin(self, scope: str = "ssf") -> None:
        """What every module begins with: metadata, a fresh token, and no stream left of the one before."""
        self.receiver.world.clock.advance(timedelta(seconds=61))
        self.metadata = self.client.plain.http.get("/.well-known/ssf-configuration").json()
        self.receiver.will(202)
        self.receiver.double.tokens.clear()
        self.receiver.headers.clear()
        self.token = self.client.token()
        for left in self.configuration("GET").json():
            assert self.configuration("DELETE", stream_id=left["stream_id"]).status_code == 204
        self.token = self.client.token(scope)

    def call(self, method: str, endpoint: str, body: object = None, *, raw: bytes | None = None) -> Response:
        """A request as the suite sends it: the token as `Bearer`, JSON without anything else."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        http = self.client.plain.http
        if raw is not None:
            headers["Content-Type"] = "application/json"
            return http.request(method, endpoint, content=raw, headers=headers)
        return http.request(method, endpoint, json=body, headers=headers)

    def configuration(self, method: str, body: object = None, stream_id: str | None = None) -> Response:
        query = "" if stream_id is None else f"?stream_id={stream_id}"
        return self.call(method, self.metadata["configuration_endpoint"] + query, body)

    def status(self, status: str | None = None) -> Response:
        endpoint = f"{self.metadata['status_endpoint']}?stream_id={self.stream['stream_id']}"
        if status is None:
            return self.call("GET", endpoint)
        return self.call("POST", endpoint, self.named | {"status": status, "reason": f"now {status}"})

    def delivery(self, *, is_authorized: bool = True) -> dict[str, str]:
        if not self.is_push:
            return {"method": POLL}
        header = {"authorization_header": HEADER} if is_authorized else {}
        return {"method": PUSH, "endpoint_url": self.receiver.double.url, **header}

    def wishes(self, **members: Any) -> dict[str, Any]:  # noqa: ANN401
        asked = {"description": "a stream", "events_requested": [SESSION_REVOKED, CREDENTIAL_CHANGE]}
        return {**asked, "delivery": self.delivery(), **members}

    def create(self, **members: Any) -> Response:  # noqa: ANN401
        answer = self.configuration("POST", self.wishes(**members))
        if answer.status_code == 201:
            self.stream = answer.json()
        return answer

    def create_and_delete(self) -> None:
        """A throw-away stream, for an id that was good once."""
        assert self.create().status_code == 201
        assert self.configuration("DELETE", stream_id=self.stream["stream_id"]).status_code == 204

    def verify(self, state: str, **members: object) -> Response:
        body = self.named | {"state": state} | members
        return self.call("POST", self.metadata["verification_endpoint"], body)

    def poll(self, **members: object) -> Response:
        asked = {"maxEvents": 10, "returnImmediately": True} | members
        return self.call("POST", self.stream["delivery"]["endpoint_url"], asked)

    def arrived(self, *, is_authorized: bool = True, **members: object) -> dict[str, dict[str, Any]]:
        """The claims of what comes by push or poll now, under each `jti`, and held to the specification."""
        worked = self.receiver.tell()  # as the worker does all the time
        if self.is_push:
            raw = list(self.receiver.double.tokens)
            assert len(raw) == worked
            expected = {HEADER} if is_authorized else {None}
            assert {one.get("authorization") for one in self.receiver.headers} <= expected
            for one in self.receiver.headers:
                assert (one["content-type"], one["accept"]) == (
                    "application/secevent+jwt",
                    "application/json",
                )
            self.receiver.double.tokens.clear()
            self.receiver.headers.clear()
            return {claims["jti"]: claims for claims in map(self.checked, raw)}
        answer = self.poll(**members)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
        found = {jti: self.checked(raw) for jti, raw in answer.json()["sets"].items()}
        assert all(jti == claims["jti"] for jti, claims in found.items())
        return found

    def checked(self, raw: str) -> dict[str, Any]:
        """The claims of an event that is signed by a published key, and has what it must have."""
        keys = self.client.plain.http.get(self.metadata["jwks_uri"]).json()
        header, claims = verify_jwt(raw, keys, algorithms=("ES256",), typ="secevent+jwt")
        assert header["typ"] == "secevent+jwt"
        assert header["kid"] in {key["kid"] for key in keys["keys"]}
        assert {"exp", "sub"}.isdisjoint(claims)
        assert (claims["iss"], claims["aud"]) == (self.metadata["issuer"], self.stream["aud"])
        assert claims["iat"] <= self.receiver.world.clock().timestamp()
        assert isinstance(claims["jti"], str)
        assert isinstance(claims["txn"], str)
        assert claims["sub_id"] == {"format": "opaque", "id": self.stream["stream_id"]}
        assert list(claims["events"]) == [VERIFICATION]
        return dict(claims)


def states(arrived: dict[str, dict[str, Any]]) -> list[str]:
    """What the verification events echo."""
    return [claims["events"][VERIFICATION]["state"] for claims in arrived.values()]


def challenges(answer: Response) -> list[str]:
    """The challenges of scheme Bearer."""
    told = answer.headers.get_list("WWW-Authenticate")
    return [one for one in told if one.partition(" ")[0] == "Bearer"]
