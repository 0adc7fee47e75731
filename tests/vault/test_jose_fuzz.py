"""Whatever a stranger sends, the answer is claims or UntrustedTokenError, and nothing else (V20)."""

import json
from base64 import urlsafe_b64encode
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vault.errors import UntrustedTokenError
from vault.jose import (
    check_public_jwks,
    generate_private_jwk,
    public_jwk,
    sign_with_jwk,
    thumbprint,
    verify_jwt,
    verify_self_signed,
)

KEY = generate_private_jwk("ES256")
PUBLIC = public_jwk(KEY)
GOOD = sign_with_jwk({"jti": "1"}, KEY, {"alg": "ES256", "typ": "dpop+jwt", "jwk": PUBLIC})
ALL = ["ES256", "PS256", "RS256", "Ed25519", "EdDSA"]

Json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
Coordinate = st.binary(max_size=40).map(lambda raw: urlsafe_b64encode(raw).decode().rstrip("=")) | Json
Modulus = st.binary(min_size=250, max_size=520).map(lambda raw: urlsafe_b64encode(raw).decode().rstrip("="))
Keys = st.fixed_dictionaries(
    {"kty": st.sampled_from(["EC", "OKP", "RSA", "oct", "AKP"]) | Json},
    optional={
        "crv": st.sampled_from(["P-256", "P-384", "Ed25519", "X25519"]) | Json,
        "x": st.just(PUBLIC["x"]) | Coordinate,
        "y": st.just(PUBLIC["y"]) | Coordinate,
        "n": Modulus | Json,
        "e": st.just("AQAB") | Coordinate,
        "d": Coordinate,
        "use": st.sampled_from(["sig", "enc"]) | Json,
        "alg": st.sampled_from(ALL) | Json,
        "kid": st.just("k") | Json,
        "key_ops": st.just(["verify"]) | Json,
    },
)
Headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from([*ALL, "none", "HS256"]) | Json,
        "typ": st.just("dpop+jwt") | Json,
        "kid": st.just("k") | Json,
        "jwk": st.just(PUBLIC) | Keys | Json,
        "crit": Json,
        "b64": Json,
        "jku": Json,
        "x5c": Json,
        "cty": Json,
    },
)


def encode(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def attempt(token: str, keys: Any) -> None:  # noqa: ANN401 - any JSON
    """Any other exception than the one that is suppressed fails the test."""
    with suppress(UntrustedTokenError):
        verify_self_signed(token, algorithms=ALL)
    with suppress(UntrustedTokenError):
        verify_jwt(token, keys, algorithms=ALL, typ="dpop+jwt")
    with suppress(UntrustedTokenError):
        verify_jwt(token, keys, algorithms=ALL, typ=None)


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    attempt(text, {"keys": [PUBLIC]})


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_any_segments(segments: list[bytes]) -> None:
    attempt(".".join(encode(segment) for segment in segments), {"keys": [PUBLIC]})


@given(
    header=Headers,
    claims=Json,
    signature=st.binary(min_size=1, max_size=80),
    keys=st.lists(Keys | Json, max_size=3),
)
@example(
    header={"alg": "PS256", "jwk": {"kty": "RSA", "n": "_" * 342 + "A", "e": "AQAB"}},
    claims={},
    signature=b"x",
    keys=[],
)
def test_any_header_claims_and_keys(header: Any, claims: Any, signature: bytes, keys: list[Any]) -> None:  # noqa: ANN401 - any JSON
    attempt(".".join([encode(header), encode(claims), encode(signature)]), {"keys": keys})


@given(position=st.integers(0, len(GOOD) - 1), character=st.characters(max_codepoint=0x2FF))
def test_a_good_proof_with_one_character_changed(position: int, character: str) -> None:
    altered = GOOD[:position] + character + GOOD[position + 1 :]
    if altered == GOOD:
        return
    with pytest.raises(UntrustedTokenError):
        verify_self_signed(altered)


@given(key=Keys, keys=st.lists(Keys | Json, max_size=3) | Json)
def test_any_key_and_key_set(key: dict[str, Any], keys: Any) -> None:  # noqa: ANN401 - any JSON
    with suppress(UntrustedTokenError):
        thumbprint(key)
    with suppress(UntrustedTokenError):
        check_public_jwks({"keys": keys})
