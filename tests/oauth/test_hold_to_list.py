"""The hold-to list (protocol reference, sections 4.1 to 4.5): each case of the suite has a test.

A case is found by its name: as a test, `test_` and the name with underscores, or as the name of a parameter.
Here are those that no other module is about, and Authlib's pitfalls (section 1.4), each with its test.
"""

import ast
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from broker.app import create_app
from broker.oauth import server
from broker.oauth.models import Client
from tests.oauth.forging import decoded, encoded
from tests.oauth.openid_world import OpenIDWorld
from tests.oauth.world import Recipient, World, answer_in, refused
from vault.jose import KeyKind, generate_private_jwk, public_jwk

HERE: Final = Path(__file__)
ROOT: Final = HERE.parents[2]

CASES: Final = (
    "par-ensure-pkce-required",
    "par-plain-pkce-rejected",
    "par-attempt-reuse-request_uri",
    "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds",
    "par-attempt-to-use-expired-request_uri",
    "par-attempt-to-use-request_uri-for-different-client",
    "par-authorization-request-containing-request_uri",
    "par-authorization-request-containing-request_uri-form-param",
    "par-attempt-invalid-http-method",
    "par-without-duplicate-parameters",
    "ensure-unsigned-authorization-request-without-using-par-fails",
    "ensure-response-type-code-idtoken-fails",
    "ensure-response-type-token-fails",
    "ensure-registered-redirect-uri",
    "ensure-redirect-uri-in-authorization-request",
    "ensure-authorization-request-without-state-success",
    "ensure-authorization-request-without-nonce-success",
    "with-64-char-nonce-success",
    "with-long-nonce",
    "with-long-state",
    "ensure-other-scope-order-succeeds",
    "user-rejects-authentication",
    "test-essential-acr-sca-claim",
    "par-test-array-as-audience-fails",
    "par-test-par-endpoint-url-as-audience-fails",
    "par-test-token-endpoint-url-as-audience-fails",
    "ensure-client-assertion-with-wrong-aud-fails",
    "ensure-client-assertion-with-exp-is-5-minutes-in-past-fails",
    "ensure-client-assertion-with-no-sub-fails",
    "ensure-signed-client-assertion-with-RS256-fails",
    "ensure-client-assertion-in-token-endpoint",
    "par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted",
    "par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails",
    "ensure-holder-of-key-required",
    "ensure-authorization-code-is-bound-to-client",
    "ensure-client-id-in-token-endpoint",
    "attempt-reuse-authorization-code-after-one-second",
    "ensure-token-endpoint-fails-with-expired-auth-code",
    "ensure-pkce-code-verifier-required",
    "incorrect-pkce-code-verifier-rejected",
    "refresh-token",
    "ensure-mismatched-dpop-jkt-fails",
    "ensure-token-endpoint-fails-with-mismatched-dpop-jkt",
    "ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt",
    "ensure-dpop-auth-code-binding-success",
    "ensure-dpopproof-at-par-endpoint-binding-success",
    "ensure-dpopproof-with-iat-10seconds-before-succeeds",
    "ensure-dpopproof-with-iat-10seconds-after-succeeds",
    "check-dpop-proof-nbf-exp",
    "dpop-negative-tests",
    "ensure-request-object-without-exp-fails",
    "ensure-request-object-without-nbf-fails",
    "ensure-request-object-with-exp-over-60-fails",
    "ensure-request-object-with-nbf-over-60-fails",
    "ensure-expired-request-object-fails",
    "ensure-request-object-with-nbf-8-seconds-in-the-future-is-accepted",
    "ensure-request-object-with-bad-aud-fails",
    "ensure-request-object-with-multiple-aud-succeeds",
    "ensure-signed-request-object-with-RS256-fails",
    "ensure-request-object-signature-algorithm-is-not-none",
    "ensure-request-object-with-invalid-signature-fails",
    "ensure-matching-key-in-authorization-request",
    "ensure-unsigned-request-at-par-endpoint-fails",
    "ensure-request-object-without-redirect-uri-fails",
    "state-only-outside-request-object-not-used",
    "ensure-different-nonce-inside-and-outside-request-object",
    "ensure-different-state-inside-and-outside-request-object",
    "ensure-server-handles-non-matching-intent-id",
    "grant-management-happy-flow",
    "grant-management-merge",
    "grant-management-replace",
    "grant-management-ensure-invalid-grant-id-fails",
    "grant-management-ensure-query-non-existent-grant-fails",
    "grant-management-ensure-query-after-revoke-fails",
    "grant-management-ensure-wrong-client-cannot-query-grant",
    "grant-management-ensure-wrong-client-cannot-revoke-grant",
)


