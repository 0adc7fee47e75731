"""What the tests of logout share: clients with addresses for it, and the browser's way to the endpoint."""

from typing import Any, Final

from httpx import Response

from broker.db import transaction
from broker.oauth.client_metadata import ClientMetadata
from tests.oauth.openid_world import OpenIDWorld, add_client
from tests.oauth.world import LEFT_OUT, Recipient

BACK: Final = "https://portal.example/bye?from=broker"
SIGNED_OUT: Final = "/ko/signed-out"


def portal_of(
    world: OpenIDWorld, client_id: str = "portal", owner: str = "other", *, told_at: str | None = None
) -> Recipient:
    """A further client of an organisation; `told_at` is its back-channel address."""
    portal = Recipient(world.insurer.http, world.clock, client_id, f"https://{client_id}.example/callback")
    metadata = ClientMetadata(
        post_logout_redirect_uris=(BACK, "https://portal.example/bye"),
        backchannel_logout_uri=told_at,
        backchannel_logout_session_required=told_at is not None,
    )
    with transaction(world.installation.data) as work:
        add_client(
            work.session, portal, owner, world.clock, metadata, is_loopback_allowed=told_at is not None
        )
    return portal


def signed_in_at(world: OpenIDWorld, client: Recipient, **changes: object) -> dict[str, Any]:
    """The token answer of a whole sign-in at a client; somebody is signed in here already."""
    return world.redeemed(world.decide(world.arrive(world.push(client, **changes), client)), client)


def is_signed_in(world: OpenIDWorld) -> bool:
    """Whether somebody is signed in with the browser."""
    return bool(world.browser.get("/ko").status_code == 200)


def end_session(world: OpenIDWorld, **parameters: Any) -> Response:  # noqa: ANN401 - what httpx takes
    """The browser comes to the end session endpoint."""
    query = {name: value for name, value in parameters.items() if value is not LEFT_OUT}
    answer: Response = world.browser.get("/end_session", params=query, headers={"Accept-Language": "ko"})
    return answer
