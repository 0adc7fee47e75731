"""DPoP: 32 ways in which a proof proves nothing, and the variants that must pass (RFC 9449)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.oauth.dpop import Proof, take_jti, verify_proof
from broker.oauth.errors import InvalidProofError
from tests.oauth.forging import unsigned, with_header, with_shared_secret
from tests.oauth.world import LEFT_OUT, World, access_token_hash, answer_in, refused, without_left_out
from vault.jose import Jwk, generate_private_jwk, sign_with_jwk, thumbprint
from vault.schema import random_id

NOW = datetime(2026, 12, 1, tzinfo=UTC)
URL = "https://broker.example/v1/records"
TOKEN = "mda_a-token-of-this-test"

KEY = generate_private_jwk("ES256")
OTHER_KEY = generate_private_jwk("ES256")
RSA_KEY = generate_private_jwk("PS256")


def public(key: Jwk) -> Jwk:
    return {name: key[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in key}


def proof(key: Jwk = KEY, header: dict[str, Any] | None = None, **changes: object) -> str:
    claims = {
        "jti": random_id(),
        "htm": "GET",
        "htu": URL,
        "iat": int(NOW.timestamp()),
        "ath": access_token_hash(TOKEN),
    }
    named = {"alg": key["alg"], "typ": "dpop+jwt", "jwk": public(key)} | (header or {})
    return sign_with_jwk(without_left_out(claims | changes), key, without_left_out(named))


def at(seconds: int) -> int:
    return int(NOW.timestamp()) + seconds


def verify(*raw_proofs: str, token: str | None = TOKEN, url: str = URL) -> Proof:
    return verify_proof(raw_proofs, method="GET", url=url, access_token=token, now=NOW)


REFUSED: dict[str, Callable[[], list[str]]] = {
    "no proof": list,
    "two DPoP headers": lambda: [proof(), proof()],
    "not a JWT": lambda: ["not a JWT"],
    "empty": lambda: [""],
    "two proofs in one header": lambda: [f"{proof()}, {proof()}"],
    "too long": lambda: [proof(padding="x" * 10_000)],
    "missing typ": lambda: [proof(header={"typ": LEFT_OUT})],
    "wrong typ": lambda: [proof(header={"typ": "JWT"})],
    "missing alg": lambda: [with_header(proof(), {"alg": LEFT_OUT})],
    "alg none": lambda: [unsigned(proof())],
    "alg none with signature": lambda: [with_header(proof(), {"alg": "none"})],
    "alg RS256": lambda: [proof(RSA_KEY | {"alg": "RS256"})],
    "kty oct": lambda: [with_shared_secret(proof())],
    "missing jwk": lambda: [proof(header={"jwk": LEFT_OUT})],
    "private key in jwk": lambda: [proof(header={"jwk": public(KEY) | {"d": KEY["d"]}})],
    "signed by another key": lambda: [proof(header={"jwk": public(OTHER_KEY)})],
    "bad signature": lambda: [proof()[:-8] + "AAAAAAAA"],
    "critical header extension": lambda: [with_header(proof(), {"crit": ["exp"], "exp": at(60)})],
    "missing jti": lambda: [proof(jti=LEFT_OUT)],
    "empty jti": lambda: [proof(jti="")],
    "endless jti": lambda: [proof(jti="x" * 300)],
    "jti not text": lambda: [proof(jti=7)],
    "missing htm": lambda: [proof(htm=LEFT_OUT)],
    "wrong htm": lambda: [proof(htm="POST")],
    "htm in other case": lambda: [proof(htm="get")],
    "missing htu": lambda: [proof(htu=LEFT_OUT)],
    "different host": lambda: [proof(htu="https://other.example/v1/records")],
    "different path": lambda: [proof(htu="https://broker.example/v1/deliveries")],
    "path in other case": lambda: [proof(htu="https://broker.example/V1/records")],
    "different scheme": lambda: [proof(htu="http://broker.example/v1/records")],
    "different port": lambda: [proof(htu="https://broker.example:8443/v1/records")],
    "htu with user": lambda: [proof(htu="https://me@broker.example/v1/records")],
    "htu with an impossible port": lambda: [proof(htu="https://broker.example:99999/v1/records")],
    "htu relative": lambda: [proof(htu="/v1/records")],
    "htu no text": lambda: [proof(htu=1)],
    "missing iat": lambda: [proof(iat=LEFT_OUT)],
    "iat an hour ago": lambda: [proof(iat=at(-3600))],
    "iat an hour ahead": lambda: [proof(iat=at(3600))],
    "iat 61 seconds ago": lambda: [proof(iat=at(-61))],
    "iat 61 seconds ahead": lambda: [proof(iat=at(61))],
    "iat text": lambda: [proof(iat=str(at(0)))],
    "iat true": lambda: [proof(iat=True)],
    "iat beyond time": lambda: [proof(iat=2**52)],
    "exp passed": lambda: [proof(exp=at(-1))],
    "exp text": lambda: [proof(exp="later")],
    "nbf ahead": lambda: [proof(nbf=at(61))],
    "missing ath": lambda: [proof(ath=LEFT_OUT)],
    "wrong ath": lambda: [proof(ath=access_token_hash("mda_another"))],
    "ath no text": lambda: [proof(ath=None)],
    "ath not ASCII": lambda: [proof(ath="가")],
}

ACCEPTED: dict[str, Callable[[], str]] = {
    "plain": proof,
    "ensure-dpopproof-with-iat-10seconds-before-succeeds": lambda: proof(iat=at(-10)),
    "ensure-dpopproof-with-iat-10seconds-after-succeeds": lambda: proof(iat=at(10)),
    "iat with a fraction": lambda: proof(iat=at(0) + 0.5),
    "check-dpop-proof-nbf-exp": lambda: proof(nbf=at(-10), exp=at(50)),
    "PS256, whose header is long": lambda: proof(RSA_KEY),
    "Ed25519": lambda: proof(generate_private_jwk("Ed25519")),
    "EdDSA": lambda: proof(generate_private_jwk("Ed25519") | {"alg": "EdDSA"}),
    "extra header and claims": lambda: proof(header={"extra": 1}, nonce="n", extra={"a": [1]}),
    "query and fragment in htu": lambda: proof(htu=f"{URL}?a=b#c"),
    "host in other case": lambda: proof(htu="https://BROKER.example/v1/records"),
    "scheme in other case": lambda: proof(htu="HTTPS://broker.example/v1/records"),
    "default port": lambda: proof(htu="https://broker.example:443/v1/records"),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_what_proves_nothing_is_refused(make: Callable[[], list[str]]) -> None:
    with pytest.raises(InvalidProofError):
        verify(*make())


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_proves_the_key_is_accepted(make: Callable[[], str]) -> None:
    assert verify(make()).expires_at > NOW


def test_the_thumbprint_is_the_keys() -> None:
    assert verify(proof()).jkt == thumbprint(KEY)


def test_without_an_access_token_ath_says_nothing() -> None:
    assert verify(proof(ath=LEFT_OUT), token=None).jkt == thumbprint(KEY)


def test_the_request_may_have_a_query_and_no_path() -> None:
    verify(proof(htu="https://broker.example"), url="https://broker.example/?a=b")


def test_an_id_is_kept_as_long_as_its_proof_is_good() -> None:
    newest = verify(proof(iat=at(60)))
    assert newest.expires_at >= NOW + timedelta(seconds=120)


def test_the_same_id_of_another_key_is_another_proof() -> None:
    mine, other = (verify(proof(key, jti="one")) for key in (KEY, OTHER_KEY))
    assert mine.jti_digest != other.jti_digest


@given(st.text(max_size=100))
def test_no_text_is_a_proof_by_chance(raw: str) -> None:
    with pytest.raises(InvalidProofError):
        verify(raw)


def test_an_id_is_taken_once(world: World) -> None:
    taken = verify(proof())
    with world.installation.data.write() as session:
        assert take_jti(session, taken.jti_digest, taken.expires_at)
        assert not take_jti(session, taken.jti_digest, taken.expires_at)


def test_the_token_endpoint_takes_a_proof_once(world: World) -> None:
    proofs = [world.insurer.proof("/token")]
    assert world.insurer.own_token(proofs=proofs).status_code == 200
    assert refused(world.insurer.own_token(proofs=proofs), "invalid_dpop_proof")
    assert world.insurer.own_token().status_code == 200


def test_ensure_holder_of_key_required(small_world: World) -> None:
    insurer = small_world.insurer
    assert refused(insurer.own_token(proofs=[]), "invalid_request")
    assert refused(insurer.redeem(small_world.code(), proofs=[]), "invalid_request")
    refresh_token = small_world.tokens()["refresh_token"]
    assert refused(insurer.refresh(refresh_token, proofs=[]), "invalid_request")


def test_a_proof_for_another_endpoint_is_refused(small_world: World) -> None:
    insurer = small_world.insurer
    assert refused(insurer.own_token(proofs=[insurer.proof("/par")]), "invalid_dpop_proof")
    assert refused(insurer.push(proofs=[insurer.proof("/token")]), "invalid_dpop_proof")
    assert refused(
        insurer.push(proofs=[insurer.proof("/par", iat=insurer.seconds - 61)]), "invalid_dpop_proof"
    )


def test_a_missing_proof_does_not_use_the_code_up(small_world: World) -> None:
    code = small_world.code()
    assert refused(small_world.insurer.redeem(code, proofs=[]), "invalid_request")
    assert small_world.insurer.redeem(code).status_code == 200


def test_ensure_mismatched_dpop_jkt_fails(small_world: World) -> None:
    insurer = small_world.insurer
    answer = insurer.push(dpop_jkt=thumbprint(OTHER_KEY), proofs=[insurer.proof("/par")])
    assert refused(answer, "invalid_dpop_proof")
    assert refused(insurer.push(dpop_jkt="short"), "invalid_request")


@pytest.mark.parametrize("bind", ["dpop_jkt", "proof", "both"])
def test_ensure_token_endpoint_fails_with_mismatched_dpop(small_world: World, bind: str) -> None:
    """ensure-token-endpoint-fails-with-mismatched-dpop-jkt, -mismatched-dpop-proof-jkt."""
    insurer = small_world.insurer
    named = {} if bind == "proof" else {"dpop_jkt": insurer.jkt}
    proofs = [] if bind == "dpop_jkt" else [insurer.proof("/par")]
    code = small_world.code(proofs=proofs, **named)
    foreign = [insurer.proof("/token", key=OTHER_KEY)]
    assert refused(insurer.redeem(code, proofs=foreign), "invalid_grant")


def test_ensure_dpop_auth_code_binding_success(small_world: World) -> None:
    """Also ensure-dpopproof-at-par-endpoint-binding-success."""
    insurer = small_world.insurer
    bound = small_world.code(dpop_jkt=insurer.jkt)
    assert insurer.redeem(bound).status_code == 200
    both = small_world.code(dpop_jkt=insurer.jkt, proofs=[insurer.proof("/par")])
    answer = insurer.redeem(both)
    assert answer.json()["token_type"] == "DPoP"


def test_a_code_that_was_bound_to_no_key_takes_the_one_that_redeems_it(small_world: World) -> None:
    address = small_world.agree(small_world.interaction_of(small_world.insurer.push()))
    redeemed = small_world.insurer.redeem(
        answer_in(address)["code"], proofs=[small_world.insurer.proof("/token", key=OTHER_KEY)]
    )
    assert redeemed.status_code == 200
