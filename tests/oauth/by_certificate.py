"""Recipients that authenticate by certificate, behind a proxy that passes it on, at a whole broker."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from httpx import Response
from starlette.requests import HTTPConnection

from broker.client_certificate import Presented, presented
from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.client_metadata import AuthMethod, ClientMetadata
from tests.api.conftest import Office, made
from tests.certificates import Made, authority
from tests.certificates import made as certificate
from tests.configured import configured
from tests.installation import Clock
from tests.oauth.conftest import registration
from tests.oauth.world import REDIRECT_URI, Recipient, World
from vault.jose import Jwk, public_jwk

MTLS_ISSUER = "https://mtls.broker.example"
HEADER = "Client-Cert"
VERIFIED = "Client-Cert-Verified"
PROXY = "10.0.0.7"
NAME = "CN=insurer,O=Hanbit,C=KR"

CA = authority()
INSURER = certificate(NAME, issuer=CA)
SELF_SIGNED = certificate("CN=anything")
OTHER = certificate("CN=other", issuer=CA)

BY_CHAIN = ClientMetadata(
    token_endpoint_auth_method=AuthMethod.TLS_CLIENT_AUTH,
    tls_client_auth_subject_dn=NAME,
    tls_client_certificate_bound_access_tokens=True,
)
BY_ITSELF = ClientMetadata(
    token_endpoint_auth_method=AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH,
    tls_client_certificate_bound_access_tokens=True,
)
BY_ASSERTION = ClientMetadata(tls_client_certificate_bound_access_tokens=True)
UNBOUND = {"tls_client_certificate_bound_access_tokens": False}

Sent = Mapping[str, str]


def passed_on(sent: Made | None, *, is_verified: bool = True) -> dict[str, str]:
    """The headers that the proxy sets."""
    if sent is None:
        return {}
    return {HEADER: sent.rfc9440, VERIFIED: "SUCCESS" if is_verified else "FAILED:self-signed certificate"}


@dataclass
class Certified(Recipient):
    """A recipient whose requests come with these headers; without proofs unless `sends_proofs`."""

    sent: Sent = field(default_factory=dict)
    sends_proofs: bool = False
    asserts: bool = False

    def authentication(self, assertion: str | None = None) -> dict[str, str]:
        return super().authentication(assertion) if self.asserts else {"client_id": self.client_id}

    def post(self, path: str, form: Mapping[str, Any], proofs: Sequence[str] = ()) -> Response:
        headers = [*self.sent.items(), *(("DPoP", proof) for proof in proofs if self.sends_proofs)]
        wanted = {name: value for name, value in form.items() if isinstance(value, str)}
        return self.http.post(path, data=wanted, headers=headers)

    def with_certificate(self, sent: Made | None, *, is_verified: bool = True) -> "Certified":
        return replace(self, sent=passed_on(sent, is_verified=is_verified))

    def pull(self, token: str, key: str = "one", scheme: str = "Bearer", **headers: str) -> Response:
        bearing = {"Authorization": f"{scheme} {token}", "Idempotency-Key": key} | headers
        return self.http.post("/v1/deliveries", headers={**self.sent, **bearing})


@dataclass(frozen=True)
class Counter:
    """An office whose broker takes certificates of one proxy."""

    office: Office

    @property
    def installation(self) -> Installation:
        return self.office.world.installation

    def client(
        self,
        client_id: str,
        metadata: ClientMetadata,
        *,
        keys: Sequence[Jwk] = (),
        sent: Made | None = None,
        owner: str = "insurer",
    ) -> Certified:
        """Register a client, and be it."""
        world = self.office.world
        one = Certified(world.http, world.clock, client_id, REDIRECT_URI, sent=passed_on(sent))
        new = registration(one, owner).model_copy(
            update={"metadata": metadata, "jwks": {"keys": [public_jwk(one.key), *keys]}}
        )
        with transaction(self.installation.data) as work:
            clients.add(work.session, new, is_loopback_allowed=False, now=world.clock())
        return replace(one, asserts=metadata.token_endpoint_auth_method is AuthMethod.PRIVATE_KEY_JWT)

    def by_chain(self, **changes: object) -> Certified:
        return self.client("by-chain", BY_CHAIN.model_copy(update=changes), sent=INSURER)

    def by_itself(self, **changes: object) -> Certified:
        metadata = BY_ITSELF.model_copy(update=changes)
        return self.client("by-itself", metadata, keys=[SELF_SIGNED.jwk], sent=SELF_SIGNED)

    def by_assertion(self) -> Certified:
        return self.client("by-assertion", BY_ASSERTION, sent=OTHER)

    def world(self, insurer: Recipient) -> World:
        """The world, with this client as the one that asks."""
        return replace(self.office.world, insurer=insurer)

    def comes_from(self, peer: str | None) -> None:
        """From now on requests come from this address; None is a UNIX socket."""
        transport: Any = self.office.http._transport
        transport.client = None if peer is None else (peer, 50000)

    def presented(
        self, headers: Sequence[tuple[str, str]], peer: str | None = PROXY, **changes: object
    ) -> Presented:
        """What the broker makes of headers."""
        server = configured(self.installation, "server", **changes).settings.server
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        scope = {"type": "http", "headers": raw, "client": None if peer is None else (peer, 1)}
        return presented(HTTPConnection(scope), server, self.office.world.clock())


def opened(bare: Installation, clock: Clock, **changes: object) -> Iterator[Counter]:
    """A whole broker that takes the certificates which its proxy passes on."""
    server: dict[str, object] = {
        "trusted_proxies": (PROXY,),
        "client_certificate_header": HEADER,
        "client_certificate_verified_header": VERIFIED,
        "mtls_issuer": MTLS_ISSUER,
    }
    for office in made(configured(bare, "server", **{**server, **changes}), clock):
        counter = Counter(office)
        counter.comes_from(PROXY)
        yield counter
