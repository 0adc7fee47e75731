"""What a client that registers itself sends, and the invitation by which it may."""

from dataclasses import dataclass, field
from typing import Any

from httpx import Response

from broker.db import transaction
from broker.oauth.invitations import IssuedInvitation, NewInvitation, invite
from tests.oauth.world import LEFT_OUT, PURPOSE, Recipient, World, without_left_out
from vault.jose import Jwk, generate_private_jwk, public_jwk

REDIRECT_URI = "https://new.example/callback"
SCOPE = "records.read deliveries"


def invited(world: World, **changes: Any) -> IssuedInvitation:  # noqa: ANN401 - members of any type
    """An invitation of the insurer's, for one client."""
    members = {"organisation_id": "insurer", "scope": SCOPE, "purposes": (PURPOSE,)} | changes
    with transaction(world.installation.data) as work:
        return invite(work.session, NewInvitation.model_validate(members), world.clock())


def bearer(raw_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {raw_token}"}


@dataclass
class Newcomer:
    """Software of the insurer's that nobody has registered yet."""

    world: World
    key: Jwk = field(default_factory=lambda: generate_private_jwk("ES256"))

    def metadata(self, **changes: object) -> dict[str, Any]:
        members = {
            "client_name": "Claims of tomorrow",
            "jwks": {"keys": [public_jwk(self.key)]},
            "redirect_uris": [REDIRECT_URI],
        }
        return without_left_out(members | changes)

    def register(self, raw_token: str, **changes: object) -> Response:
        headers = bearer(raw_token)
        return self.world.http.post("/register", json=self.metadata(**changes), headers=headers)

    def registered(self, **changes: object) -> dict[str, Any]:
        """Registered by an invitation made for it; the answer."""
        answer = self.register(invited(self.world).raw_token, **changes)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def recipient(self, client_id: str) -> Recipient:
        """The same software at work."""
        return Recipient(self.world.http, self.world.clock, client_id, REDIRECT_URI, key=self.key)


def path_of(told: dict[str, Any]) -> str:
    return f"/register/{told['client_id']}"


def credentials_of(told: dict[str, Any]) -> dict[str, str]:
    return bearer(told["registration_access_token"])


__all__ = ["LEFT_OUT", "Newcomer", "bearer", "credentials_of", "invited", "path_of"]
