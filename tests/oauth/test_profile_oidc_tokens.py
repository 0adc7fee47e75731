"""Tokens of the profile `oidc`: how its clients prove themselves, and what its tokens open: /userinfo."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from httpx import Response

from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.errors import UnknownClientError
from broker.oauth.models import Client, Token
from broker.oauth.tokens import hash_of
from tests.installation import ISSUER, Clock
from tests.oauth.plain_world import BASIC, POST, PlainClient, PlainWorld, added, build_plain, registration
from tests.oauth.world import VERIFIER, Recipient, access_token_hash, refused
from vault.jose import generate_private_jwk, public_jwk, verify_jwt


@pytest.fixture
def plain(sqlite_installation: Installation, clock: Clock) -> Iterator[PlainWorld]:
    for world in build_plain(sqlite_installation, clock):
        world.openid.sign_in()
        yield world


@pytest.fixture
def plain_on_each(installation: Installation, clock: Clock) -> Iterator[PlainWorld]:
    for world in build_plain(installation, clock):
        world.openid.sign_in()
        yield world


def bearing(world: PlainWorld, token: str, method: str = "GET", path: str = "/userinfo") -> Response:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "one"}
    return world.plain.http.request(method, path, headers=headers)


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def test_a_client_that_does_not_prove_itself_gets_nothing(plain: PlainWorld) -> None:
    http, client = plain.plain.http, plain.plain
    code = plain.code()
    for wrong in ("", "x", client.raw_secret[:-1], client.raw_secret + "x", plain.posting.raw_secret):
        answer = client.redeem(code, secret=wrong)
        assert refused(answer, "invalid_client")
        assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Basic ")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": client.redirect_uri}
    secret = client.raw_secret
    for headers in (
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": f"Basic {'A' * 4000}"},
        basic("nobody:x"),
        basic(client.client_id),
        basic(f":{secret}"),
        basic(f"{client.client_id}:%ff"),
        basic(f"{client.client_id}:é"),
        basic(f"{plain.posting.client_id}:{secret}"),
        basic(f"{plain.openid.insurer.client_id}:"),
        basic(f"{plain.openid.insurer.client_id}:{secret}"),
    ):
        answer = http.post("/token", data=form, headers=headers)
        assert refused(answer, "invalid_client"), headers
        assert answer.status_code == 401
    good, _ = client.credentials()
    assert refused(
        http.post("/token", data=form | {"client_id": "other-app"}, headers=good), "invalid_client"
    )
    twice = form | {"client_id": client.client_id, "client_secret": secret}
    assert refused(http.post("/token", data=twice, headers=good), "invalid_request")
    both = [*good.items(), *good.items()]
    assert refused(http.post("/token", data=form, headers=both), "invalid_request")
    assert refused(client.redeem(code, method=POST), "invalid_client")
    assert refused(plain.posting.redeem(code, method=BASIC), "invalid_client")
    assert refused(http.post("/token", data=form), "invalid_client")
    assert refused(http.post("/token", data=form | {"client_id": client.client_id}), "invalid_client")
    assert refused(plain.posting.redeem(code), "invalid_grant")
    assert client.redeem(code).status_code == 200


def test_a_client_of_fapi_2_never_proves_itself_by_a_secret(plain: PlainWorld) -> None:
    insurer = plain.openid.insurer
    with transaction(plain.openid.installation.data) as work:
        row = work.session.get_one(Client, insurer.client_id)
        row.client_metadata = f'{{"client_secret_sha256": "{clients.secret_digest("s")}"}}'
        work.session.add(row)
    form = {"grant_type": "client_credentials", "client_id": insurer.client_id}
    assert refused(insurer.post("/token", {**form, "client_secret": "s"}), "invalid_client")
    answer = insurer.http.post("/token", data=form, headers=basic(f"{insurer.client_id}:s"))
    assert refused(answer, "invalid_client")
    asserted = insurer.authentication() | {"client_secret": "s"} | form
    assert refused(insurer.post("/token", asserted), "invalid_request")


def test_a_client_of_fapi_2_still_needs_a_proof(plain: PlainWorld) -> None:
    world = plain.openid
    code = world.decide(world.arrive(world.push())).partition("code=")[2].partition("&")[0]
    assert refused(world.insurer.redeem(code, proofs=[]), "invalid_request")


def test_codereuse_and_what_the_first_use_gave(plain_on_each: PlainWorld) -> None:
    world = plain_on_each
    code = world.code()
    tokens = world.plain.redeem(code).json()
    assert bearing(world, tokens["access_token"]).status_code == 200
    world.openid.clock.advance(timedelta(seconds=30))  # codereuse-30seconds
    assert refused(world.plain.redeem(code), "invalid_grant")
    assert bearing(world, tokens["access_token"]).status_code == 401


def test_ensure_request_with_valid_pkce_succeeds(plain: PlainWorld) -> None:
    challenge = plain.openid.insurer.request()["code_challenge"]
    asked = {"code_challenge": challenge, "code_challenge_method": "S256"}
    for form in ({}, {"code_verifier": "x" * 43}, {"code_verifier": "short"}):
        assert refused(plain.plain.redeem(plain.code(**asked), form=form), "invalid_grant")
    good = {"code_verifier": VERIFIER}
    assert plain.plain.redeem(plain.code(**asked), form=good).status_code == 200
    assert refused(plain.plain.redeem(plain.code(), form=good), "invalid_grant")  # RFC 9700 section 4.8.2


def test_a_token_that_is_bound_to_nothing_opens_userinfo_alone(plain_on_each: PlainWorld) -> None:
    world = plain_on_each
    tokens = world.tokens()
    token = tokens["access_token"]
    assert tokens["token_type"] == "Bearer"
    for method, path in (
        ("GET", "/v1/records/health.medical_bill"),
        ("POST", "/v1/deliveries"),
        ("GET", "/v1/obligations"),
        ("GET", "/grants/anything"),
        ("GET", "/ssf/stream"),
    ):
        answer = bearing(world, token, method, path)
        assert answer.status_code == 401, path
        proof = world.openid.insurer.proof(path, htm=method, ath=access_token_hash(token))
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof, "Idempotency-Key": "one"}
        assert world.plain.http.request(method, path, headers=headers).status_code == 401, path
    assert world.openid.userinfo(tokens).status_code == 401  # a proof by whatever key
    sub = world.told(tokens)["sub"]
    assert bearing(world, token).json() == {"sub": sub}


def test_userinfo_get_post_header_post_body(plain: PlainWorld) -> None:
    token, http = plain.tokens()["access_token"], plain.plain.http
    for method in ("GET", "POST"):
        answer = bearing(plain, token, method)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert http.post("/userinfo", data={"access_token": token}).status_code == 200
    header = {"Authorization": f"Bearer {token}"}
    assert http.post("/userinfo", data={"access_token": token}, headers=header).status_code == 400
    assert http.post("/userinfo", data={"access_token": [token, token]}).status_code == 400
    assert http.request("GET", "/userinfo", data={"access_token": token}).status_code == 400
    assert http.get("/userinfo", params={"access_token": token}).status_code == 400
    refusal = bearing(plain, token + "x")
    assert (refusal.status_code, refusal.headers["WWW-Authenticate"][:7]) == (401, "Bearer ")
    assert http.post("/userinfo", data={"access_token": token + "x"}).status_code == 401
    plain.openid.clock.advance(timedelta(seconds=301))
    assert bearing(plain, token).status_code == 401


def test_a_bound_token_is_never_taken_without_its_proof(plain: PlainWorld) -> None:
    tokens = plain.openid.signed_in_at()
    token = tokens["access_token"]
    assert bearing(plain, token).status_code == 401
    assert plain.plain.http.post("/userinfo", data={"access_token": token}).status_code == 401
    assert plain.openid.userinfo(tokens).status_code == 200
    with transaction(
        plain.openid.installation.data
    ) as work:  # not even if it were stored as bound to nothing
        row = work.session.get_one(Token, hash_of(token))
        row.cnf = "none"
        work.session.add(row)
    assert bearing(plain, token).status_code == 401


def test_with_a_proof_its_token_is_bound(plain: PlainWorld) -> None:
    insurer = plain.openid.insurer
    form = {"grant_type": "authorization_code", "redirect_uri": plain.plain.redirect_uri}
    headers = {"DPoP": insurer.proof("/token")}
    answer = plain.plain.post("/token", {**form, "code": plain.code()}, headers=headers)
    tokens = answer.json()
    assert tokens["token_type"] == "DPoP"
    assert bearing(plain, tokens["access_token"]).status_code == 401
    assert plain.openid.userinfo(tokens).status_code == 200
    bound = added(plain.openid, "always-bound", BASIC, dpop_bound_access_tokens=True)
    assert refused(bound.redeem(plain.code(bound)), "invalid_request")


def test_server_client_secret_post(plain: PlainWorld) -> None:
    tokens = plain.tokens(plain.posting)
    claims = plain.told(tokens)
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (ISSUER, "plain-post", "n-0S6_WzA2Mj")
    assert {"sub", "exp", "iat", "auth_time", "at_hash"} <= claims.keys()


def test_it_may_choose_es256(plain: PlainWorld) -> None:
    chosen = added(plain.openid, "by-es256", BASIC, id_token_signed_response_alg="ES256")
    tokens = plain.tokens(chosen)
    assert plain.told(tokens, "ES256")["aud"] == "by-es256"
    hinted = plain.refusal(id_token_hint=tokens["id_token"])  # another client's
    assert hinted["error"] == "invalid_request"


def test_introspection_and_revocation_of_its_own_token(plain_on_each: PlainWorld) -> None:
    world = plain_on_each
    tokens = world.tokens()
    token, sub = tokens["access_token"], world.told(tokens)["sub"]
    for client in (world.plain, world.posting):  # of one organisation
        told = client.post("/introspect", {"token": token})
        assert told.status_code == 200, told.text
        body = told.json()
        assert (body["active"], body["client_id"], body["token_type"]) == (True, "plain-basic", "Bearer")
        assert body["sub"] == sub
        assert "cnf" not in body
    wrong = world.plain.post("/introspect", {"token": token}, secret="x")
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"][:6]) == (401, "Basic ")
    assert world.openid.stranger.introspect(token).json() == {"active": False}
    assert world.openid.insurer.introspect(token).json()["active"] is True
    # What a client of FAPI 2.0 holds is not told for a secret, though it is the same organisation's.
    theirs = world.openid.redeemed(world.openid.decide(world.openid.arrive(world.openid.push_records())))
    for one in (theirs["access_token"], theirs["refresh_token"]):
        assert world.openid.insurer.introspect(one).json()["active"] is True
        assert world.plain.post("/introspect", {"token": one}).json() == {"active": False}
    assert world.posting.post("/revoke", {"token": token}).status_code == 200
    assert bearing(world, token).status_code == 200
    assert refused(world.plain.post("/revoke", {"token": token}, secret="x"), "invalid_client")
    assert world.plain.post("/revoke", {"token": token}).status_code == 200
    assert bearing(world, token).status_code == 401
    assert world.plain.post("/introspect", {"token": token}).json() == {"active": False}


def test_other_grants_are_not_for_it(plain: PlainWorld) -> None:
    for form in ({"grant_type": "client_credentials"}, {"grant_type": "password"}):
        assert refused(
            plain.plain.post("/token", form), "unauthorized_client", "unsupported_grant_type", "invalid_scope"
        )
    refreshing = {"grant_type": "refresh_token", "refresh_token": plain.tokens()["access_token"]}
    assert refused(plain.plain.post("/token", refreshing), "unauthorized_client", "invalid_grant")


def test_rs256_assertions_are_for_who_registered_them(plain: PlainWorld) -> None:
    openid = plain.openid
    key = generate_private_jwk("PS256") | {"alg": "RS256"}
    jwks = {"keys": [public_jwk(key)]}
    software = Recipient(openid.insurer.http, openid.clock, "by-rs256", plain.plain.redirect_uri, key=key)
    new = registration("by-rs256", jwks=jwks, token_endpoint_auth_signing_alg="RS256")
    unsaid = registration("rs256-unsaid", jwks=jwks)
    with transaction(openid.installation.data) as work:
        for one in (new, unsaid):
            secret = clients.add(
                work.session, one, is_loopback_allowed=False, now=openid.clock(), oidc_clients=True
            )
            assert secret is None
    client = PlainClient(openid.insurer.http, "by-rs256", "")
    code = plain.code(client)
    answer = software.redeem(code, proofs=[], code_verifier="")
    assert answer.status_code == 200, answer.text
    assert plain.told(answer.json())["aud"] == "by-rs256"
    software.client_id = "rs256-unsaid"
    assert refused(software.redeem(code, proofs=[], code_verifier=""), "invalid_client")


def test_a_new_secret_takes_the_place_of_the_old_one_at_once(plain_on_each: PlainWorld) -> None:
    client, data = plain_on_each.plain, plain_on_each.openid.installation.data
    with transaction(data) as work:
        renewed = clients.rotate_secret(work.session, client.client_id)
        assert clients.rotate_secret(work.session, "insurer-claims") is None
    assert renewed is not None
    assert renewed != client.raw_secret
    code = plain_on_each.code()
    assert refused(client.redeem(code), "invalid_client")
    assert refused(plain_on_each.posting.redeem(code, secret=renewed), "invalid_client")
    assert client.redeem(code, secret=renewed).status_code == 200
    with pytest.raises(UnknownClientError), transaction(data) as work:
        clients.rotate_secret(work.session, "nobody-at-all")


def test_the_secret_is_not_stored(plain: PlainWorld) -> None:
    raw = plain.plain.raw_secret
    assert len(raw) >= 43
    with plain.openid.installation.data.read() as session:
        row = session.get_one(Client, plain.plain.client_id)
        assert raw not in row.client_metadata
        assert clients.secret_digest(raw) in row.client_metadata
        shown: Any = clients.show(session, plain.plain.client_id)
    assert raw not in repr(shown)
    keys = plain.plain.http.get("/jwks").json()
    with pytest.raises(Exception, match="algorithm not allowed"):
        verify_jwt(plain.tokens()["id_token"], keys, algorithms=("ES256",), typ="jwt")
