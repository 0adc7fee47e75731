"""The one hardened door to joserfc: verify untrusted JWTs, sign ours, encrypt to recipients, handle JWKs.

RFC 7515, 7516, 7517, 7518, 7638, 8037 and 9864 under the rules of RFC 8725: the caller names the
algorithms, asymmetric ones only; `crit` and detached payloads are refused; ES256 means P-256 and RSA
at least 2048 bits. Whatever a stranger sends, the only error is UntrustedTokenError. Times, issuers
and audiences are the caller's to check; `vault.untrusted` reads claims of the right type.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal, Protocol

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwe, jws
from joserfc import jwk as joserfc_jwk
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import ESAlgorithm, JWSAlgModel

from vault.errors import UntrustedTokenError
from vault.untrusted import decode_base64url, parse_object

Jwk = dict[str, Any]
KeyKind = Literal["ES256", "PS256", "Ed25519"]

MAX_TOKEN_BYTES: Final = 16 * 1024

_MAX_HEADER_BYTES: Final = 8192
_RSA_BITS: Final = range(2048, 4096 + 1)
_NEW_RSA_BITS: Final = 3072

# The key type that each algorithm takes. Nothing symmetric, no `none`.
_KEY_TYPES: Final = {"ES256": "EC", "PS256": "RSA", "RS256": "RSA", "Ed25519": "OKP", "EdDSA": "OKP"}
# RFC 7638 section 3.2 and RFC 8037 section 2: the members that are the key. Sizes are fixed but for RSA's.
_MEMBERS: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
_CURVES: Final = {"EC": "P-256", "OKP": "Ed25519"}
# RFC 7518 section 6.2.1.1 and RFC 8037 section 2: curves of keys for encryption that we pass over, for a
# client may have them for others. What is in no list is refused.
_FOREIGN_CURVES: Final = frozenset({"P-256", "P-384", "P-521", "X25519", "X448"})
# RFC 8705 section 2.2: a certificate's key signs no token here, so these will do too. Bytes of a coordinate.
_CERTIFICATE_CURVES: Final = {"P-384": 48, "P-521": 66}
_COORDINATE_BYTES: Final = 32
# RFC 7518 sections 4.6 and 5.3: how a payload is encrypted to its recipient.
_WRAPPING: Final = "ECDH-ES+A256KW"
_ENCRYPTION: Final = "A256GCM"
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class PublishedKey(Protocol):
    """A key that can stand in a public key set."""

    @property
    def public_jwk(self) -> Jwk: ...


class _Registry(jws.JWSRegistry):
    """joserfc's algorithms without its defaults: what the caller names, and headers long enough for a JWK."""

    max_header_length = _MAX_HEADER_BYTES

    def __init__(self, algorithms: Collection[str]) -> None:
        # RFC 7515 section 4: header members that are not understood are ignored.
        super().__init__(algorithms=frozenset(algorithms), strict_check_header=False)

    def get_alg(self, name: str) -> JWSAlgModel:
        # joserfc's own warns of EdDSA (RFC 9864), which is still what most clients send.
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


class _Repeatable(ESAlgorithm):
    """ES256 whose random number is made of key and message (RFC 6979 section 3.2)."""

    def sign(self, msg: bytes, key: Any) -> bytes:  # noqa: ANN401 - joserfc's own
        signature = key.get_op_key("sign").sign(msg, ECDSA(SHA256(), deterministic_signing=True))
        return b"".join(part.to_bytes(_COORDINATE_BYTES) for part in decode_dss_signature(signature))


class _RepeatableRegistry(_Registry):
    """ES256 alone, and every time the same signature."""

    def get_alg(self, name: str) -> JWSAlgModel:
        del name
        return _Repeatable("ES256", _CURVES["EC"], 256)


def verify_jwt(
    token: str,
    keys: Mapping[str, Any],
    *,
    algorithms: Collection[str],
    typ: str | None,
    max_bytes: int = MAX_TOKEN_BYTES,
) -> tuple[Jwk, dict[str, Any]]:
    """Verify a compact JWS with the one key of a JWK set that fits; its header and claims.

    `algorithms` of ES256, PS256, Ed25519, EdDSA, RS256 (ValueError for another). `typ` is the wanted
    media type without "application/"; None takes any. Raises UntrustedTokenError.
    """
    unverified_header, unverified_claims = _parse(token, max_bytes)
    algorithm = _check_header(unverified_header, algorithms, typ)
    jwk = _choose_key(keys, unverified_header.get("kid"), algorithm)
    _verify(token, jwk, algorithm)
    return unverified_header, unverified_claims


