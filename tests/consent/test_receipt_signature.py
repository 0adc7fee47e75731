"""Receipts as JWS: every edit is found out, every header but ours is refused, another library agrees."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jose.backends.ecdsa_backend import ECDSAECKey
from joserfc import jws
from joserfc.jwk import ECKey

from consent.errors import ReceiptInvalidError
from consent.receipt_signature import (
    RECEIPT_AUDIENCE,
    RECEIPT_TYPE,
    ReceiptSigner,
    claims_of,
    verify_receipt,
)

KEY: Final = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY: Final = ec.generate_private_key(ec.SECP256R1())
PEM: Final = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC_PEM: Final = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
KID: Final = "receipt-1"
ISSUER: Final = "https://broker.example"
HEADER: Final[dict[str, Any]] = {"alg": "ES256", "kid": KID, "typ": RECEIPT_TYPE}
CONTENT: Final[dict[str, Any]] = {
    "grant_id": "g",
    "purpose": "p",
    "recipient": {"name": {"ko": "한빛손해보험"}},
}
CLAIMS: Final[dict[str, Any]] = CONTENT | {
    "iss": ISSUER,
    "aud": RECEIPT_AUDIENCE,
    "jti": "r",
    "iat": 1764547200,
}

SIGNATURE = "the signature does not match: the receipt was changed, or another key signed it"
NOT_OURS = "it is not an ES256 consent receipt"
MEMBERS = "its header has members that a receipt does not have"
NOT_CANONICAL = "its content is not canonical JSON"
NOT_BASE64 = "a part of it is not base64url"
NO_KEY = "the key set has no receipt key of this id"
MALFORMED = "the receipt key in the key set is malformed"


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jwk_of(key: ec.EllipticCurvePrivateKey, kid: str = KID) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    x, y = b64(numbers.x.to_bytes(32)), b64(numbers.y.to_bytes(32))
    return {"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y}


JWKS: Final = {"keys": [jwk_of(OTHER_KEY, "oauth-1"), jwk_of(KEY)]}


def es256(signing_input: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def forge(header: object, claims: object, sign: Callable[[bytes], bytes] = es256) -> str:
    """A JWS over any header and content, as bytes or as JSON."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signing_input = ".".join(b64(part) for part in parts)
    return f"{signing_input}.{b64(sign(signing_input.encode()))}"


def canonical(header: Mapping[str, Any] = HEADER, claims: Mapping[str, Any] = CLAIMS) -> str:
    """A receipt that differs from a good one only in what is given."""
    return forge(rfc8785.dumps(dict(header)), rfc8785.dumps(dict(claims)))


def signed() -> str:
    return ReceiptSigner(PEM, KID, ISSUER).sign(CONTENT, receipt_id="r", issued_at=1764547200)


def reason_against(receipt: str, jwks: Mapping[str, Any] = JWKS) -> str:
    with pytest.raises(ReceiptInvalidError) as caught:
        verify_receipt(receipt, jwks)
    return str(caught.value)


# Edited


@pytest.mark.parametrize("part", [0, 1, 2])
@given(place=st.integers(0), character=st.sampled_from("AZaz09-_+/=. \n!é"))
def test_a_receipt_with_one_other_character_is_refused(part: int, place: int, character: str) -> None:
    segments = GOOD.split(".")
    at = place % len(segments[part])
    if segments[part][at] == character:
        character = "B"
    segments[part] = segments[part][:at] + character + segments[part][at + 1 :]
    reason_against(".".join(segments))


@given(place=st.integers(0), character=st.sampled_from("A-=. \n!é"))
def test_a_receipt_with_one_character_more_or_less_is_refused(place: int, character: str) -> None:
    at = place % (len(GOOD) + 1)
    reason_against(GOOD[:at] + character + GOOD[at:])
    reason_against(GOOD[: place % len(GOOD)] + GOOD[place % len(GOOD) + 1 :])


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_empty_part_is_refused(part: int) -> None:
    segments = GOOD.split(".")
    segments[part] = ""
    reason_against(".".join(segments))


def test_the_same_signature_in_another_spelling_is_refused() -> None:
    *rest, signature = GOOD.split(".")
    respelled = signature[:-1] + chr(ord(signature[-1]) + 1)  # its last four bits say nothing
    assert base64.urlsafe_b64decode(respelled + "==") == base64.urlsafe_b64decode(signature + "==")
    for spelling in (respelled, signature + "==", f"{signature}\n", f"{signature[:9]}!{signature[9:]}"):
        assert reason_against(".".join([*rest, spelling])) == NOT_BASE64


