"""PKCE: S256 only, always, and a missing verifier is as bad as a wrong one (RFC 7636)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.oauth import pkce
from broker.oauth.errors import OAuthCode, OAuthError
from tests.oauth.world import LEFT_OUT, VERIFIER, World, refused

# RFC 7636 appendix B.
VECTOR_VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
VECTOR_CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

WRONG_CHALLENGES = [
    pytest.param({}, id="par-ensure-pkce-required"),
    pytest.param({"code_challenge_method": "S256"}, id="no challenge"),
    pytest.param({"code_challenge": VECTOR_CHALLENGE}, id="no method would mean plain"),
    pytest.param(
        {"code_challenge": VECTOR_CHALLENGE, "code_challenge_method": "plain"}, id="par-plain-pkce-rejected"
    ),
    pytest.param(
        {"code_challenge": VECTOR_CHALLENGE, "code_challenge_method": "s256"}, id="method in other case"
    ),
    pytest.param({"code_challenge": VECTOR_CHALLENGE[1:], "code_challenge_method": "S256"}, id="too short"),
    pytest.param({"code_challenge": VECTOR_CHALLENGE + "=", "code_challenge_method": "S256"}, id="padded"),
    pytest.param(
        {"code_challenge": VECTOR_CHALLENGE + "\n", "code_challenge_method": "S256"}, id="line break"
    ),
]


@pytest.mark.parametrize("parameters", WRONG_CHALLENGES)
def test_a_challenge_that_is_none_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(OAuthError) as refusal:
        pkce.read_challenge(parameters)
    assert refusal.value.code == OAuthCode.INVALID_REQUEST


@pytest.mark.parametrize(
    "verifier",
    [
        pytest.param(None, id="ensure-pkce-code-verifier-required"),
        pytest.param("", id="empty"),
        pytest.param(VECTOR_VERIFIER + "x", id="incorrect-pkce-code-verifier-rejected"),
        pytest.param(VECTOR_CHALLENGE, id="the challenge itself"),
        pytest.param("가" * 43, id="not ASCII"),
        pytest.param("a" * 129, id="too long"),
    ],
)
def test_a_wrong_verifier_is_an_invalid_grant(verifier: str | None) -> None:
    with pytest.raises(OAuthError) as refusal:
        pkce.verify(verifier, VECTOR_CHALLENGE)
    assert refusal.value.code == OAuthCode.INVALID_GRANT


def test_the_vector_of_the_specification_verifies() -> None:
    assert pkce.challenge_of(VECTOR_VERIFIER) == VECTOR_CHALLENGE
    pkce.verify(VECTOR_VERIFIER, VECTOR_CHALLENGE)


@given(st.from_regex(r"[A-Za-z0-9._~-]{43,128}", fullmatch=True))
def test_every_verifier_fits_its_own_challenge_only(verifier: str) -> None:
    challenge = pkce.challenge_of(verifier)
    assert pkce.read_challenge({"code_challenge": challenge, "code_challenge_method": "S256"}) == challenge
    pkce.verify(verifier, challenge)
    with pytest.raises(OAuthError):
        pkce.verify(verifier, VECTOR_CHALLENGE)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"code_challenge": LEFT_OUT, "code_challenge_method": LEFT_OUT}, id="par-ensure-pkce-required"
        ),
        pytest.param({"code_challenge_method": "plain"}, id="par-plain-pkce-rejected"),
    ],
)
def test_a_push_without_s256_is_refused(small_world: World, changes: dict[str, str]) -> None:
    assert refused(small_world.insurer.push(**changes), "invalid_request")


@pytest.mark.parametrize("verifier", [LEFT_OUT, VERIFIER + "x"], ids=["missing", "wrong"])
def test_a_code_is_used_up_by_a_wrong_verifier(world: World, verifier: str) -> None:
    code = world.code()
    assert refused(world.insurer.redeem(code, code_verifier=verifier), "invalid_grant")
    assert refused(world.insurer.redeem(code), "invalid_grant")
