"""OpenID CIBA with FAPI-CIBA: the ping, against a server that listens."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import select

from broker.db import transaction
from broker.jobs.pinging import ping_due
from broker.oauth import clients
from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.clients import ClientRegistration
from broker.oauth.errors import ClientInvalidError
from consent.models import Duty
from consent.outbox import DutyKind
from tests.oauth.asking import Asking
from tests.oauth.ping_listener import TOKEN, Listener, demo, listening
from tests.oauth.world import LEFT_OUT, PURPOSE, REDIRECT_URI, refused
from vault.jose import generate_private_jwk, public_jwk


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


def pinged(asking: Asking, listener: Listener, decision: str = "allow", **changes: object) -> str:
    """A request of a client that is pinged, decided on; its auth_req_id."""
    register(asking, listener)
    auth_req_id = asking.asked(client_notification_token=TOKEN, **changes)
    asking.decide(decision)
    return auth_req_id


def register(asking: Asking, listener: Listener) -> None:
    asking.metadata(
        backchannel_token_delivery_mode="ping", backchannel_client_notification_endpoint=listener.url
    )


def work(asking: Asking) -> int:
    return ping_due(demo(asking.installation), asking.clock())


def duty(asking: Asking) -> Duty:
    with asking.installation.data.read() as session:
        return session.exec(select(Duty).where(Duty.kind == DutyKind.PING_CLIENT)).one()


class TestRefused:
    def test_a_client_that_is_pinged_names_a_token(self, small_asking: Asking, listener: Listener) -> None:
        register(small_asking, listener)
        for token in (LEFT_OUT, "", "with space", "a" * 1025, "a" * 1024 + "=", "===", "é", 7):
            assert refused(small_asking.ask(client_notification_token=token), "invalid_request")

    @pytest.mark.parametrize(
        ("status", "leads_on", "body"),
        [(401, True, b""), (403, True, b""), (301, True, b""), (302, False, b""), (200, True, b"x" * 65537)],
        ids=["401", "403", "301", "302 to nowhere", "endless"],
    )
    def test_an_endpoint_that_refuses_is_not_asked_again(
        self, small_asking: Asking, listener: Listener, status: int, *, leads_on: bool, body: bytes
    ) -> None:
        """Modules ping-backchannel-notification-endpoint-response-401, -403, -301, and the like."""
        listener.status, listener.leads_on, listener.body = status, leads_on, body
        auth_req_id = pinged(small_asking, listener)
        assert work(small_asking) == 0
        small_asking.wait(600)
        assert work(small_asking) == 0
        assert [path for path, *_ in listener.came] == ["/ciba"]
        assert duty(small_asking).done_at is not None
        assert small_asking.poll(auth_req_id).status_code == 200

    def test_an_address_of_this_machine_is_not_called(self, small_asking: Asking, listener: Listener) -> None:
        auth_req_id = pinged(small_asking, listener)
        assert ping_due(small_asking.installation, small_asking.clock()) == 0
        assert listener.came == []
        assert duty(small_asking).done_at is not None
        assert small_asking.poll(auth_req_id).status_code == 200

    @pytest.mark.parametrize(
        ("mode", "endpoint"),
        [
            ("ping", None),
            ("poll", "https://insurer.example/ciba"),
            ("ping", "http://insurer.example/ciba"),
            ("ping", "http://127.0.0.1/ciba"),
            ("ping", "https://user@insurer.example/ciba"),
            ("ping", "https://10.0.0.7/ciba"),
            ("ping", "https://169.254.169.254/ciba"),
            ("ping", "https://[::ffff:192.168.0.1]/ciba"),
            ("ping", "https://localhost/ciba"),
        ],
    )
    def test_registered_addresses_are_checked(
        self, small_asking: Asking, mode: str, endpoint: str | None
    ) -> None:
        metadata = ClientMetadata.model_validate(
            {"backchannel_token_delivery_mode": mode, "backchannel_client_notification_endpoint": endpoint}
        )
        registration = ClientRegistration(
            client_id="another-app",
            organisation_id="insurer",
            name="another",
            jwks={"keys": [public_jwk(generate_private_jwk("ES256"))]},
            redirect_uris=(REDIRECT_URI,),
            scope="openid",
            purposes=(PURPOSE,),
            metadata=metadata,
        )
        with transaction(small_asking.installation.data) as db, pytest.raises(ClientInvalidError):
            clients.add(db.session, registration, is_loopback_allowed=False, now=small_asking.clock())

    def test_push_is_not_to_be_had(self) -> None:
        with pytest.raises(ValueError, match="backchannel_token_delivery_mode"):
            ClientMetadata.model_validate({"backchannel_token_delivery_mode": "push"})


class TestPinged:
    @pytest.mark.parametrize("decision", ["allow", "deny"])
    def test_it_says_which_request_was_answered_and_no_more(
        self, asking: Asking, listener: Listener, decision: str
    ) -> None:
        auth_req_id = pinged(asking, listener, decision)
        assert work(asking) == 1
        assert listener.came == [("/ciba", f"Bearer {TOKEN}", {"auth_req_id": auth_req_id})]
        assert work(asking) == 0
        answer = asking.poll(auth_req_id)
        assert answer.status_code == 200 if decision == "allow" else refused(answer, "access_denied")

    def test_ping_backchannel_notification_endpoint_response_has_a_body(
        self, small_asking: Asking, listener: Listener
    ) -> None:
        listener.status, listener.body = 200, b'{"surprise": true}'
        pinged(small_asking, listener)
        assert work(small_asking) == 1

    def test_a_client_that_is_away_is_tried_again_while_its_request_lives(
        self, small_asking: Asking, listener: Listener
    ) -> None:
        listener.status = 503
        pinged(small_asking, listener)
        assert work(small_asking) == 0
        assert duty(small_asking).done_at is None
        listener.status = 204
        small_asking.wait(60)
        assert work(small_asking) == 1
        assert len(listener.came) == 2

    def test_after_its_time_there_is_nothing_to_say(self, small_asking: Asking, listener: Listener) -> None:
        pinged(small_asking, listener, requested_expiry=60)
        small_asking.clock.advance(timedelta(seconds=61))
        assert work(small_asking) == 0
        assert listener.came == []
        assert duty(small_asking).done_at is not None

    def test_a_client_that_was_suspended_meanwhile_is_told_nothing(
        self, small_asking: Asking, listener: Listener
    ) -> None:
        auth_req_id = pinged(small_asking, listener)
        with transaction(small_asking.installation.data) as db:
            clients.suspend(db.session, small_asking.insurer.client_id)
        assert work(small_asking) == 0
        assert listener.came == []
        assert refused(small_asking.poll(auth_req_id), "invalid_client")

    def test_poll_before_ping_is_allowed_and_leaves_nothing_to_say(
        self, small_asking: Asking, listener: Listener
    ) -> None:
        register(small_asking, listener)
        auth_req_id = small_asking.asked(client_notification_token=TOKEN)
        assert refused(small_asking.poll(auth_req_id), "authorization_pending")
        small_asking.decide()
        assert small_asking.poll(auth_req_id).status_code == 200
        assert work(small_asking) == 0
        assert listener.came == []

    def test_what_a_ping_needs_is_sealed_and_gone_after_it(self, asking: Asking, listener: Listener) -> None:
        auth_req_id = pinged(asking, listener)
        with asking.installation.data.read() as session:
            sealed = session.exec(select(BackchannelRequest.notification_sealed)).one()
        assert sealed is not None
        assert TOKEN.encode() not in sealed
        assert auth_req_id.encode() not in sealed
        work(asking)
        with asking.installation.data.read() as session:
            assert session.exec(select(BackchannelRequest.notification_sealed)).one() is None