def test_claims_of_one_receipt_with_the_signature_of_another_are_refused() -> None:
    header, _, signature = GOOD.split(".")
    assert (
        reason_against(f"{header}.{b64(rfc8785.dumps(CLAIMS | {'grant_id': 'h'}))}.{signature}") == SIGNATURE
    )


# No receipt of ours


@pytest.mark.parametrize(
    "receipt", ["", "a", "a.b", "a.b.c.d", "." * 5, json.dumps({"payload": "", "signatures": []})]
)
def test_what_is_no_compact_jws_is_refused(receipt: str) -> None:
    assert reason_against(receipt) == "it is no compact JWS"


def test_a_receipt_that_is_too_long_is_refused() -> None:
    assert reason_against(canonical(claims=CLAIMS | {"x": "a" * 256 * 1024})) == "it is no compact JWS"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "HS256", "ES384", "RS256", "EdDSA", "", None, ["ES256"]]
)
def test_another_algorithm_is_refused(algorithm: object) -> None:
    assert reason_against(forge(HEADER | {"alg": algorithm}, CLAIMS)) == NOT_OURS


def test_an_unsigned_receipt_is_refused() -> None:
    reason_against(forge(HEADER | {"alg": "none"}, CLAIMS, lambda _: b""))
    reason_against(forge(rfc8785.dumps(HEADER), rfc8785.dumps(CLAIMS), lambda _: b""))


def test_the_public_key_as_a_shared_secret_is_refused() -> None:
    def confused(signing_input: bytes) -> bytes:
        return hmac.digest(PUBLIC_PEM, signing_input, hashlib.sha256)

    assert reason_against(forge(HEADER | {"alg": "HS256"}, CLAIMS, confused)) == NOT_OURS
    assert reason_against(forge(rfc8785.dumps(HEADER), rfc8785.dumps(CLAIMS), confused)) == SIGNATURE


@pytest.mark.parametrize("media_type", ["JWT", "at+jwt", "consent-receipt", "CONSENT-RECEIPT+JWS", None])
def test_another_type_is_refused(media_type: str | None) -> None:
    assert reason_against(canonical(HEADER | {"typ": media_type})) == NOT_OURS


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"jwk": jwk_of(OTHER_KEY)},
        {"jku": "https://evil.example/jwks"},
        {"x5c": []},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
)
def test_a_header_with_any_other_member_is_refused(extra: dict[str, Any]) -> None:
    assert reason_against(canonical(HEADER | extra)) == MEMBERS


@pytest.mark.parametrize("member", list(HEADER))
def test_a_header_without_one_of_its_members_is_refused(member: str) -> None:
    assert reason_against(canonical({name: HEADER[name] for name in HEADER if name != member})) == MEMBERS


@pytest.mark.parametrize("kid", [None, 1, ["receipt-1"]])
def test_a_key_id_that_is_no_text_is_refused(kid: object) -> None:
    assert reason_against(canonical(HEADER | {"kid": kid})) == MEMBERS


def test_a_header_with_a_member_twice_or_in_another_spelling_is_refused() -> None:
    twice = b'{"alg":"none","alg":"ES256","kid":"receipt-1","typ":"consent-receipt+jws"}'
    assert reason_against(forge(twice, rfc8785.dumps(CLAIMS))) == NOT_CANONICAL
    assert reason_against(forge(json.dumps(HEADER).encode(), rfc8785.dumps(CLAIMS))) == NOT_CANONICAL


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"\xff", "a part of it is not JSON"),
        (b"[]", "a part of it is not a JSON object"),
        (b'"ES256"', "a part of it is not a JSON object"),
        (b"{" * 2000, "a part of it is not JSON"),
    ],
)
def test_a_header_that_is_no_json_object_is_refused(header: bytes, reason: str) -> None:
    assert reason_against(forge(header, CLAIMS)) == reason


# Signed, and yet no receipt


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not json", "a part of it is not JSON"),
        (b"[1]", "a part of it is not a JSON object"),
        (json.dumps(CLAIMS).encode(), NOT_CANONICAL),
        (rfc8785.dumps(CLAIMS) + b" ", NOT_CANONICAL),
        (rfc8785.dumps(CLAIMS)[:-1] + b',"z":1,"z":1}', NOT_CANONICAL),
        (rfc8785.dumps(CLAIMS)[:-1] + b',"z":9007199254740992}', NOT_CANONICAL),
        (rfc8785.dumps(CLAIMS)[:-1] + b',"z":' + b"[" * 990 + b"]" * 990 + b"}", NOT_CANONICAL),
    ],
)
def test_a_signed_content_that_is_not_canonical_json_is_refused(content: bytes, reason: str) -> None:
    assert reason_against(forge(rfc8785.dumps(HEADER), content)) == reason


