"""RFC 7591, dynamic client registration: by invitation only, within it, and never more often than it says."""

import json
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlmodel import select

from broker.db import transaction
from broker.oauth import invitations
from broker.oauth.ciba import GRANT_TYPE as CIBA
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.errors import ClientInvalidError
from broker.oauth.models import Client
from broker.oauth.registration_models import ClientInvitation, ManagedClient
from consent import organisations
from tests.installation import ISSUER
from tests.oauth.registering import REDIRECT_URI, Newcomer, bearer, invited
from tests.oauth.world import LEFT_OUT, PURPOSE, World, refused
from vault.jose import generate_private_jwk, public_jwk

MANY = 100


def clients_of(world: World) -> list[str]:
    with world.installation.data.read() as session:
        return sorted(row.client_id for row in session.exec(select(Client)))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer mdi_unknown"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": "Basic Zm9vOmJhcg=="},
        {"Authorization": "DPoP mdi_unknown"},
    ],
)
def test_nobody_registers_without_an_invitation(small_world: World, headers: dict[str, str]) -> None:
    before = clients_of(small_world)
    answer = small_world.http.post("/register", json=Newcomer(small_world).metadata(), headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Cache-Control"] == "no-store"
    assert clients_of(small_world) == before


def test_without_a_token_the_challenge_names_no_error(small_world: World) -> None:
    """RFC 6750 section 3.1."""
    assert small_world.http.post("/register", json={}).headers["WWW-Authenticate"] == "Bearer"


def test_a_stranger_is_told_nothing_about_a_body(small_world: World) -> None:
    for content in (b"{", b"[]", b"\xff", b'{"a": 1, "a": 2}'):
        headers = bearer("mdi_x") | {"Content-Type": "application/json"}
        assert small_world.http.post("/register", content=content, headers=headers).status_code == 401


def test_an_invitation_ends_by_time_by_use_and_by_the_operators_word(world: World) -> None:
    used, expired, taken_back = (invited(world) for _ in range(3))
    newcomer = Newcomer(world)
    with transaction(world.installation.data) as work:
        invitations.take_back(work.session, taken_back.invitation_id)
    assert newcomer.register(used.raw_token).status_code == 201
    assert newcomer.register(used.raw_token).status_code == 401
    assert newcomer.register(taken_back.raw_token).status_code == 401
    world.clock.now += timedelta(days=7)
    assert newcomer.register(expired.raw_token).status_code == 401


def test_an_invitation_of_a_suspended_organisation_opens_nothing(world: World) -> None:
    invitation = invited(world)
    with transaction(world.installation.data) as work:
        organisations.suspend(work.session, "insurer")
    assert Newcomer(world).register(invitation.raw_token).status_code == 401


def test_one_of_a_hundred_uses_an_invitation_for_one(world: World) -> None:
    invitation, before = invited(world), clients_of(world)
    barrier = Barrier(8)

    def register(number: int) -> int:
        if number < 8:
            barrier.wait()
        return Newcomer(world, key).register(invitation.raw_token).status_code

    key = generate_private_jwk("ES256")
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(register, range(MANY)))
    assert statuses == [201] + [401] * (MANY - 1)
    assert len(clients_of(world)) == len(before) + 1


def test_a_refused_registration_uses_nothing_up(world: World) -> None:
    invitation = invited(world)
    newcomer = Newcomer(world)
    assert refused(newcomer.register(invitation.raw_token, jwks={"keys": []}), "invalid_client_metadata")
    assert newcomer.register(invitation.raw_token).status_code == 201


