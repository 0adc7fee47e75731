"""A recipient that asks without a browser and proves itself by its certificate (RFC 8705, FAPI-CIBA)."""

from dataclasses import dataclass
from typing import Any

from httpx import Response
from sqlmodel import col, select

from broker.db import transaction
from broker.oauth import interaction
from broker.oauth.ciba import GRANT_TYPE
from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.models import Client, Interaction
from broker.oauth.pairwise import pairwise_subject
from tests.installation import ISSUER
from tests.oauth.by_certificate import Certified, Counter
from tests.oauth.world import details, without_left_out
from vault.jose import sign_with_jwk
from vault.schema import random_id


@dataclass(frozen=True)
class CertifiedAsking:
    """One client at the counter, and the person who once agreed to something of its organisation's."""

    counter: Counter
    client: Certified
    sub: str

    def signed(self, **changes: Any) -> str:  # noqa: ANN401 - claims
        now = self.client.seconds
        claims = {
            "iss": self.client.client_id,
            "aud": ISSUER,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": random_id(),
            "scope": "records.read",
            "login_hint": self.sub,
            "authorization_details": [details()],
        }
        header = {"alg": self.client.key["alg"], "kid": self.client.key["kid"]}
        return sign_with_jwk(without_left_out(claims | changes), self.client.key, header)

    def ask(self, client: Certified | None = None, **changes: Any) -> Response:  # noqa: ANN401 - claims
        asker = client or self.client
        form = asker.authentication() | {"request": self.signed(**changes)}
        return asker.post("/bc-authorize", form)

    def asked(self, **changes: Any) -> str:  # noqa: ANN401 - claims
        answer = self.ask(**changes)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["auth_req_id"])

    def poll(self, auth_req_id: str, client: Certified | None = None) -> Response:
        asker = client or self.client
        form = {"grant_type": GRANT_TYPE, "auth_req_id": auth_req_id}
        return asker.post("/token", asker.authentication() | form, [asker.proof("/token")])

    def allow(self) -> None:
        """The person agrees to the request that waits."""
        self.counter.world(self.client).agree(self._waiting())

    def deny(self) -> None:
        world, now = self.counter.office.world, self.client.clock()
        with transaction(self.counter.installation.data) as work:
            keyring, waiting = self.counter.installation.keyring, self._waiting()
            interaction.deny(work.session, keyring, ISSUER, waiting, world.subject_id, now)

    def _waiting(self) -> str:
        with self.counter.installation.data.read() as session:
            waiting = (
                select(Interaction.interaction_id)
                .join(BackchannelRequest, col(BackchannelRequest.request_id) == col(Interaction.request_id))
                .where(BackchannelRequest.state == "pending")
            )
            return session.exec(waiting).one()


def known_to(counter: Counter, client: Certified, **members: object) -> CertifiedAsking:
    """The client, registered to ask this way, and a person whom its organisation knows by a consent."""
    with transaction(counter.installation.data) as work:
        row = work.session.get_one(Client, client.client_id)
        held = ClientMetadata.model_validate_json(row.client_metadata)
        wanted: dict[str, object] = {"backchannel_token_delivery_mode": "poll"} | members
        row.client_metadata = held.model_copy(update=wanted).model_dump_json(exclude_defaults=True)
    counter.world(client).tokens()
    world = counter.office.world
    return CertifiedAsking(
        counter, client, pairwise_subject(counter.installation.keyring, "insurer", world.subject_id)
    )