@cache
def mentioned() -> str:
    """The names of all tests beside this list's, and every text in them, in one spelling."""
    return "\n".join(
        _spelled(name) for path in sorted(HERE.parent.glob("test_*.py")) for name in _names(path)
    )


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name.removeprefix("test_")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and path != HERE:
            yield node.value


def _spelled(name: str) -> str:
    return name.lower().replace("_", "-")


def test_a_case_that_nothing_names_is_found() -> None:
    assert _spelled("ensure-a-case-that-nobody-wrote") not in mentioned()


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_a_test_that_is_named_after_it(case: str) -> None:
    assert _spelled(case).removeprefix("test-") in mentioned()


# Cases that no other module is about.

SCA: Final = "urn:openbanking:psd2:sca"
ONE_FACTOR: Final = "urn:mydata:acr:1fa"


def asked_for(acr: str) -> str:
    return orjson.dumps({"id_token": {"acr": {"essential": True, "value": acr}}}).decode()


def test_essential_acr_sca_claim(small_openid: OpenIDWorld) -> None:
    """An `acr` that this server cannot perform is refused; one that it can is performed, and told."""
    address = small_openid.arrive(small_openid.push(claims=asked_for(SCA)))
    assert answer_in(address)["error"] == "unmet_authentication_requirements"
    assert "code" not in answer_in(address)
    small_openid.sign_in()
    tokens = small_openid.signed_in_at(claims=asked_for(ONE_FACTOR))
    assert small_openid.claims(tokens)["acr"] == ONE_FACTOR


def test_ensure_token_endpoint_fails_with_mismatched_dpop_proof_jkt(world: World) -> None:
    """On both databases; the code that another key came for is used up."""
    insurer = world.insurer
    code = world.code(proofs=[insurer.proof("/par")])
    foreign = insurer.proof("/token", key=generate_private_jwk("ES256"))
    assert refused(insurer.redeem(code, proofs=[foreign]), "invalid_grant")
    assert refused(insurer.redeem(code), "invalid_grant")


def test_refresh_token(world: World) -> None:
    """Bound to the client; without client authentication 401, without a proof 400, as the suite has it."""
    insurer, stranger = world.insurer, world.stranger
    refresh_token = world.tokens()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": insurer.client_id}
    anonymous = insurer.post("/token", form, [insurer.proof("/token")])
    assert refused(anonymous, "invalid_client")
    assert anonymous.status_code == 401
    assert anonymous.headers["WWW-Authenticate"] == 'private_key_jwt realm="mydata"'
    assert refused(stranger.refresh(refresh_token), "invalid_grant")
    unproven = insurer.refresh(refresh_token, proofs=[])
    assert refused(unproven, "invalid_request")
    assert unproven.status_code == 400
    assert insurer.refresh(refresh_token).status_code == 200


@pytest.mark.parametrize("seconds", [-3600, -61, 61, 3600])
def test_a_proof_of_another_time_is_refused_at_par_and_token(small_world: World, seconds: int) -> None:
    insurer = small_world.insurer
    late: dict[str, Any] = {"iat": insurer.seconds + seconds}
    assert refused(insurer.push(proofs=[insurer.proof("/par", **late)]), "invalid_dpop_proof")
    assert refused(insurer.own_token(proofs=[insurer.proof("/token", **late)]), "invalid_dpop_proof")
    assert insurer.own_token().status_code == 200