def verify_self_signed(
    token: str,
    *,
    typ: str = "dpop+jwt",
    algorithms: Collection[str] = ("ES256", "PS256", "Ed25519", "EdDSA"),
    max_bytes: int = MAX_TOKEN_BYTES,
) -> tuple[Jwk, dict[str, Any]]:
    """Verify a JWS with the key in its own header (RFC 9449 section 4.2); the public JWK and the claims.

    It proves possession of that key and nothing else. Raises UntrustedTokenError.
    """
    unverified_header, unverified_claims = _parse(token, max_bytes)
    algorithm = _check_header(unverified_header, algorithms, typ)
    jwk = unverified_header.get("jwk")
    if not isinstance(jwk, dict):
        raise UntrustedTokenError("no jwk in the header")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise UntrustedTokenError("the header's jwk holds a private key")
    if not _fits(jwk, algorithm):
        raise UntrustedTokenError("the header's jwk does not fit the algorithm")
    _verify(token, jwk, algorithm)
    return _public_members(jwk), unverified_claims


def peek(token: str, *, max_bytes: int = MAX_TOKEN_BYTES) -> tuple[Jwk, dict[str, Any]]:
    """The UNVERIFIED header and claims: only to learn whose keys to verify with. UntrustedTokenError."""
    return _parse(token, max_bytes)


def sign_jwt(claims: Mapping[str, Any], private_pem: bytes, *, kid: str, typ: str, alg: str) -> str:
    """Sign claims with a key of ours; a compact JWS. ValueError if algorithm and key do not fit."""
    return _sign(claims, _import_pem(private_pem), {"alg": alg, "typ": typ, "kid": kid})


def sign_again(claims: Mapping[str, Any], private_pem: bytes, *, kid: str, typ: str) -> str:
    """Sign claims with an ES256 key of ours: the same claims give the same JWS (RFC 6979).

    ValueError if the key is of another kind.
    """
    key, header = _import_pem(private_pem), {"alg": "ES256", "typ": typ, "kid": kid}
    return _sign(claims, key, header, _RepeatableRegistry(["ES256"]))


def sign_with_jwk(
    claims: Mapping[str, Any], private_jwk: Mapping[str, Any], header: Mapping[str, Any]
) -> str:
    """Sign claims with a private JWK; `header` names `alg` and `typ`. ValueError if they do not fit."""
    return _sign(claims, joserfc_jwk.import_key(dict(private_jwk)), dict(header))


def generate_private_jwk(kind: KeyKind) -> Jwk:
    """A new private JWK for a client, with kid (RFC 7638), use and alg."""
    key: joserfc_jwk.Key
    if kind == "PS256":
        key = joserfc_jwk.RSAKey.generate_key(_NEW_RSA_BITS)
    elif kind == "ES256":
        key = joserfc_jwk.ECKey.generate_key(_CURVES["EC"])
    else:
        key = joserfc_jwk.OKPKey.generate_key("Ed25519")
    private_jwk = dict(key.as_dict(private=True))
    return private_jwk | {"kid": thumbprint(private_jwk), "use": "sig", "alg": kind}


def public_jwk(private_jwk: Mapping[str, Any]) -> Jwk:
    """The public part of a JWK: the key itself and its kid, use and alg if it has them."""
    described = {name: private_jwk[name] for name in ("kid", "use", "alg") if name in private_jwk}
    return _public_members(private_jwk) | described


def public_jwk_of_pem(private_pem: bytes) -> Jwk:
    """The public JWK of a private key of ours, with kid (RFC 7638), use and alg."""
    jwk = _public_members(_import_pem(private_pem).as_dict(private=False))
    # OIDC Core section 15.1: RS256 is what every client takes, and an RSA key of ours is for that alone.
    algorithm = {"EC": "ES256", "OKP": "Ed25519", "RSA": "RS256"}[jwk["kty"]]
    return jwk | {"kid": thumbprint(jwk), "use": "sig", "alg": algorithm}


