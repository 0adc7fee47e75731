"""A recipient that asks without a browser (OpenID CIBA Core), and the person who answers on the page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from httpx import Response
from sqlmodel import col, select

from broker.db import transaction
from broker.installation import Installation
from broker.oauth.ciba import GRANT_TYPE
from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.models import Client, Interaction
from tests.installation import ISSUER, Clock
from tests.oauth.openid_world import OpenIDWorld
from tests.oauth.world import Recipient, details, without_left_out
from vault.jose import Jwk, sign_with_jwk
from vault.schema import random_id

MINUTES = 60


@dataclass
class Asking:
    """The openid world, whose insurer knows one person by their `sub`."""

    world: OpenIDWorld
    sub: str
    id_token: str

    @property
    def installation(self) -> Installation:
        return self.world.installation

    @property
    def insurer(self) -> Recipient:
        return self.world.insurer

    @property
    def clock(self) -> Clock:
        return self.world.clock

    def signed(
        self,
        client: Recipient | None = None,
        *,
        key: Jwk | None = None,
        header: Mapping[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401 - claims
    ) -> str:
        """The request as FAPI-CIBA has it; `LEFT_OUT` takes a claim away."""
        asker = client or self.insurer
        claims = {
            "iss": asker.client_id,
            "aud": ISSUER,
            "iat": asker.seconds,
            "nbf": asker.seconds,
            "exp": asker.seconds + 300,
            "jti": random_id(),
            "scope": "openid",
            "login_hint": self.sub,
            "binding_message": "1234",
        }
        used = key or asker.key
        named = {"alg": used["alg"], "kid": used["kid"]} | dict(header or {})
        return sign_with_jwk(without_left_out(claims | changes), used, without_left_out(named))

    def ask(self, client: Recipient | None = None, /, **changes: Any) -> Response:  # noqa: ANN401 - claims
        return self.send(self.signed(client, **changes), client)

    def send(self, raw_object: str, client: Recipient | None = None, /, **beside: object) -> Response:
        asker = client or self.insurer
        return asker.post("/bc-authorize", asker.authentication() | {"request": raw_object} | beside)

    def asked(self, **changes: Any) -> str:  # noqa: ANN401 - claims
        """The auth_req_id of a request that was accepted."""
        answer = self.ask(**changes)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["auth_req_id"])

    def asked_records(self, **changes: Any) -> str:  # noqa: ANN401 - claims
        wanted: dict[str, Any] = {"scope": "openid records.read", "authorization_details": [details()]}
        return self.asked(**(wanted | changes))

    def poll(
        self, auth_req_id: str, client: Recipient | None = None, proofs: Sequence[str] | None = None
    ) -> Response:
        asker = client or self.insurer
        used = [asker.proof("/token")] if proofs is None else proofs
        form = {"grant_type": GRANT_TYPE, "auth_req_id": auth_req_id}
        return asker.post("/token", asker.authentication() | form, used)

    def interaction_id(self) -> str:
        """That of the newest request."""
        with self.installation.data.read() as session:
            newest = (
                select(Interaction.interaction_id)
                .join(BackchannelRequest, col(BackchannelRequest.request_id) == col(Interaction.request_id))
                .order_by(col(BackchannelRequest.created_at).desc())
            )
            found = session.exec(newest).first()
        assert found is not None
        return found

    def decide(self, decision: str = "allow", room: str = "recognise", username: str = "haneul") -> str:
        """The person signs in on the page of the newest request, and decides; where they go to."""
        path = f"/ko/{room}/{self.interaction_id()}"
        led = self.world.browser.get(path)
        assert led.status_code == 303, led.text
        self.world.sign_in(username, led.headers["Location"])
        return self.world.decide(path, decision)

    def metadata(self, **members: Any) -> None:  # noqa: ANN401 - members of RFC 7591
        """Give the insurer these metadata."""
        set_metadata(self.installation, self.insurer, **members)

    def wait(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))


def set_metadata(installation: Installation, client: Recipient, **members: Any) -> None:  # noqa: ANN401
    with transaction(installation.data) as work:
        row = work.session.get_one(Client, client.client_id)
        row.client_metadata = ClientMetadata(**members).model_dump_json(exclude_defaults=True)
        work.session.add(row)


def build(world: OpenIDWorld) -> Iterator[Asking]:
    for client in (world.insurer, world.stranger):
        set_metadata(world.installation, client, backchannel_token_delivery_mode="poll")
    world.sign_in()
    tokens = world.signed_in_at()
    world.clock.advance(timedelta(seconds=1))
    yield Asking(world, world.claims(tokens)["sub"], tokens["id_token"])
