"""OpenID CIBA with FAPI-CIBA: the request. Cases of the certification's modules bear their names."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from httpx import Response
from sqlmodel import select

from broker.db import transaction
from broker.installation import Installation
from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.client_metadata import ClientMetadata, SecurityProfile, faults_of
from broker.oauth.models import Client, PushedRequest
from broker.oauth.pairwise import pairwise_subject
from broker.setting_sections import LimitsSection
from consent.erasure import erase_subject
from consent.models import Notification
from consent.staff import Staff
from tests.configured import configured
from tests.installation import ISSUER, Clock
from tests.oauth import forging
from tests.oauth.asking import MINUTES, Asking
from tests.oauth.asking import build as build_asking
from tests.oauth.openid_world import add_client
from tests.oauth.openid_world import build as build_world
from tests.oauth.world import LEFT_OUT, Recipient, details, refused
from vault.jose import generate_private_jwk

AT_ONCE = 32
MOST = LimitsSection().asked_per_hour


def is_refused(answer: Response, code: str = "invalid_request") -> bool:
    return refused(answer, code) and "auth_req_id" not in answer.json()


def kept(asking: Asking) -> list[BackchannelRequest]:
    with asking.installation.data.read() as session:
        return list(session.exec(select(BackchannelRequest)))


WRONG_OBJECTS: dict[str, dict[str, Any]] = {
    "ensure-request-object-missing-aud-fails": {"aud": LEFT_OUT},
    "ensure-request-object-bad-aud-fails": {"aud": "https://other.example"},
    "ensure-request-object-missing-iss-fails": {"iss": LEFT_OUT},
    "ensure-request-object-bad-iss-fails": {"iss": "other-app"},
    "ensure-request-object-missing-exp-fails": {"exp": LEFT_OUT},
    "ensure-request-object-missing-iat-fails": {"iat": LEFT_OUT},
    "ensure-request-object-missing-nbf-fails": {"nbf": LEFT_OUT},
    "ensure-request-object-missing-jti-fails": {"jti": LEFT_OUT},
    "jti_no_text": {"jti": 7},
    "client_id_of_another": {"client_id": "other-app"},
    "ensure-authorization-request-with-multiple-hints-fails": {"id_token_hint": "x.y.z"},
    "no hint": {"login_hint": LEFT_OUT},
    "empty hint": {"login_hint": ""},
    "login_hint_token": {"login_hint": LEFT_OUT, "login_hint_token": "x.y.z"},
    "id_token_hint_that_is_none": {"login_hint": LEFT_OUT, "id_token_hint": "x.y.z"},
    "redirect_uri": {"redirect_uri": "https://insurer.example/callback?flow=claim"},
    "response_type": {"response_type": "code"},
    "nested_object": {"request": "x.y.z"},
    "requested_expiry_zero": {"requested_expiry": 0},
    "requested_expiry_negative": {"requested_expiry": -5},
    "requested_expiry_words": {"requested_expiry": "soon"},
    "requested_expiry_list": {"requested_expiry": [30]},
    "binding_message_number": {"binding_message": 1234},
    "hint_with_nul": {"login_hint": "a\0b"},
    "user_code": {"user_code": "1234"},
    "nothing to tell it by": {"binding_message": LEFT_OUT},
    "acr_values": {"acr_values": "a\tb"},
    "deal_invitation": {"deal_invitation": "x"},
}
WRONG_TIMES: dict[str, Callable[[int], dict[str, Any]]] = {
    "ensure-request-object-expired-exp-fails": lambda now: {"nbf": now - 120, "exp": now - 1},
    "ensure-request-object-exp-is-70-minutes-in-future-fails": lambda now: {"exp": now + 70 * MINUTES},
    "ensure-request-object-nbf-is-10-minutes-in-future-fails": lambda now: {
        "nbf": now + 10 * MINUTES,
        "exp": now + 20 * MINUTES,
    },
    "ensure-request-object-nbf-is-70-minutes-in-past-fails": lambda now: {"nbf": now - 70 * MINUTES},
    "iat_70_minutes_past": lambda now: {"iat": now - 70 * MINUTES},
    "iat_10_minutes_ahead": lambda now: {"iat": now + 10 * MINUTES},
}


class TestTheObject:
    def test_fapi_ciba_ensure_request_object_fails(self, small_asking: Asking) -> None:
        now = small_asking.insurer.seconds
        cases = WRONG_OBJECTS | {case: changes(now) for case, changes in WRONG_TIMES.items()}
        taken = [case for case, changes in cases.items() if not is_refused(small_asking.ask(**changes))]
        assert taken == []
        assert kept(small_asking) == []

    def test_ensure_request_object_signature_algorithm_and_signature(self, small_asking: Asking) -> None:
        """Modules signature-algorithm-is-none, -is-rs256, -is-bad."""
        assert is_refused(small_asking.send(forging.unsigned(small_asking.signed())))
        raw_object = forging.with_header(small_asking.signed(), {"alg": "RS256"})
        assert is_refused(small_asking.send(raw_object))
        head, payload, signature = small_asking.signed().split(".")
        flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
        assert is_refused(small_asking.send(f"{head}.{payload}.{flipped}"))

    def test_ensure_request_object_signed_by_other_client_fails(self, small_asking: Asking) -> None:
        stranger = small_asking.world.stranger
        assert is_refused(small_asking.send(small_asking.signed(stranger)))
        assert is_refused(small_asking.ask(key=stranger.key | {"kid": small_asking.insurer.key["kid"]}))
        other = generate_private_jwk("ES256")
        assert is_refused(small_asking.ask(key=other))

    def test_an_algorithm_that_is_not_the_registered_one_is_refused(self, small_asking: Asking) -> None:
        small_asking.metadata(
            backchannel_token_delivery_mode="poll",
            backchannel_authentication_request_signing_alg="PS256",
        )
        assert is_refused(small_asking.ask())

    def test_ensure_unsigned_request_fails(self, small_asking: Asking) -> None:
        form = {"scope": "openid", "login_hint": small_asking.sub}
        insurer = small_asking.insurer
        assert is_refused(insurer.post("/bc-authorize", insurer.authentication() | form))

    def test_nothing_of_the_request_stands_beside_the_object(self, small_asking: Asking) -> None:
        raw_object = small_asking.signed(login_hint=LEFT_OUT)
        assert is_refused(small_asking.send(raw_object, login_hint=small_asking.sub))
        for name in ("authorization_details", "claims", "resource", "request_uri", "requested_expiry"):
            assert is_refused(small_asking.send(small_asking.signed(), **{name: "x"}))
        beside = {"client_id": small_asking.insurer.client_id, "unknown": "x"}
        assert small_asking.send(small_asking.signed(), **beside).status_code == 200

    def test_an_object_is_good_once(self, asking: Asking) -> None:
        raw_object = asking.signed()
        assert asking.send(raw_object).status_code == 200
        assert is_refused(asking.send(raw_object))
        assert len(kept(asking)) == 1

    def test_an_object_for_here_is_none_for_par(self, small_asking: Asking) -> None:
        insurer = small_asking.insurer
        form = insurer.authentication() | {"request": small_asking.signed()}
        assert refused(insurer.post("/par", form), "invalid_request_object")

    def test_a_client_that_proves_nothing_is_refused(self, small_asking: Asking) -> None:
        answer = small_asking.insurer.post("/bc-authorize", {"request": small_asking.signed()})
        assert answer.status_code == 401
        assert refused(answer, "invalid_client")

    def test_a_client_that_is_not_registered_for_it_is_refused(self, small_asking: Asking) -> None:
        small_asking.metadata()
        assert is_refused(small_asking.ask(), "unauthorized_client")
        assert is_refused(small_asking.poll("mdb_x"), "unauthorized_client")

    def test_a_client_of_plain_openid_connect_is_never_registered_for_it(self) -> None:
        metadata = ClientMetadata(backchannel_token_delivery_mode="poll")
        wrong = dict(faults_of(metadata, SecurityProfile.OIDC))
        assert "backchannel_token_delivery_mode" in wrong
        assert "backchannel_token_delivery_mode" not in dict(faults_of(metadata))

    def test_a_row_of_such_a_client_asks_nobody(
        self, sqlite_installation: Installation, clock: Clock
    ) -> None:
        """One that registering would have refused."""
        for world in build_world(configured(sqlite_installation, "oauth", oidc_clients=True), clock):
            for asking in build_asking(world):
                with asking.installation.data.write() as session:
                    session.get_one(Client, asking.insurer.client_id).security_profile = "oidc"
                assert is_refused(asking.ask(), "unauthorized_client")
                assert is_refused(asking.poll("mdb_x"), "unauthorized_client")


class TestThePerson:
    def test_made_up_foreign_and_erased_are_one_answer(self, small_asking: Asking) -> None:
        made_up = small_asking.ask(login_hint="a" * 43)
        umlaut = small_asking.ask(login_hint="가나다")
        never_told = small_asking.ask(small_asking.world.stranger, login_hint=small_asking.sub)
        assert is_refused(made_up, "unknown_user_id")
        assert made_up.json() == umlaut.json() == never_told.json()

    def test_somebody_who_is_here_but_never_came_is_as_unknown(self, small_asking: Asking) -> None:
        keyring = small_asking.installation.keyring
        sub = pairwise_subject(keyring, "insurer", small_asking.world.other_subject_id)
        assert is_refused(small_asking.ask(login_hint=sub), "unknown_user_id")

    def test_an_id_token_of_the_client_names_them_too(self, small_asking: Asking) -> None:
        assert small_asking.ask(login_hint=LEFT_OUT, id_token_hint=small_asking.id_token).status_code == 200

    def test_an_id_token_of_another_client_names_nobody(self, small_asking: Asking) -> None:
        hint = {"login_hint": LEFT_OUT, "id_token_hint": small_asking.id_token}
        assert is_refused(small_asking.ask(small_asking.world.stranger, **hint))

    def test_somebody_who_was_erased_is_as_unknown(self, small_asking: Asking) -> None:
        """Consents and tokens of theirs are still there, as proof."""
        small_asking.asked_records()
        small_asking.decide(room="consent")
        staff = Staff("operator", "their wish")
        with transaction(small_asking.installation.data) as work:
            keyring, now = small_asking.installation.keyring, small_asking.clock()
            erase_subject(work, keyring, small_asking.world.subject_id, staff, now)
        made_up = small_asking.ask(login_hint="a" * 43)
        by_token = small_asking.ask(login_hint=LEFT_OUT, id_token_hint=small_asking.id_token)
        assert is_refused(made_up, "unknown_user_id")
        assert small_asking.ask().json() == made_up.json() == by_token.json()


def too_often(answer: Response) -> bool:
    return (answer.status_code, answer.json()["error"]) == (403, "access_denied")


class TestThePace:
    def test_nobody_is_worn_down_by_asking(self, small_asking: Asking) -> None:
        """Neither by many that wait, nor by many that are soon over, nor by asking again after a no."""
        small_asking.asked()
        small_asking.decide("deny")
        for _ in range(MOST - 1):
            small_asking.asked(requested_expiry=1)
            small_asking.wait(2)
        assert too_often(small_asking.ask())
        with small_asking.installation.data.read() as session:
            assert len(session.exec(select(Notification)).all()) <= MOST
        small_asking.wait(3600)
        assert small_asking.ask().status_code == 200

    def test_what_was_allowed_does_not_count(self, small_asking: Asking) -> None:
        small_asking.asked()
        small_asking.decide()
        for _ in range(MOST):
            small_asking.asked()
        assert too_often(small_asking.ask())

    def test_all_clients_of_an_organisation_count_together(self, small_asking: Asking) -> None:
        insurer = small_asking.insurer
        sister = Recipient(insurer.http, insurer.clock, "insurer-sister", insurer.redirect_uri)
        way = ClientMetadata(backchannel_token_delivery_mode="poll")
        with transaction(small_asking.installation.data) as work:
            add_client(work.session, sister, "insurer", insurer.clock, way)
        for number in range(MOST):
            asker = (insurer, sister)[number % 2]
            assert small_asking.ask(asker).status_code == 200
        assert too_often(small_asking.ask())
        assert too_often(small_asking.ask(sister))

    def test_of_many_at_once_no_more_get_through(self, asking: Asking) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda _: asking.ask(), range(AT_ONCE)))
        assert sorted(answer.status_code for answer in answers) == [200] * MOST + [403] * (AT_ONCE - MOST)


class TestTheParameters:
    def test_a_message_that_cannot_be_shown_is_refused(self, small_asking: Asking) -> None:
        for message in ("a" * 65, "줄\n바꿈", "\u202egnp.exe", "a\tb"):
            assert is_refused(small_asking.ask(binding_message=message), "invalid_binding_message")

    def test_fapi_ciba_requested_expiry(self, small_asking: Asking) -> None:
        for asked, told in ((30, 30), ("30", 30), (10**8, 3600), (LEFT_OUT, 3600)):
            answer = small_asking.ask(requested_expiry=asked).json()
            assert (answer["expires_in"], answer["interval"]) == (told, 5)

    def test_scope_and_details_are_checked_as_at_par(self, small_asking: Asking) -> None:
        assert is_refused(small_asking.ask(scope="deliveries"), "invalid_scope")
        records = {"scope": "records.read"}
        assert is_refused(small_asking.ask(**records), "invalid_authorization_details")
        wrong = {"authorization_details": [details(purpose="other.purpose")]}
        assert is_refused(small_asking.ask(**records, **wrong), "invalid_authorization_details")
        change = {"grant_management_action": "replace", "grant_id": "no-such-grant"}
        good = {"authorization_details": [details()]}
        assert is_refused(small_asking.ask(**records, **good, **change), "invalid_grant_id")

    def test_a_token_for_elsewhere_is_not_asked_for(self, small_asking: Asking) -> None:
        """RFC 8707 section 2."""
        elsewhere = "https://elsewhere.example/"
        assert is_refused(small_asking.ask(resource=elsewhere), "invalid_target")
        assert is_refused(small_asking.ask(resource=[ISSUER, elsewhere]), "invalid_target")
        assert small_asking.ask(resource=ISSUER).status_code == 200

    def test_how_to_sign_in_is_a_wish(self, small_asking: Asking) -> None:
        auth_req_id = small_asking.asked(acr_values="urn:example:face urn:mydata:acr:1fa")
        small_asking.decide()
        tokens = small_asking.poll(auth_req_id).json()
        assert small_asking.world.claims(tokens)["acr"] == "urn:mydata:acr:1fa"

    def test_the_id_is_random_and_only_its_hash_is_kept(self, asking: Asking) -> None:
        message = "Hanbit asks for the bill of Monday"  # so long that no random bytes hold it by chance
        first, second = (asking.asked(binding_message=message) for _ in range(2))
        assert first != second
        assert len(first) >= 43  # 256 bits
        rows = kept(asking)
        assert all(first.encode() not in row.auth_req_hash for row in rows)
        assert all(row.notification_sealed is None for row in rows)
        with asking.installation.data.read() as session:
            requests = session.exec(select(PushedRequest).where(PushedRequest.redirect_uri == "")).all()
        assert len(requests) == 2
        assert all(message.encode() not in (request.kept_sealed or b"") for request in requests)

    def test_the_answer_is_not_kept_by_caches(self, small_asking: Asking) -> None:
        assert small_asking.ask().headers["Cache-Control"] == "no-store"