@pytest.mark.parametrize("claims", [{"exp": -1}, {"exp": 0}, {"nbf": 61}, {"exp": 60, "nbf": 61}])
def test_check_dpop_proof_nbf_exp(small_world: World, claims: dict[str, int]) -> None:
    """At the pushed request and the token endpoint; a proof whose times hold is taken."""
    insurer = small_world.insurer
    late: dict[str, Any] = {name: insurer.seconds + seconds for name, seconds in claims.items()}
    assert refused(insurer.push(proofs=[insurer.proof("/par", **late)]), "invalid_dpop_proof")
    assert refused(insurer.own_token(proofs=[insurer.proof("/token", **late)]), "invalid_dpop_proof")
    good: dict[str, Any] = {"nbf": insurer.seconds - 10, "exp": insurer.seconds + 50}
    assert insurer.push(proofs=[insurer.proof("/par", **good)]).status_code == 201
    assert insurer.own_token(proofs=[insurer.proof("/token", **good)]).status_code == 200


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(-10, id="ensure-dpopproof-with-iat-10seconds-before-succeeds"),
        pytest.param(10, id="ensure-dpopproof-with-iat-10seconds-after-succeeds"),
    ],
)
def test_a_clock_ten_seconds_off_is_borne_at_par_and_token(small_world: World, seconds: int) -> None:
    insurer = small_world.insurer
    off: dict[str, Any] = {"iat": insurer.seconds + seconds}
    assert insurer.push(proofs=[insurer.proof("/par", **off)]).status_code == 201
    code = small_world.code(proofs=[insurer.proof("/par", **off)])
    assert insurer.redeem(code, proofs=[insurer.proof("/token", **off)]).status_code == 200


# Authlib's pitfalls (section 1.4): row by row, the tests that would fail if one came back.

PITFALLS: Final = {
    1: (
        "test_concurrency.py::test_one_of_many_redeems_a_code",
        "test_load.py::test_one_of_a_hundred_redeems",
    ),
    2: ("test_rfc7523.py::test_an_assertion_that_does_not_hold_is_refused", f"{HERE.name}::test_pitfall_2"),
    3: ("test_rfc7523.py::test_an_assertion_that_does_not_hold_is_refused",),
    4: ("test_rfc7523.py::test_an_assertion_that_holds_is_accepted",),
    5: ("test_rfc7636.py::test_a_push_without_s256_is_refused",),
    6: ("test_rfc9101.py::test_ensure_request_object", "test_rfc9101.py::test_ensure_signed_request_object"),
    7: (f"{HERE.name}::test_pitfall_7",),
    8: (f"{HERE.name}::test_pitfall_8",),
    9: ("test_rfc6749.py::test_authlib_never_prints_a_token", f"{HERE.name}::test_pitfall_9"),
    10: ("test_rfc8414.py::test_the_issuer_never_comes_from_the_request", f"{HERE.name}::test_pitfall_10"),
    11: (f"{HERE.name}::test_pitfall_11",),
    12: ("test_rfc9126.py::test_a_parameter_that_came_twice_is_refused",),
    13: (f"{HERE.name}::test_pitfall_13",),
    14: (f"{HERE.name}::test_pitfall_14",),
}


@pytest.mark.parametrize("row", range(1, 15))
def test_every_pitfall_has_a_test_that_exists(row: int) -> None:
    for node in PITFALLS[row]:
        file, _, name = node.partition("::")
        tree = ast.parse((HERE.parent / file).read_text(encoding="utf-8"))
        tests = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
        assert any(test.startswith(name) for test in tests), node