@pytest.mark.parametrize("name", ["iss", "aud", "jti", "iat", "grant_id"])
@pytest.mark.parametrize("value", [None, True, 1.5, ["x"]])
def test_a_signed_claim_of_another_type_is_refused(name: str, value: object) -> None:
    reason = f"the claim {name} is missing or has the wrong type"
    assert reason_against(canonical(claims=CLAIMS | {name: value})) == reason
    assert reason_against(canonical(claims={key: CLAIMS[key] for key in CLAIMS if key != name})) == reason


@pytest.mark.parametrize("audience", ["", "https://broker.example", RECEIPT_AUDIENCE + "x"])
def test_a_token_for_another_use_is_refused(audience: str) -> None:
    assert reason_against(canonical(claims=CLAIMS | {"aud": audience})) == "it was made for another use"


# Keys


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": None},
        {"keys": {KID: jwk_of(KEY)}},
        {"keys": []},
        {"keys": ["no key", None]},
        {"keys": [jwk_of(KEY, "another")]},
        {"keys": [jwk_of(KEY), jwk_of(KEY)]},
        {"keys": [jwk_of(KEY) | {"kty": "OKP"}]},
        {"keys": [jwk_of(KEY) | {"crv": "P-384"}]},
        {"keys": [{"kty": "oct", "kid": KID, "k": b64(PUBLIC_PEM)}]},
    ],
)
def test_a_key_set_without_exactly_one_receipt_key_of_this_id_is_refused(jwks: dict[str, Any]) -> None:
    assert reason_against(signed(), jwks) == NO_KEY


@pytest.mark.parametrize("x", [None, "", "é", "A", "AA", 7, 10**18, [1], {"a": 1}, "A" * 43, "A" * 100])
def test_a_malformed_key_is_refused(x: object) -> None:
    assert reason_against(signed(), {"keys": [jwk_of(KEY) | {"x": x}]}) == MALFORMED


def test_another_key_under_the_same_id_is_refused() -> None:
    assert reason_against(signed(), {"keys": [jwk_of(OTHER_KEY)]}) == SIGNATURE


def test_a_signer_without_the_cryptography_backend_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent.receipt_signature.ECKey", ECDSAECKey)
    with pytest.raises(RuntimeError):
        ReceiptSigner(PEM, KID, ISSUER)


# Good ones


def test_a_receipt_comes_back_with_the_signers_claims() -> None:
    assert verify_receipt(signed(), JWKS) == CLAIMS
    assert verify_receipt(canonical(), JWKS) == CLAIMS


def test_what_a_receipt_of_our_own_store_says_is_read_without_a_key() -> None:
    assert claims_of(signed()) == CLAIMS
    with pytest.raises(ReceiptInvalidError):
        claims_of("receipt")


def test_a_path_becomes_an_address_of_the_issuer() -> None:
    content = CONTENT | {"a": [{"@id": "/ko/x"}], "b": {"@id": "dpv:Consent"}, "c": "/ko/x", "d": {"@id": 1}}
    claims = verify_receipt(ReceiptSigner(PEM, KID, ISSUER).sign(content, receipt_id="r", issued_at=1), JWKS)
    assert claims["a"] == [{"@id": f"{ISSUER}/ko/x"}]
    assert (claims["b"], claims["c"], claims["d"]) == ({"@id": "dpv:Consent"}, "/ko/x", {"@id": 1})


def test_content_cannot_speak_for_the_signer() -> None:
    content = CONTENT | {"iss": "https://evil.example", "aud": "x", "jti": "x", "iat": 0}
    receipt = ReceiptSigner(PEM, KID, ISSUER).sign(content, receipt_id="r", issued_at=1764547200)
    assert verify_receipt(receipt, JWKS) == CLAIMS


def test_another_library_verifies_the_same_receipt() -> None:
    receipt = signed()
    verified = jws.deserialize_compact(receipt, ECKey.import_key(jwk_of(KEY)), algorithms=["ES256"])
    assert verified.headers() == HEADER
    assert verified.payload == rfc8785.dumps(CLAIMS)
    assert json.loads(verified.payload) == verify_receipt(receipt, JWKS)


@given(text=st.text(), number=st.integers(-(2**53) + 1, 2**53 - 1))
def test_whatever_is_signed_is_what_both_libraries_read(text: str, number: int) -> None:
    content = CONTENT | {"text": text, "number": number}
    receipt = ReceiptSigner(PEM, KID, ISSUER).sign(content, receipt_id="r", issued_at=1)
    claims = verify_receipt(receipt, JWKS)
    assert (claims["text"], claims["number"]) == (text, number)
    verified = jws.deserialize_compact(receipt, ECKey.import_key(jwk_of(KEY)), algorithms=["ES256"])
    assert json.loads(verified.payload) == claims


GOOD: Final = signed()