def public_jwks(keys: Iterable[PublishedKey]) -> dict[str, list[Jwk]]:
    """The JWK set that we publish."""
    return {"keys": [public_jwk(key.public_jwk) for key in keys]}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638 SHA-256 thumbprint of a public or private JWK. UntrustedTokenError if it is no good key."""
    return joserfc_jwk.thumbprint(_public_members(jwk))


def check_public_jwks(keys: Mapping[str, Any], *, of_certificates: bool = False) -> None:
    """Refuse a client's key set that holds a private, secret, weak or nameless key, or an unknown curve.

    Keys for encryption too, which nothing is encrypted to. `of_certificates`: a key may stand for a client
    certificate, on a curve that no token of ours is signed with. UntrustedTokenError.
    """
    names = set()
    for jwk in _keys_of(keys):
        if not isinstance(jwk, dict):
            raise UntrustedTokenError("malformed key set")
        if jwk.get("kty") == "oct" or not _PRIVATE_MEMBERS.isdisjoint(jwk):
            raise UntrustedTokenError("the key set holds a private or secret key")
        kid = jwk.get("kid")
        if not isinstance(kid, str) or kid in names:
            raise UntrustedTokenError("every key needs a kid of its own")
        names.add(kid)
        curve = _text(jwk.get("crv"))
        if jwk.get("use") != "enc":
            is_certificates = of_certificates and jwk.get("kty") == "EC" and curve in _CERTIFICATE_CURVES
            _import_members(_certificate_members(jwk) if is_certificates else _public_members(jwk))
        elif jwk.get("kty") == "RSA":
            _public_members(jwk)
        elif curve not in _FOREIGN_CURVES:
            raise UntrustedTokenError("curve not supported")


def encryption_key(keys: Mapping[str, Any]) -> Jwk:
    """The first key of a client's set that answers can be encrypted to: EC, P-256, use `enc`, with a kid.

    UntrustedTokenError if there is none.
    """
    for jwk in _keys_of(keys):
        is_named = isinstance(jwk, dict) and isinstance(jwk.get("kid"), str)
        if not is_named or jwk.get("use") != "enc" or jwk.get("alg", _WRAPPING) != _WRAPPING:
            continue
        if jwk.get("kty") == "EC" and jwk.get("crv") == _CURVES["EC"]:
            _import_public(jwk)
            return {**_public_members(jwk), "kid": jwk["kid"]}
    raise UntrustedTokenError("no key to encrypt to")


def encrypt(content: bytes, key: Jwk) -> str:
    """Compact JWE (RFC 7516) of JSON bytes to a key of `encryption_key`: ECDH-ES+A256KW, A256GCM."""
    header = {"alg": _WRAPPING, "enc": _ENCRYPTION, "kid": key["kid"], "cty": "application/json"}
    registry = jwe.JWERegistry(algorithms=[_WRAPPING, _ENCRYPTION])
    return jwe.encrypt_compact(header, content, joserfc_jwk.ECKey.import_key(key), registry=registry)


def _parse(token: str, max_bytes: int) -> tuple[Jwk, dict[str, Any]]:
    if len(token) > max_bytes:
        raise UntrustedTokenError("token too long")
    segments = token.split(".")
    if len(segments) != 3:  # noqa: PLR2004 - RFC 7515 section 7.1: header, payload, signature
        raise UntrustedTokenError("not a compact JWS")
    header, claims, signature = (decode_base64url(segment) for segment in segments)
    if len(segments[0]) > _MAX_HEADER_BYTES or not signature:
        raise UntrustedTokenError("malformed token")
    return parse_object(header), parse_object(claims)


def _check_header(header: Jwk, algorithms: Collection[str], typ: str | None) -> str:
    if not algorithms or not set(algorithms) <= set(_KEY_TYPES):
        raise ValueError("name the algorithms, asymmetric ones")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise UntrustedTokenError("algorithm not allowed")
    if "crit" in header or "b64" in header:
        raise UntrustedTokenError("critical header extension")
    if not isinstance(header.get("kid", ""), str):
        raise UntrustedTokenError("malformed kid")
    if typ is not None and _media_type(header.get("typ")) != typ:
        raise UntrustedTokenError(f"typ is not {typ}")
    return algorithm


def _media_type(raw: object) -> str | None:
    """RFC 7515 section 4.1.9: media types, not case-sensitive, "application/" may be left out."""
    return raw.lower().removeprefix("application/") if isinstance(raw, str) else None


def _keys_of(keys: Mapping[str, Any]) -> list[Any]:
    found = keys.get("keys")
    if not isinstance(found, list):
        raise UntrustedTokenError("malformed key set")
    return found


def _choose_key(keys: Mapping[str, Any], kid: str | None, algorithm: str) -> Jwk:
    """The one key that fits; keys of kinds that we do not know are passed over (RFC 7517 section 5)."""
    fitting: list[Jwk] = [
        jwk
        for jwk in _keys_of(keys)
        if isinstance(jwk, dict) and _fits(jwk, algorithm) and kid in {None, _text(jwk.get("kid"))}
    ]
    if len(fitting) != 1:
        raise UntrustedTokenError("no key, or more than one, fits the token")
    return fitting[0]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _fits(jwk: Jwk, algorithm: str) -> bool:
    """Whether a key may be used so: type, curve, and its own use, alg and key_ops if it has them."""
    kty = _KEY_TYPES[algorithm]
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("kty") == kty
        and jwk.get("crv") == _CURVES.get(kty)
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
    )


def _public_members(jwk: Mapping[str, Any]) -> Jwk:
    """Only the members that are the public key, strictly checked. UntrustedTokenError."""
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _MEMBERS:
        raise UntrustedTokenError("key type not supported")
    if kty == "RSA":
        if int.from_bytes(decode_base64url(jwk.get("n"))).bit_length() not in _RSA_BITS:
            raise UntrustedTokenError("RSA key too short or too long")
        decode_base64url(jwk.get("e"))
    elif jwk.get("crv") != _CURVES[kty]:
        raise UntrustedTokenError("curve not supported")
    else:
        coordinates = [decode_base64url(jwk.get(name)) for name in _MEMBERS[kty] if name in {"x", "y"}]
        if any(len(coordinate) != _COORDINATE_BYTES for coordinate in coordinates):
            raise UntrustedTokenError("malformed key")
    return {name: jwk[name] for name in _MEMBERS[kty]}


def _certificate_members(jwk: Mapping[str, Any]) -> Jwk:
    """The members of a key on a curve of certificates (RFC 7518 section 6.2.1). UntrustedTokenError."""
    size = _CERTIFICATE_CURVES[jwk["crv"]]
    if any(len(decode_base64url(jwk.get(name))) != size for name in ("x", "y")):
        raise UntrustedTokenError("malformed key")
    return {name: jwk[name] for name in _MEMBERS["EC"]}


def _import_public(jwk: Mapping[str, Any]) -> joserfc_jwk.Key:
    return _import_members(_public_members(jwk))


def _import_members(members: Jwk) -> joserfc_jwk.Key:
    try:
        return joserfc_jwk.import_key(members)
    except (JoseError, ValueError):
        raise UntrustedTokenError("malformed key") from None


def _import_pem(private_pem: bytes) -> joserfc_jwk.Key:
    # Skipped is the check that an RSA key's numbers belong together, 140 ms a signature: ours come from under
    # a seal.
    match load_pem_private_key(private_pem, password=None, unsafe_skip_rsa_key_validation=True):
        case EllipticCurvePrivateKey() as key:
            return joserfc_jwk.ECKey.import_key(key)
        case Ed25519PrivateKey() as key:
            return joserfc_jwk.OKPKey.import_key(key)
        case RSAPrivateKey() as key:
            return joserfc_jwk.RSAKey.import_key(key)
        case _:
            raise ValueError("a private key of ours is ES256, Ed25519 or RS256")


def _verify(token: str, jwk: Jwk, algorithm: str) -> None:
    key = _import_public(jwk)
    registry = _Registry([algorithm])
    registry.max_payload_length = len(token)
    try:
        jws.deserialize_compact(token, key, registry=registry)
    except (JoseError, ValueError):
        raise UntrustedTokenError("the signature does not verify") from None


def _sign(
    claims: Mapping[str, Any], key: joserfc_jwk.Key, header: Jwk, registry: _Registry | None = None
) -> str:
    algorithm, jwk = str(header.get("alg")), key.as_dict(private=False)
    if algorithm not in _KEY_TYPES or not _fits(jwk | {"key_ops": ["verify"]}, algorithm):
        raise ValueError("the key does not fit the algorithm")
    _public_members(jwk)
    content = rfc8785.dumps(dict(claims))
    return jws.serialize_compact(header, content, key, registry=registry or _Registry([algorithm]))
