"""A recipient's software with an event stream, and the server where it is pushed to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

import httpx
from sqlmodel import Session, col, select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.telling import tell_due
from broker.receipt_signing import receipt_signer
from consent import lifecycle
from consent.granting import Text, current_version, language_of
from consent.ledger.models import LedgerEntry
from consent.models import Duty
from consent.outbox import PUSHED
from consent.superseding import supersede
from consent.versions import open_terms
from consent.vocabulary import VersionKind
from tests.connectors.sources.double import Double, Reply
from tests.oauth.world import Recipient, World, access_token_hash
from vault.jose import public_jwks, verify_jwt

PUSH: Final = "urn:ietf:rfc:8935"
FOUND: Final = 302
POLL: Final = "urn:ietf:rfc:8936"
VERIFICATION: Final = "https://schemas.openid.net/secevent/ssf/event-type/verification"
TOKEN_REVOKED: Final = "https://schemas.openid.net/secevent/oauth/event-type/token-revoked"
REVOKED: Final = "urn:mydata:event:consent-revoked"
EXPIRED: Final = "urn:mydata:event:consent-expired"
REPLACED: Final = "urn:mydata:event:consent-replaced"
PAUSED: Final = "urn:mydata:event:consent-paused"
RESUMED: Final = "urn:mydata:event:consent-resumed"
RECORD: Final = "urn:mydata:event:record-available"


@dataclass(frozen=True)
class Receiver:
    """The world's insurer as a receiver, with a double as the server that events are pushed to."""

    world: World
    double: Double
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def installation(self) -> Installation:
        return self.world.installation

    @property
    def insurer(self) -> Recipient:
        return self.world.insurer

    # The interface

    def token(self, recipient: Recipient | None = None, scope: str = "ssf") -> str:
        answer = (recipient or self.insurer).own_token(scope=scope)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        recipient: Recipient | None = None,
        token: str | None = None,
        raw: bytes | None = None,
    ) -> httpx.Response:
        speaker = recipient or self.insurer
        used = token or self.token(speaker)
        proof = speaker.proof(path.partition("?")[0], htm=method, ath=access_token_hash(used))
        headers = {"Authorization": f"DPoP {used}", "DPoP": proof}
        if raw is not None:
            headers["Content-Type"] = "application/json"
            return self.world.http.request(method, path, content=raw, headers=headers)
        return self.world.http.request(method, path, json=body, headers=headers)

    def create(self, speaker: Recipient | None = None, **members: Any) -> httpx.Response:  # noqa: ANN401
        return self.call("POST", "/ssf/stream", members, recipient=speaker)

    def pushing(self, **members: Any) -> str:  # noqa: ANN401
        """A stream that is pushed to the double; its id."""
        self.will(202)
        answer = self.create(delivery={"method": PUSH, "endpoint_url": self.double.url}, **members)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["stream_id"])

    def polling(self, **members: Any) -> str:  # noqa: ANN401
        answer = self.create(delivery={"method": POLL}, **members)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["stream_id"])

    def poll(self, stream_id: str, **members: object) -> dict[str, Any]:
        answer = self.call("POST", f"/ssf/poll/{stream_id}", {"returnImmediately": True} | members)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def polled(self, stream_id: str, **members: object) -> list[dict[str, Any]]:
        """The claims of what a poll brings, each under its own `jti`."""
        sets = self.poll(stream_id, **members)["sets"]
        claims = [self.verified(token) for token in sets.values()]
        assert [one["jti"] for one in claims] == list(sets)
        return claims

    def settled(self, stream_id: str) -> list[dict[str, Any]]:
        """The claims of everything that waits, acknowledged."""
        events: list[dict[str, Any]] = []
        while found := self.polled(stream_id, ack=[event["jti"] for event in events]):
            events += found
        return events

    def set_status(self, stream_id: str, status: str, **members: object) -> httpx.Response:
        return self.call("POST", "/ssf/status", {"stream_id": stream_id, "status": status} | members)

    # The server that events are pushed to

    def will(self, status: int, body: bytes = b"") -> None:
        self.double.will(Reply(status, body=body, before=self._note))

    def replies(self, status: int, body: bytes) -> list[Reply]:
        location = {"Location": "http://169.254.169.254/"} if status == FOUND else {}
        return [Reply(status, location, body)]

    def _note(self, handler: BaseHTTPRequestHandler) -> None:
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})

    def verified(self, token: str) -> dict[str, Any]:
        keys = public_jwks(self.installation.keyring.service_keys("oauth"))
        header, claims = verify_jwt(token, keys, algorithms=["ES256"], typ="secevent+jwt")
        assert header["typ"] == "secevent+jwt"
        return claims

    def pushed(self) -> list[dict[str, Any]]:
        """The claims of everything that was pushed, verified with the broker's published keys."""
        return [self.verified(token) for token in self.double.tokens]

    # What happens

    def tell(self) -> int:
        return tell_due(self.installation, self.world.clock())

    def withdraw(self, grant_id: str) -> None:
        self.world.withdraw(grant_id)

    def pause(self, grant_id: str) -> None:
        with transaction(self.installation.data) as work:
            lifecycle.pause(
                work, self.installation.keyring, grant_id, self.world.subject_id, self.world.clock()
            )

    def resume(self, grant_id: str) -> None:
        with transaction(self.installation.data) as work:
            lifecycle.resume(
                work, self.installation.keyring, grant_id, self.world.subject_id, self.world.clock()
            )

    def supersede(self, grant_id: str, kind: VersionKind) -> None:
        """The same terms in a new version, as a change of this kind makes it."""
        installation, now = self.installation, self.world.clock()
        with transaction(installation.data) as work:
            consent = lifecycle.lock(work, grant_id)
            version = current_version(work, consent)
            terms = open_terms(installation.keyring, consent.subject_id, version)
            supersede(
                work,
                installation.keyring,
                consent,
                Text(terms, version.notice_digest, language_of(version)),
                kind,
                purpose=installation.purposes.get(terms.purpose),
                sign_receipt=receipt_signer(installation, now),
                now=now,
            )

    def duties(self) -> list[Duty]:
        """Everything that is owed to recipients, or was, the oldest first."""
        with self.installation.data.read() as session:
            return told_duties(session)

    def recorded(self, event: str) -> int:
        """How many entries of the log are of this type."""
        with self.installation.data.read() as session:
            leaves = [str(bytes(row.leaf)) for row in session.exec(select(LedgerEntry))]
        return sum(event in leaf for leaf in leaves)


def told_duties(session: Session) -> list[Duty]:
    order = (col(Duty.happened_at), col(Duty.duty_id))
    return list(session.exec(select(Duty).where(col(Duty.kind).in_(PUSHED)).order_by(*order)))


def types_of(events: list[dict[str, Any]]) -> list[str]:
    return [name for event in events for name in event["events"]]


def event_in(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The one event of a token."""
    ((_, members),) = claims["events"].items()
    return dict(members)