PRIVATE = {"keys": [generate_private_jwk("ES256")]}
SMALL = {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k"}]}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"client_name": LEFT_OUT}, "client_name"),
    "an empty name": ({"client_name": ""}, "client_name"),
    "a name that turns the text round": ({"client_name": "a\u202eb"}, "client_name"),
    "a name that is a number": ({"client_name": 7}, "client_name"),
    "no keys": ({"jwks": LEFT_OUT}, "jwks"),
    "an empty key set": ({"jwks": {"keys": []}}, "jwks.keys"),
    "a private key": ({"jwks": PRIVATE}, "jwks.keys.0"),
    "a shared secret": ({"jwks": SMALL}, "jwks.keys.0"),
    "a key set that is too large": ({"jwks": {"keys": [], "x": "y" * 40_000}}, "jwks"),
    "keys to fetch": ({"jwks_uri": "https://new.example/jwks"}, "jwks_uri"),
    "keys to fetch instead": ({"jwks": LEFT_OUT, "jwks_uri": "https://10.0.0.1/"}, "jwks_uri"),
    "a software statement": ({"software_statement": "e30.e30."}, "software_statement"),
    "a secret": ({"client_secret": "mine"}, "client_secret"),
    "authentication by secret": ({"token_endpoint_auth_method": "client_secret_basic"}, "token_endpoint"),
    "no authentication": ({"token_endpoint_auth_method": "none"}, "token_endpoint_auth_method"),
    "a certificate where none is taken": (
        {"token_endpoint_auth_method": "self_signed_tls_client_auth"},
        "token_endpoint_auth_method",
    ),
    "a scope that was not invited": ({"scope": "records.read obligations"}, "scope"),
    "a scope that nobody has": ({"scope": "everything"}, "scope"),
    "a scope that is none": ({"scope": ["records.read"]}, "scope"),
    "a purpose that was not invited": ({"mydata_purposes": [PURPOSE, "loan.check"]}, "mydata_purposes"),
    "no purpose for records": ({"mydata_purposes": []}, "scope"),
    "no address for records": ({"redirect_uris": LEFT_OUT}, "scope"),
    "a grant of another kind": ({"grant_types": ["implicit"]}, "grant_types"),
    "an answer of another kind": ({"response_types": ["token"]}, "response_types"),
    "details of another kind": ({"authorization_details_types": ["payment"]}, "authorization_details_types"),
    "details without records": (
        {"scope": "deliveries", "authorization_details_types": ["mydata_consent"]},
        "authorization_details_types",
    ),
    "asking without a browser by no way": ({"grant_types": [CIBA]}, "grant_types"),
    "tokens that are pushed": (
        {"backchannel_token_delivery_mode": "push"},
        "backchannel_token_delivery_mode",
    ),
    "pings to an inner net": (
        {
            "backchannel_token_delivery_mode": "ping",
            "backchannel_client_notification_endpoint": "https://10.0.0.7/",
        },
        "backchannel_client_notification_endpoint",
    ),
    "pings to nowhere": (
        {"backchannel_token_delivery_mode": "ping"},
        "backchannel_client_notification_endpoint",
    ),
    "logout at the cloud's own": (
        {"backchannel_logout_uri": "https://169.254.169.254/"},
        "backchannel_logout_uri",
    ),
    "an algorithm that is none": ({"request_object_signing_alg": "none"}, "request_object_signing_alg"),
    "an answer signed weakly": ({"authorization_signed_response_alg": "RS256"}, "authorization_signed"),
    "an answer signed by PS256": ({"authorization_signed_response_alg": "PS256"}, "authorization_signed"),
    "introspection signed by PS256": (
        {"introspection_signed_response_alg": "PS256"},
        "introspection_signed_response_alg",
    ),
    "an ID token by PS256": ({"id_token_signed_response_alg": "PS256"}, "id_token_signed_response_alg"),
}


@pytest.mark.parametrize("name", WRONG)
def test_metadata_that_break_a_rule_are_refused_with_the_member(small_world: World, name: str) -> None:
    changes, member = WRONG[name]
    before = clients_of(small_world)
    answer = Newcomer(small_world).register(invited(small_world).raw_token, **changes)
    assert refused(answer, "invalid_client_metadata"), answer.text
    assert member in answer.json()["error_description"]
    assert clients_of(small_world) == before


