"""The keys of a set, judged one by one: FAPI 2.0 Security Profile section 5.4 and RFC 7517."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from broker.oauth.self_check.findings import Finding, Requirement, judged
from vault.errors import UntrustedTokenError
from vault.jose import check_public_jwks
from vault.untrusted import decode_base64url, instant_claim

ALGORITHMS: Final = frozenset({"PS256", "ES256", "EdDSA", "Ed25519"})
RS256: Final = "RS256"
_SHORTEST_RSA: Final = 2048
_LONGEST_RSA: Final = 4096
_KINDS: Final = frozenset({"RSA", "EC", "OKP"})
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_SOON: Final = timedelta(days=30)

Jwk = Mapping[str, Any]


def check_keys(
    demands: Mapping[str, Requirement],
    keys: Iterable[object],
    *,
    takes_rs256: bool,
    now: datetime,
    of_certificates: bool = False,
) -> Iterator[Finding]:
    """A finding for each of `demands`: named, public, known, strong, algorithm, current.

    `of_certificates`: they may stand for client certificates, which are on more curves.
    """
    held = [key if isinstance(key, Mapping) else {} for key in keys]
    signing = [(name_of(key, number), key) for number, key in enumerate(held) if is_for_signing(key)]
    allowed = ALGORITHMS | {RS256} if takes_rs256 else ALGORITHMS
    yield judged(demands["named"], _nameless(held))
    yield judged(demands["public"], _those(held, lambda key: not _PRIVATE.isdisjoint(key)))
    unknown = [name for name, key in signing if not is_known(key, of_certificates=of_certificates)]
    yield judged(demands["known"], unknown)
    yield judged(demands["strong"], _those(held, _is_weak))
    yield judged(
        demands["algorithm"],
        [f"{name} ({key['alg']})" for name, key in signing if not _is_allowed(key, allowed)],
    )
    expired: list[str] = []
    soon: list[str] = []
    for number, key in enumerate(held):
        if (ends_at := _ends_at(key)) is not None and ends_at <= now + _SOON:
            (expired if ends_at <= now else soon).append(name_of(key, number))
    yield judged(demands["current"], expired, doubtful=soon)


def usable(keys: Iterable[object], now: datetime) -> list[Jwk]:
    """The keys that a signature can be verified with now."""
    return [
        key
        for key in keys
        if isinstance(key, Mapping)
        and is_for_signing(key)
        and is_known(key)
        and not _is_weak(key)
        and ((ends_at := _ends_at(key)) is None or ends_at > now)
    ]


def name_of(key: Jwk, number: int) -> str:
    """A key's kid, or its place where it has none."""
    kid = key.get("kid")
    return kid if isinstance(kid, str) and kid else f"keys[{number}]"


def is_for_signing(key: Jwk) -> bool:
    """Whether a key may verify signatures (RFC 7517 section 4.2)."""
    return bool(key.get("use", "sig") == "sig")


def is_known(key: Jwk, *, of_certificates: bool = False) -> bool:
    """Whether it is RSA, EC on P-256, or Ed25519, with the numbers that such a key has."""
    if str(key.get("kty")) not in _KINDS:
        return False
    if _is_weak(key):  # of a known kind; its size is another requirement
        return True
    members = {name: value for name, value in key.items() if name not in _PRIVATE}
    try:
        check_public_jwks({"keys": [members | {"kid": "any"}]}, of_certificates=of_certificates)
    except UntrustedTokenError:
        return False
    return True


def _is_weak(key: Jwk) -> bool:
    if key.get("kty") != "RSA":
        return False
    try:
        bits = int.from_bytes(decode_base64url(key.get("n"))).bit_length()
    except UntrustedTokenError:
        return True
    return not _SHORTEST_RSA <= bits <= _LONGEST_RSA


def _is_allowed(key: Jwk, allowed: frozenset[str]) -> bool:
    return "alg" not in key or str(key["alg"]) in allowed


def _ends_at(key: Jwk) -> datetime | None:
    """When a key ends that says so itself; one that says so wrongly has ended."""
    try:
        return instant_claim(key, "exp") if "exp" in key else None
    except UntrustedTokenError:
        return datetime.min.replace(tzinfo=UTC)


def _those(keys: list[Jwk], is_so: Callable[[Jwk], bool]) -> list[str]:
    return [name_of(key, number) for number, key in enumerate(keys) if is_so(key)]


def _nameless(keys: list[Jwk]) -> Iterator[str]:
    seen = set()
    for number, key in enumerate(keys):
        name = name_of(key, number)
        if name in seen or name != key.get("kid"):
            yield name
        seen.add(name)