@pytest.mark.parametrize("kind", ["PS256", "ES256", "Ed25519"])
def test_pitfall_2_assertions_of_every_algorithm_of_the_profile(small_world: World, kind: KeyKind) -> None:
    """Authlib's own list would refuse PS256 and Ed25519."""
    key = generate_private_jwk(kind)
    insurer = replace(small_world.insurer, key=key)
    with small_world.installation.data.write() as session:
        session.get_one(Client, insurer.client_id).jwks = json.dumps({"keys": [public_jwk(key)]})
    assert insurer.own_token().status_code == 200
    assert refused(small_world.insurer.own_token(), "invalid_client"), "the key that is there no more"


@pytest.mark.parametrize(("size", "is_borne"), [(3000, True), (9000, False)])
def test_pitfall_7_headers_up_to_8192_bytes(small_world: World, size: int, *, is_borne: bool) -> None:
    """An RSA key in a proof's header is longer than joserfc's 512 bytes; without end it is not."""
    insurer = replace(small_world.insurer, dpop_key=generate_private_jwk("PS256"))
    answer = insurer.own_token(proofs=[insurer.proof("/token", header={"padding": "x" * size})])
    assert is_borne == (answer.status_code == 200)
    assert is_borne or refused(answer, "invalid_dpop_proof")


@pytest.mark.parametrize("bits", [1024, 2047])
def test_pitfall_8_a_short_rsa_key_proves_nothing_though_its_signature_holds(
    small_world: World, bits: int
) -> None:
    insurer = small_world.insurer
    assert refused(insurer.own_token(proofs=[signed_by_rsa(insurer, bits)]), "invalid_dpop_proof")
    assert insurer.own_token(proofs=[signed_by_rsa(insurer, 2048)]).status_code == 200


def signed_by_rsa(recipient: Recipient, bits: int) -> str:
    """A PS256 proof whose signature holds, by a key of so many bits. Ours refuses to make it: by hand."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": numbered(numbers.n), "e": numbered(numbers.e)}
    claims = decoded(recipient.proof("/token").split(".")[1])
    signed = f"{encoded({'alg': 'PS256', 'typ': 'dpop+jwt', 'jwk': jwk})}.{encoded(claims)}"
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    return f"{signed}.{encoded(key.sign(signed.encode(), pss, hashes.SHA256()))}"


def numbered(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8))


def test_pitfall_9_authlibs_logger_stays_at_info_whatever_the_programs_level_is(small_world: World) -> None:
    for make in (server.OAuthServer, lambda: create_app(small_world.installation)):
        logging.getLogger("authlib").setLevel(logging.DEBUG)
        make()
        assert logging.getLogger("authlib.oauth2.rfc6749.grants").getEffectiveLevel() == logging.INFO
    assert small_world.insurer.own_token().status_code == 200


def test_pitfall_10_plain_http_is_never_switched_on() -> None:
    """`AUTHLIB_INSECURE_TRANSPORT` stands nowhere in the program: addresses are built from the issuer."""
    for package in ("broker", "consent", "vault", "connectors"):
        for path in (ROOT / package).rglob("*.py"):
            assert "INSECURE_TRANSPORT" not in path.read_text(encoding="utf-8"), path


def test_pitfall_11_nothing_relies_on_the_order_of_hooks() -> None:
    """No grant of ours registers one but PKCE, which is alone at its place."""
    grants: list[Any] = [server._AuthorizationCodeGrant, server._RefreshTokenGrant]
    source = Path(str(server.__file__)).read_text(encoding="utf-8")
    assert "register_hook" not in source
    assert all(grant.TOKEN_ENDPOINT_AUTH_METHODS for grant in grants)


def test_pitfall_13_a_secret_in_the_header_is_no_authentication_and_asks_for_none(
    small_world: World,
) -> None:
    answer = small_world.http.post(
        "/token", data={"grant_type": "client_credentials"}, auth=("insurer-claims", "secret")
    )
    assert refused(answer, "invalid_client")
    assert "Basic" not in answer.headers.get("WWW-Authenticate", "")


def test_pitfall_14_authlib_is_pinned_to_what_was_read() -> None:
    pinned = re.findall(r'"authlib==([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pinned == [version("authlib")]