@pytest.mark.parametrize(
    "uris",
    [
        ["http://new.example/callback"],
        ["https://new.example/callback#part"],
        ["https://user@new.example/callback"],
        ["http://localhost/callback"],
        ["javascript:alert(1)"],
        ["com.example.app:/callback"],
        [REDIRECT_URI, "not an address"],
        REDIRECT_URI,
        [7],
        [f"https://new.example/{number}" for number in range(51)],
    ],
)
def test_an_address_that_breaks_a_rule_is_invalid_redirect_uri(small_world: World, uris: object) -> None:
    answer = Newcomer(small_world).register(invited(small_world).raw_token, redirect_uris=uris)
    assert refused(answer, "invalid_redirect_uri"), answer.text


def test_no_value_is_repeated_and_every_fault_is_named(small_world: World) -> None:
    secret = "김하늘-850101"
    answer = Newcomer(small_world).register(
        invited(small_world).raw_token,
        scope=secret,
        mydata_purposes=[secret],
        grant_types=[secret],
        client_name=secret + "\u202e",
    )
    description = answer.json()["error_description"]
    assert {"scope", "mydata_purposes", "grant_types", "client_name"} <= set(
        description.replace(":", "").split()
    )
    assert "850101" not in answer.text
    assert description.isascii()


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"client_name": "a", "client_name": "b"}', "application/json", 400),
        (b'{"client_name": "\xff"}', "application/json", 400),
        (b'{"x": ' + b"[" * 500 + b"]" * 500 + b"}", "application/json", 400),
        (b'{"client_name": "a"}', "text/plain", 415),
        (b"client_name=a", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    small_world: World, content: bytes, media_type: str, status: int
) -> None:
    headers = bearer(invited(small_world).raw_token) | {"Content-Type": media_type}
    answer = small_world.http.post("/register", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"] in {"invalid_request", "invalid_client_metadata"}


def test_the_answer_says_all_that_is_registered(world: World) -> None:
    newcomer = Newcomer(world)
    told = newcomer.registered(grant_types=["authorization_code"], contacts=["a@new.example"], tos_uri=None)
    assert re.fullmatch(r"[0-9a-f]{32}", told["client_id"])
    assert told == {
        "client_id": told["client_id"],
        "client_id_issued_at": int(world.clock().timestamp()),
        "registration_access_token": told["registration_access_token"],
        "registration_client_uri": f"{ISSUER}/register/{told['client_id']}",
        "client_name": "Claims of tomorrow",
        "jwks": {"keys": [public_jwk(newcomer.key)]},
        "redirect_uris": [REDIRECT_URI],
        "scope": "deliveries records.read",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "authorization_details_types": ["mydata_consent"],
        "mydata_purposes": [PURPOSE],
        "mydata_security_profile": "fapi2",
        **{name: told[name] for name in ClientMetadata.model_fields if name in told},
    }
    assert told["token_endpoint_auth_method"] == "private_key_jwt"
    assert "contacts" not in told, "what nobody acts on is ignored (RFC 7591 section 2)"


def test_a_client_registers_to_ask_without_a_browser(small_world: World) -> None:
    newcomer = Newcomer(small_world)
    told = newcomer.registered(backchannel_token_delivery_mode="poll", grant_types=["refresh_token", CIBA])
    assert told["grant_types"] == ["authorization_code", "refresh_token", "client_credentials", CIBA]
    assert told["backchannel_token_delivery_mode"] == "poll"
    client = newcomer.recipient(told["client_id"])
    unsigned = client.post("/bc-authorize", client.authentication() | {"scope": "records.read"})
    assert refused(unsigned, "invalid_request"), "it is registered, and must sign"
    assert CIBA not in newcomer.registered()["grant_types"]


def test_who_only_asks_without_a_browser_needs_no_address_to_go_back_to(small_world: World) -> None:
    way = {"backchannel_token_delivery_mode": "poll", "grant_types": [CIBA], "response_types": []}
    told = Newcomer(small_world).registered(redirect_uris=LEFT_OUT, **way)
    assert (told["redirect_uris"], told["response_types"]) == ([], [])
    assert told["grant_types"] == ["refresh_token", "client_credentials", CIBA]


def test_the_answer_is_kept_by_nobody(small_world: World) -> None:
    answer = Newcomer(small_world).register(invited(small_world).raw_token)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"


def test_a_client_that_registered_itself_works_as_any_other(world: World) -> None:
    newcomer = Newcomer(world)
    client = newcomer.recipient(newcomer.registered()["client_id"])
    assert client.push().status_code == 201
    assert client.own_token(scope="deliveries").status_code == 200
    assert refused(client.own_token(scope="obligations"), "invalid_scope")


def test_the_profile_is_the_invitations_whatever_is_asked(small_world: World) -> None:
    invitation = invited(small_world, security_profile="fapi2_message_signing")
    newcomer = Newcomer(small_world)
    asked = {"mydata_security_profile": "fapi2", "security_profile": "fapi2"}
    told = newcomer.register(invitation.raw_token, **asked).json()
    assert told["mydata_security_profile"] == "fapi2_message_signing"
    assert newcomer.recipient(told["client_id"]).push().status_code == 400, "only signed requests"


def test_an_invitation_for_several_serves_so_many(small_world: World) -> None:
    invitation = invited(small_world, uses=3)
    told = [Newcomer(small_world).register(invitation.raw_token) for _ in range(4)]
    assert [answer.status_code for answer in told] == [201, 201, 201, 401]
    assert len({answer.json()["client_id"] for answer in told[:3]}) == 3


def test_of_both_tokens_only_the_hash_is_kept(small_world: World) -> None:
    invitation = invited(small_world)
    told = Newcomer(small_world).register(invitation.raw_token).json()
    path = small_world.installation.data.path
    with sqlite3.connect(path) as database:
        dump = "\n".join(database.iterdump())
    assert invitation.invitation_id in dump
    for raw_token in (invitation.raw_token, told["registration_access_token"]):
        assert len(raw_token) == len("mdi_") + 43  # 256 bits
        assert raw_token not in dump
        assert raw_token[4:] not in dump


def test_who_came_by_which_invitation_is_known(world: World) -> None:
    invitation = invited(world)
    told = Newcomer(world).register(invitation.raw_token).json()
    with world.installation.data.read() as session:
        assert invitations.invitation_of(session, told["client_id"]) == invitation.invitation_id
        assert invitations.invitation_of(session, world.insurer.client_id) is None
        assert session.get_one(ClientInvitation, invitation.invitation_id).uses_left == 0
        assert session.get_one(ManagedClient, told["client_id"]).deleted_at is None


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"organisation_id": "nobody"}, "organisation_id"),
        ({"scope": ""}, "scope"),
        ({"scope": "everything"}, "scope"),
        ({"scope": "holders.records"}, "scope"),
        ({"purposes": ()}, "scope"),
        ({"organisation_id": "hospital"}, "scope"),
        ({"security_profile": "oidc", "scope": "openid", "purposes": ()}, "security_profile"),
        ({"security_profile": "oidc", "scope": "ssf", "purposes": ()}, "security_profile"),
    ],
)
def test_an_invitation_that_could_not_be_used_is_not_made(
    small_world: World, changes: dict[str, Any], member: str
) -> None:
    with pytest.raises(ClientInvalidError) as refusal:
        invited(small_world, **changes)
    assert member in dict(refusal.value.faults)


def test_the_metadata_of_the_server_name_the_endpoint(small_world: World) -> None:
    for name in ("oauth-authorization-server", "openid-configuration"):
        told = json.loads(small_world.http.get(f"/.well-known/{name}").text)
        assert told["registration_endpoint"] == f"{ISSUER}/register"
