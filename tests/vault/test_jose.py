"""The hardened door: every known trick with JWTs and JWKs is refused (RFC 8725, RFC 9449 section 4.3)."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwk as joserfc_jwk
from joserfc import jws
from joserfc.errors import UnsupportedAlgorithmError

from vault.errors import UntrustedTokenError
from vault.jose import (
    Jwk,
    _Registry,
    check_public_jwks,
    generate_private_jwk,
    peek,
    public_jwk,
    public_jwk_of_pem,
    sign_jwt,
    sign_with_jwk,
    thumbprint,
    verify_jwt,
    verify_self_signed,
)

CLAIMS = {"iss": "client", "jti": "1", "iat": 1_795_000_000}
EC = generate_private_jwk("ES256")
RSA = generate_private_jwk("PS256")
OKP = generate_private_jwk("Ed25519")
KEYS = {"keys": [public_jwk(key) for key in (EC, RSA, OKP)]}
ALL = ["ES256", "PS256", "Ed25519", "EdDSA"]
RSA_OF_RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
    "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
    "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
    "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
}


def encode(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def raw_token(header: object, claims: object = CLAIMS, signature: bytes = b"x" * 64) -> str:
    return ".".join([encode(header), encode(claims), encode(signature)])


def signed(key: Mapping[str, Any], payload: bytes, **header: object) -> str:
    """A token by joserfc itself, without our rules."""
    names = {"alg": "ES256", "typ": "test+jwt"} | header
    registry = jws.JWSRegistry(algorithms=list(jws.JWSRegistry.algorithms), strict_check_header=False)
    registry.max_header_length = 100_000
    return jws.serialize_compact(names, payload, joserfc_jwk.import_key(dict(key)), registry=registry)


def token_of(key: Jwk = EC, **header: object) -> str:
    return signed(key, json.dumps(CLAIMS).encode(), **{"alg": key["alg"], "kid": key["kid"]} | header)


def verify(token: str, keys: Mapping[str, Any] | None = None, **options: Any) -> tuple[Jwk, dict[str, Any]]:  # noqa: ANN401 - options of several types
    chosen = {"algorithms": ALL, "typ": "test+jwt"} | options
    return verify_jwt(token, KEYS if keys is None else keys, **chosen)


def refuse(token: str, keys: Mapping[str, Any] | None = None, **options: Any) -> str:  # noqa: ANN401 - as above
    with pytest.raises(UntrustedTokenError) as caught:
        verify(token, keys, **options)
    assert caught.value.__cause__ is None
    return caught.value.reason


@pytest.mark.parametrize(
    "alg", ["none", "None", "HS256", "HS512", "RS256", "ES384", "ES256K", "Ed448", "", None, 1, ["ES256"]]
)
def test_an_algorithm_that_was_not_asked_for_is_refused(alg: object) -> None:
    assert "algorithm" in refuse(raw_token({"alg": alg, "typ": "test+jwt", "kid": EC["kid"]}))


def test_the_public_key_is_no_hmac_secret() -> None:
    header, payload = encode({"alg": "HS256", "typ": "test+jwt", "kid": EC["kid"]}), encode(CLAIMS)
    for secret in (json.dumps(public_jwk(EC)).encode(), EC["x"].encode()):
        mac = hmac.new(secret, f"{header}.{payload}".encode(), hashlib.sha256).digest()
        refuse(f"{header}.{payload}.{encode(mac)}")


@pytest.mark.parametrize("algorithms", [[], ["HS256"], ["none"], ["ES256", "HS256"], ["ES384"]])
def test_asking_for_no_or_a_symmetric_algorithm_is_a_fault_of_the_program(algorithms: list[str]) -> None:
    with pytest.raises(ValueError, match="asymmetric"):
        verify(token_of(), algorithms=algorithms)


def test_rs256_is_verified_only_when_asked_for() -> None:
    key = {name: value for name, value in RSA.items() if name != "alg"}
    keys = {"keys": [public_jwk(key)]}
    token = signed(key, json.dumps(CLAIMS).encode(), alg="RS256", kid=key["kid"])
    refuse(token, keys)
    assert verify(token, keys, algorithms=["RS256"])[1] == CLAIMS


@pytest.mark.parametrize("position", range(3))
def test_an_altered_segment_is_refused(position: int) -> None:
    segments = token_of().split(".")
    middle = len(segments[position]) // 2
    other = "A" if segments[position][middle] != "A" else "B"
    segments[position] = segments[position][:middle] + other + segments[position][middle + 1 :]
    refuse(".".join(segments))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "가.나.다",
        "e30.e30.",
        "e30..e30",
        ".e30.e30",
        "e30.e30.e30.e30.e30",
        " " + "e30.e30.e30",
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    refuse(token)


@pytest.mark.parametrize(
    "change",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": True},
        {"kid": 7},
        {"kid": None},
        {"kid": "unknown"},
        {"typ": None},
        {"typ": 7},
        {"typ": "JWT"},
        {"typ": "application/dpop+jwt"},
        {"x5c": "not a list"},
    ],
)
def test_a_header_that_means_something_else_is_refused(change: dict[str, object]) -> None:
    refuse(raw_token({"alg": "ES256", "typ": "test+jwt", "kid": EC["kid"]} | change))


def test_a_header_without_typ_is_refused_if_one_is_wanted() -> None:
    refuse(raw_token({"alg": "ES256", "kid": EC["kid"]}))


def test_a_token_or_header_too_long_is_refused() -> None:
    assert "long" in refuse(token_of(), max_bytes=100)
    assert "malformed" in refuse(token_of(note="x" * 9000))


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b"not json", b'{"a":1,"a":2}', b"\xff"])
def test_claims_that_are_no_object_are_refused_though_signed(payload: bytes) -> None:
    refuse(signed(EC, payload, kid=EC["kid"]))


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"alg": "ES512"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"kty": "RSA"},
        {"crv": "P-384"},
        {"x": "AAAA"},
        {"x": 7},
        {"y": "A" * 43},
        {"kid": ["x"]},
    ],
)
def test_a_key_that_is_not_for_this_is_refused(change: dict[str, object]) -> None:
    refuse(token_of(), {"keys": [public_jwk(EC) | change]})


@pytest.mark.parametrize(
    "keys", [{}, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": [None, 7, "x", []]}, {"keys": [{}]}]
)
def test_a_key_set_without_a_key_is_refused(keys: dict[str, object]) -> None:
    refuse(token_of(), keys)


def test_without_a_kid_exactly_one_key_must_fit() -> None:
    token = signed(EC, json.dumps(CLAIMS).encode())
    other = public_jwk(generate_private_jwk("ES256"))
    assert verify(token)[1] == CLAIMS
    refuse(token, {"keys": [public_jwk(EC), other]})
    refuse(token_of(), {"keys": [public_jwk(EC), other | {"kid": EC["kid"]}]})


def test_a_weak_rsa_key_is_refused() -> None:
    native = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    with pytest.warns(UserWarning, match="2048"):
        weak = joserfc_jwk.RSAKey.import_key(native)
    key = dict(weak.as_dict(private=True))
    numbers = native.private_numbers().public_numbers
    assert numbers.n.bit_length() == 1024
    jwk = {"kty": "RSA", "n": key["n"], "e": key["e"], "kid": "weak"}
    assert "RSA" in refuse(raw_token({"alg": "PS256", "typ": "test+jwt", "kid": "weak"}), {"keys": [jwk]})
    with pytest.raises(UntrustedTokenError, match="RSA"):
        thumbprint(jwk)


def test_an_rsa_key_whose_exponent_is_even_is_refused() -> None:
    jwk = public_jwk(RSA) | {"e": "Ag"}
    refuse(raw_token({"alg": "PS256", "typ": "test+jwt", "kid": jwk["kid"]}), {"keys": [jwk]})


@pytest.mark.parametrize("key", [EC, RSA, OKP], ids=["EC", "RSA", "OKP"])
def test_a_good_token_gives_header_and_claims(key: Jwk) -> None:
    header, claims = verify(token_of(key))
    assert (header["kid"], claims) == (key["kid"], CLAIMS)


def test_eddsa_by_its_old_name_is_verified_without_a_warning() -> None:
    key = {name: value for name, value in OKP.items() if name != "alg"}
    token = sign_with_jwk(CLAIMS, key, {"alg": "EdDSA", "typ": "test+jwt", "kid": key["kid"]})
    assert verify(token, {"keys": [public_jwk(key)]})[1] == CLAIMS


def test_header_members_that_we_do_not_know_are_ignored() -> None:
    assert verify(token_of(note="hello", jwk=public_jwk(RSA)))[1] == CLAIMS


@pytest.mark.parametrize("typ", ["test+jwt", "application/test+jwt", "TEST+JWT", "Application/Test+JWT"])
def test_a_media_type_has_several_spellings(typ: str) -> None:
    assert verify(token_of(typ=typ))[1] == CLAIMS


def test_typ_is_not_looked_at_if_none_is_wanted() -> None:
    assert verify(token_of(typ="whatever"), typ=None)[1] == CLAIMS


def test_a_key_of_an_unknown_type_in_the_set_is_passed_over() -> None:
    assert verify(token_of(), {"keys": [{"kty": "AKP", "kid": EC["kid"]}, public_jwk(EC)]})[1] == CLAIMS


def test_peeking_verifies_nothing() -> None:
    assert peek(raw_token({"alg": "none"}))[1] == CLAIMS
    with pytest.raises(UntrustedTokenError):
        peek("x")


@pytest.mark.parametrize(
    ("jwk", "alg"),
    [
        (EC, "ES256"),
        (OKP, "Ed25519"),
        (RSA, "PS256"),
        ({"kty": "oct", "k": "AAAA"}, "ES256"),
        (public_jwk(EC) | {"k": "AAAA"}, "ES256"),
        (public_jwk(EC), "PS256"),
        (public_jwk(EC) | {"use": "enc"}, "ES256"),
        ({"kty": "EC", "crv": "P-256"}, "ES256"),
        ({"kty": "OKP", "crv": "X25519", "x": OKP["x"]}, "Ed25519"),
        ({"kty": ["EC"]}, "ES256"),
        (None, "ES256"),
        ("EC", "ES256"),
        ([], "ES256"),
    ],
)
def test_a_proof_whose_key_is_private_secret_or_unfit_is_refused(jwk: object, alg: str) -> None:
    token = raw_token({"alg": alg, "typ": "dpop+jwt", "jwk": jwk})
    with pytest.raises(UntrustedTokenError):
        verify_self_signed(token)


def test_a_proof_signed_by_another_key_is_refused() -> None:
    token = token_of(EC, typ="dpop+jwt", jwk=public_jwk(generate_private_jwk("ES256")))
    with pytest.raises(UntrustedTokenError, match="signature"):
        verify_self_signed(token)
    with pytest.raises(UntrustedTokenError, match="no jwk"):
        verify_self_signed(token_of(EC, typ="dpop+jwt"))


def test_a_proof_with_a_point_off_the_curve_is_refused() -> None:
    bad = public_jwk(EC) | {"y": encode(b"\x01" * 32)}
    with pytest.raises(UntrustedTokenError, match="malformed key"):
        verify_self_signed(raw_token({"alg": "ES256", "typ": "dpop+jwt", "jwk": bad}))


@pytest.mark.parametrize("key", [EC, RSA, OKP], ids=["EC", "RSA", "OKP"])
def test_a_good_proof_gives_its_public_key_alone(key: Jwk) -> None:
    token = sign_with_jwk(CLAIMS, key, {"alg": key["alg"], "typ": "dpop+jwt", "jwk": public_jwk(key)})
    jwk, claims = verify_self_signed(token)
    assert claims == CLAIMS
    assert thumbprint(jwk) == key["kid"]
    assert not {"kid", "d", "use", "alg"} & set(jwk)


@pytest.mark.parametrize(
    "header", [{}, {"alg": "none"}, {"alg": "HS256"}, {"alg": "PS256"}, {"alg": "EdDSA"}, {"alg": ["ES256"]}]
)
def test_signing_with_an_algorithm_that_does_not_fit_is_a_fault_of_the_program(
    header: dict[str, object],
) -> None:
    with pytest.raises(ValueError, match="fit"):
        sign_with_jwk(CLAIMS, EC, header)


def test_the_registry_has_only_what_was_named() -> None:
    with pytest.raises(UnsupportedAlgorithmError):
        _Registry(["ES256"]).get_alg("HS256")


def test_our_own_pem_keys_sign() -> None:
    for native, alg in (
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
    ):
        pem = native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        jwk = public_jwk_of_pem(pem)
        assert (jwk["alg"], jwk["use"], jwk["kid"]) == (alg, "sig", thumbprint(jwk))
        token = sign_jwt(CLAIMS, pem, kid=jwk["kid"], typ="test+jwt", alg=alg)
        verified = verify_jwt(token, {"keys": [jwk]}, algorithms=[alg], typ="test+jwt")
        assert verified == ({"alg": alg, "kid": jwk["kid"], "typ": "test+jwt"}, CLAIMS)


def test_a_pem_of_another_kind_is_a_fault_of_the_program() -> None:
    native = x25519.X25519PrivateKey.generate()
    pem = native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="ES256, Ed25519 or RS256"):
        sign_jwt(CLAIMS, pem, kid="x", typ="test+jwt", alg="PS256")


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    assert thumbprint(RSA_OF_RFC_7638) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    ed25519_of_rfc_8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(ed25519_of_rfc_8037) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_members_of_an_rsa_key_are_checked() -> None:
    for change in ({"e": ""}, {"e": 3}, {"n": None}, {"n": "AA"}):
        with pytest.raises(UntrustedTokenError):
            thumbprint(RSA_OF_RFC_7638 | change)


def test_a_public_jwk_holds_nothing_private() -> None:
    for key in (EC, RSA, OKP):
        assert not {"d", "p", "q", "dp", "dq", "qi"} & set(public_jwk(key))
        assert public_jwk(key)["kid"] == key["kid"]
    assert public_jwk(RSA_OF_RFC_7638) == RSA_OF_RFC_7638


def rsa_of(bits: int) -> dict[str, str]:
    """An RSA key of this size, in its public numbers only: the size is what is looked at."""
    modulus = (1 << (bits - 1)) | 1
    return {"kty": "RSA", "n": encode(modulus.to_bytes((bits + 7) // 8)), "e": "AQAB", "kid": "rsa"}


@pytest.mark.parametrize(
    "keys",
    [
        {"keys": [EC]},
        {"keys": [public_jwk(EC), {"kty": "oct", "kid": "x"}]},
        {"keys": [public_jwk(EC), public_jwk(EC)]},
        {"keys": [{name: value for name, value in public_jwk(EC).items() if name != "kid"}]},
        {"keys": [public_jwk(EC) | {"crv": "P-384"}]},
        {"keys": [public_jwk(EC) | {"crv": "secp256k1"}]},
        {"keys": [public_jwk(OKP) | {"crv": "Ed448"}]},
        {"keys": [public_jwk(OKP) | {"crv": "X25519"}]},
        {"keys": [{"kty": "EC", "crv": "secp256k1", "use": "enc", "kid": "enc"}]},
        {"keys": [{"kty": "EC", "use": "enc", "kid": "enc"}]},
        {"keys": [{"kty": "AKP", "use": "enc", "kid": "enc"}]},
        {"keys": [{"kty": "AKP", "kid": "sig"}]},
        {"keys": [rsa_of(2047) | {"use": "enc"}]},
        {"keys": [rsa_of(2047) | {"use": "sig"}]},
        {"keys": [rsa_of(1024)]},
        {"keys": [rsa_of(8192)]},
        {"keys": [public_jwk(EC) | {"y": encode(b"\x01" * 32)}]},
        {"keys": ["x"]},
        {"keys": "x"},
    ],
)
def test_a_client_may_not_register_a_key_set_like_this(keys: dict[str, object]) -> None:
    with pytest.raises(UntrustedTokenError):
        check_public_jwks(keys)


def test_a_client_may_register_good_keys_and_keys_for_encryption() -> None:
    check_public_jwks({"keys": [*KEYS["keys"], {"kty": "EC", "crv": "P-384", "use": "enc", "kid": "enc"}]})
    check_public_jwks({"keys": [{"kty": "OKP", "crv": "X25519", "use": "enc", "kid": "enc"}]})
    check_public_jwks({"keys": [rsa_of(2048) | {"use": "enc"}, public_jwk(RSA)]})


def of_certificate(curve: ec.EllipticCurve, size: int, crv: str) -> dict[str, Any]:
    """The JWK of a certificate's key on this curve."""
    point = ec.generate_private_key(curve).public_key().public_numbers()
    x, y = (encode(number.to_bytes(size)) for number in (point.x, point.y))
    return {"kty": "EC", "crv": crv, "x": x, "y": y, "kid": crv}


P384: Final = of_certificate(ec.SECP384R1(), 48, "P-384")
P521: Final = of_certificate(ec.SECP521R1(), 66, "P-521")


@pytest.mark.parametrize("key", [P384, P521])
def test_a_key_on_another_curve_is_a_certificates_alone(key: dict[str, Any]) -> None:
    check_public_jwks({"keys": [key, public_jwk(EC)]}, of_certificates=True)
    with pytest.raises(UntrustedTokenError):
        check_public_jwks({"keys": [key]})


@pytest.mark.parametrize(
    "key",
    [
        P384 | {"y": P384["x"]},
        P384 | {"x": P384["x"][:-4]},
        P384 | {"x": None},
        P384 | {"crv": "P-521"},
        P384 | {"crv": "secp256k1"},
        P384 | {"crv": ["P-384"]},
        P384 | {"d": P384["x"]},
        P384 | {"kty": "OKP"},
        {"kty": "EC", "crv": [], "use": "enc", "kid": "enc"},
    ],
)
def test_what_is_no_key_of_a_certificate_either(key: dict[str, Any]) -> None:
    with pytest.raises(UntrustedTokenError):
        check_public_jwks({"keys": [key]}, of_certificates=True)
