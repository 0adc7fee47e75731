"""Introspection answers as signed tokens: who gets one, what is in it, and for whom it is (RFC 9701)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import text

from broker.installation import Installation
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.introspection_response import MEDIA_TYPE, sign, signs_always, wants_signed
from broker.service_keys import OAUTH_KEY
from tests.configured import configured
from tests.installation import ISSUER, Clock
from tests.oauth.conftest import made, run_lane
from tests.oauth.message_signing import read_signed, register
from tests.oauth.world import Recipient, World, refused
from vault.errors import UntrustedTokenError

JSON = "application/json"
TYP = "token-introspection+jwt"


def ask(client: Recipient, token: str, accept: str | None = MEDIA_TYPE, **changes: object) -> Response:
    form = client.authentication() | {"token": token} | changes
    headers = {} if accept is None else {"Accept": accept}
    return client.http.post("/introspect", data=form, headers=headers)


def told(world: World, answer: Response) -> dict[str, Any]:
    """The claims of a signed answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert answer.headers["Cache-Control"] == "no-store"
    header, claims = read_signed(world, answer.text, TYP)
    assert (header["typ"], header["alg"]) == (TYP, "ES256")
    return claims


# What is refused


def test_who_does_not_authenticate_gets_400(small_lane_world: World) -> None:
    """Section 5: an introspection request that does not authenticate the caller is answered with 400."""
    token = small_lane_world.tokens()["access_token"]
    insurer = small_lane_world.insurer
    for answer in (
        insurer.http.post("/introspect", data={"token": token}, headers={"Accept": MEDIA_TYPE}),
        ask(insurer, token, client_assertion=insurer.assertion(aud="https://other.example")),
    ):
        assert refused(answer, "invalid_client")
        assert answer.status_code == 400
    assert insurer.http.post("/introspect", data={"token": token}).status_code == 401


def test_an_assertion_is_good_once(lane_world: World) -> None:
    form = {"client_assertion": lane_world.insurer.assertion()}
    assert told(lane_world, ask(lane_world.insurer, "mda_x", **form))
    assert refused(ask(lane_world.insurer, "mda_x", **form), "invalid_client")


def test_without_a_key_nothing_is_answered_unsigned(lane_world: World) -> None:
    token = lane_world.tokens()["access_token"]
    with lane_world.installation.keyring_database.write() as session:
        session.connection().execute(text("DELETE FROM service_key WHERE name = :name"), {"name": OAUTH_KEY})
    with pytest.raises(ValueError, match="unpack"):  # answered with 500 by the app's outermost layer
        ask(lane_world.insurer, token)
    assert ask(lane_world.insurer, token, JSON).json()["active"] is True


# What is not told


def test_an_inactive_token_is_that_and_nothing_else(lane_world: World) -> None:
    tokens = lane_world.tokens()
    lane_world.withdraw(tokens["grant_id"])
    for client, token in (
        (lane_world.insurer, tokens["access_token"]),
        (lane_world.insurer, "mda_unknown"),
        (lane_world.stranger, tokens["refresh_token"]),
    ):
        claims = told(lane_world, ask(client, token))
        assert claims == {
            "iss": ISSUER,
            "aud": client.client_id,
            "iat": client.seconds,
            "token_introspection": {"active": False},
        }


# What is told


def test_the_answer_is_the_plain_one_in_a_token_for_who_asked(lane_world: World) -> None:
    tokens = lane_world.tokens()
    for name in ("access_token", "refresh_token"):
        claims = told(lane_world, ask(lane_world.insurer, tokens[name]))
        assert set(claims) == {"iss", "aud", "iat", "token_introspection"}  # neither sub nor exp beside it
        assert (claims["iss"], claims["aud"]) == (ISSUER, "insurer-claims")
        plain = ask(lane_world.insurer, tokens[name], JSON).json()
        assert claims["token_introspection"] == plain
        assert plain["active"] is True


def test_it_is_no_access_token_and_no_authorization_response(lane_world: World) -> None:
    answer = ask(lane_world.insurer, lane_world.tokens()["access_token"])
    for typ in ("at+jwt", "jwt"):
        with pytest.raises(UntrustedTokenError):
            read_signed(lane_world, answer.text, typ)


@pytest.mark.parametrize("profile", [SecurityProfile.FAPI2, SecurityProfile.FAPI2_MESSAGE_SIGNING])
@pytest.mark.parametrize("accept", [None, "*/*", JSON, f"{JSON}, {MEDIA_TYPE};q=0", "text/html", MEDIA_TYPE])
def test_a_client_that_registered_it_is_always_answered_so(
    small_lane_world: World, profile: SecurityProfile, accept: str | None
) -> None:
    insurer = small_lane_world.insurer
    register(small_lane_world, insurer, profile, introspection_signed_response_alg="ES256")
    claims = told(small_lane_world, ask(insurer, "mda_x", accept))
    assert claims["token_introspection"] == {"active": False}


@pytest.mark.parametrize("is_served", [True, False])
def test_a_plain_client_is_answered_where_such_are_served(
    sqlite_installation: Installation, clock: Clock, *, is_served: bool
) -> None:
    installation = configured(sqlite_installation, "oauth", oidc_clients=is_served)
    for world in made(installation, clock, lifespan=run_lane):
        register(world, world.insurer, SecurityProfile.OIDC, introspection_signed_response_alg="ES256")
        answer = ask(world.insurer, "mda_x", MEDIA_TYPE)
        if is_served:
            assert told(world, answer)["token_introspection"] == {"active": False}
        else:
            assert refused(answer, "invalid_client")


def test_on_both_databases_the_metadata_decide(lane_world: World) -> None:
    register(lane_world, lane_world.insurer, introspection_signed_response_alg="ES256")
    assert told(lane_world, ask(lane_world.insurer, "mda_x", None))["aud"] == "insurer-claims"
    assert ask(lane_world.stranger, "mda_x", None).json() == {"active": False}


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/*", JSON, "text/html", f"{MEDIA_TYPE};q=0", "", "x" * 99]
)
def test_everybody_else_is_answered_plainly(small_lane_world: World, accept: str | None) -> None:
    answer = ask(small_lane_world.insurer, "mda_x", accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
    assert answer.json() == {"active": False}


@pytest.mark.parametrize(
    ("accepted", "is_signed"),
    [
        ([], False),
        ([""], False),
        ([JSON], False),
        (["*/*"], False),
        (["application/*"], False),
        ([MEDIA_TYPE], True),
        ([MEDIA_TYPE.upper()], True),
        ([f"{MEDIA_TYPE}, {JSON}"], True),
        ([f"{JSON}, {MEDIA_TYPE}"], True),
        ([JSON, MEDIA_TYPE], True),
        ([f"{MEDIA_TYPE}, */*"], True),
        ([f"{MEDIA_TYPE};q=0.5, */*;q=0.1"], True),
        ([f"{MEDIA_TYPE};q=0.5, */*"], False),
        ([f"{MEDIA_TYPE};q=0.5, {JSON};q=0.4, */*"], True),
        ([f"{MEDIA_TYPE};q=0.5, application/*;q=0.9, */*;q=0.1"], False),
        ([f"{MEDIA_TYPE};q=0.5, {JSON}"], False),
        ([f"{MEDIA_TYPE} ; Q=0.9 , {JSON};q=0.8"], True),
        ([f"{MEDIA_TYPE};q=0"], False),
        ([f"{MEDIA_TYPE};q=0.000, */*"], False),
        ([f"{MEDIA_TYPE};q=0.001"], True),
        ([f"{MEDIA_TYPE};q=nothing"], True),
        ([f"{MEDIA_TYPE};q=-1"], True),
        ([f"{MEDIA_TYPE};q=nan"], True),
        ([f"{MEDIA_TYPE};charset=utf-8"], True),
        ([f"{MEDIA_TYPE}x"], False),
        ([f"text/{TYP}"], False),
        ([TYP], False),
        ([f",,{MEDIA_TYPE},"], True),
    ],
)
def test_what_an_accept_header_asks_for(accepted: Sequence[str], *, is_signed: bool) -> None:
    assert wants_signed(accepted) is is_signed


@pytest.mark.parametrize(
    ("raw", "is_signed"),
    [
        ("{}", False),
        ('{"introspection_signed_response_alg":"ES256"}', True),
        ('{"introspection_signed_response_alg":null}', False),
        ('{"tls_client_auth_subject_dn":"CN=introspection_signed_response_alg"}', False),
    ],
)
def test_what_metadata_say(raw: str, *, is_signed: bool) -> None:
    assert signs_always(raw) is is_signed


def test_the_metadata_name_it(small_lane_world: World) -> None:
    document = small_lane_world.http.get("/.well-known/oauth-authorization-server").json()
    assert document["introspection_signing_alg_values_supported"] == ["ES256"]


def test_a_member_of_the_answer_does_not_become_a_claim(small_world: World) -> None:
    (key, *_) = small_world.installation.keyring.service_keys(OAUTH_KEY)
    members = {"active": True, "iss": "x", "aud": "y", "sub": "z", "exp": 1}
    token = sign(members, issuer=ISSUER, client_id="insurer-claims", key=key, now=small_world.clock())
    _, claims = read_signed(small_world, token, TYP)
    assert claims["token_introspection"] == members
    assert (claims["iss"], claims["aud"]) == (ISSUER, "insurer-claims")


def test_everybody_in_a_batch_gets_their_own_form(lane_world: World) -> None:
    """Signed and plain, of two clients, good and bad ones, at the same moment."""
    insurer, stranger = lane_world.insurer, lane_world.stranger
    token = lane_world.tokens()["access_token"]
    wanted: list[tuple[Recipient, str, dict[str, str]]] = []
    for _ in range(6):
        wanted += [
            (insurer, MEDIA_TYPE, insurer.authentication()),
            (insurer, JSON, insurer.authentication()),
            (stranger, MEDIA_TYPE, stranger.authentication()),
            (insurer, MEDIA_TYPE, insurer.authentication(insurer.assertion(aud="https://other.example"))),
        ]

    def send(one: tuple[Recipient, str, dict[str, str]]) -> Response:
        client, accept, form = one
        return client.http.post("/introspect", data=form | {"token": token}, headers={"Accept": accept})

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(send, wanted))
    for place, answer in enumerate(answers):
        if place % 4 == 1:
            assert answer.json()["active"] is True
        elif place % 4 == 3:
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
        else:
            claims = told(lane_world, answer)
            assert claims["aud"] == wanted[place][0].client_id
            assert claims["token_introspection"]["active"] is (place % 4 == 0)
