"""The server against FAPI 2.0, by what it publishes and by how it is configured."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from broker.oauth.ciba import DELIVERY_MODES, GRANT_TYPE
from broker.oauth.self_check.findings import Finding, Requirement, judged, not_applicable
from broker.oauth.self_check.keys import ALGORITHMS, RS256, check_keys
from broker.setting_sections import LimitsSection, OAuthSection, TlsSection

_FAPI: Final = "FAPI 2.0 Security Profile section"
_SAFE_METHODS: Final = frozenset({"private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"})
_UNSAFE_GRANTS: Final = frozenset({"password", "implicit"})
_LONGEST_CODE: Final = 60
_LONGEST_REQUEST_URI: Final = 599
_LONG_ACCESS_TOKEN: Final = 600
_JARM: Final = "authorization_signing_alg_values_supported"

REQUIREMENTS: Final[Mapping[str, Requirement]] = {
    name: Requirement(name, clause, statement)
    for name, clause, statement in (
        ("server.issuer", "RFC 8414 section 2", "The issuer is https, without query and fragment."),
        (
            "server.addresses",
            f"{_FAPI} 5.2.1",
            "Every address in the metadata is https.",
        ),
        (
            "server.tls",
            "RFC 9325 section 4.2",
            "TLS is 1.2 or newer, with the suites that are recommended; behind a proxy, look there.",
        ),
        (
            "server.pushed-requests",
            f"{_FAPI} 5.3.2.2",
            "Authorization requests are pushed, and no others are taken.",
        ),
        ("server.response-type", f"{_FAPI} 5.3.2.2", "The response type is code, and no other."),
        ("server.pkce", f"{_FAPI} 5.3.2.2", "PKCE is by S256, and by no other method."),
        (
            "server.response-issuer",
            "RFC 9207 section 3",
            "Authorization responses name the issuer.",
        ),
        (
            "server.sender-constraint",
            f"{_FAPI} 5.3.2.1",
            "Tokens are bound to a key by DPoP or to a certificate.",
        ),
        (
            "server.authentication",
            f"{_FAPI} 5.3.2.1",
            "Clients prove themselves by signed assertions or by certificates.",
        ),
        (
            "server.grant-types",
            "RFC 9700 section 2.4",
            "Neither passwords nor implicit answers are taken for a grant.",
        ),
        (
            "server.algorithms",
            f"{_FAPI} 5.4.1",
            "Signatures are made and taken with PS256, ES256 or Ed25519.",
        ),
        (
            "server.code-life",
            f"{_FAPI} 5.3.2.1",
            "An authorization code is good for 60 seconds at the most.",
        ),
        (
            "server.request-life",
            f"{_FAPI} 5.3.2.2",
            "A pushed request is good for less than 600 seconds.",
        ),
        (
            "server.token-life",
            "RFC 9700 section 4.9",
            "An access token is good for ten minutes at the most.",
        ),
        (
            "server.signed-responses",
            "FAPI 2.0 Message Signing section 5.4",
            "Where signed responses are offered, their algorithms are told.",
        ),
        (
            "server.backchannel",
            "FAPI-CIBA section 5.2.2",
            "Clients that ask without a browser poll or are pinged: no tokens are sent to an address.",
        ),
        (
            "server.registration",
            "RFC 7591 section 5",
            "Clients register themselves at an address of this server's own, and nowhere else.",
        ),
        ("server.key-present", "RFC 8414 section 2", "There is a key for signatures in the key set."),
        ("server.key-named", f"{_FAPI} 5.4.3", "Every key has a kid of its own."),
        ("server.key-public", "RFC 7517 section 9.2", "The key set holds public keys only."),
        (
            "server.key-known",
            f"{_FAPI} 5.4.1",
            "Every key for signatures is RSA, EC on the curve P-256, or Ed25519.",
        ),
        ("server.key-strong", f"{_FAPI} 5.4.1", "Every RSA key has 2048 to 4096 bits."),
        (
            "server.key-algorithm",
            f"{_FAPI} 5.4.1",
            "Keys for signatures are for PS256, ES256 or Ed25519 only.",
        ),
        (
            "server.key-current",
            "OpenID Federation 1.0 section 8.7",
            "No key has passed the end that it names itself, nor will within 30 days.",
        ),
        (
            "server.oidc-clients",
            f"{_FAPI} 5.3.2.1",
            "No clients of a weaker profile than FAPI 2.0 are served.",
        ),
        (
            "server.rates",
            "RFC 6749 section 10.10",
            "How often strangers and clients may call is limited.",
        ),
    )
}
_KEYS: Final = {
    name: REQUIREMENTS[f"server.key-{name}"]
    for name in ("named", "public", "known", "strong", "algorithm", "current")
}


@dataclass(frozen=True, slots=True)
class Server:
    """The server as it shows itself (RFC 8414 metadata, key set), and the settings that decide the rest."""

    metadata: Mapping[str, Any]
    jwks: Mapping[str, Any]
    oauth: OAuthSection
    limits: LimitsSection
    tls: TlsSection
    is_demo: bool


def check_server(server: Server, now: datetime) -> list[Finding]:
    """Every requirement in turn."""
    return [
        *_addresses(server),
        _tls(server),
        *_flow(server),
        *_proving(server),
        _algorithms(server),
        *_lives(server.oauth),
        _signed_responses(server.metadata),
        _backchannel(server.metadata),
        _registration(server.metadata),
        *_keys(server, now),
        judged(
            REQUIREMENTS["server.oidc-clients"],
            [],
            doubtful=["oauth.oidc_clients"] if server.oauth.oidc_clients else [],
        ),
        _rates(server.limits),
    ]


def _addresses(server: Server) -> Iterator[Finding]:
    issuer = str(server.metadata.get("issuer", ""))
    parts = urlsplit(issuer)
    is_plain = parts.scheme != "https"
    is_odd = not parts.hostname or bool(parts.query or parts.fragment)
    is_borne = is_plain and server.is_demo and not is_odd  # a demo talks to this machine only
    wrong = [issuer] if is_odd or (is_plain and not is_borne) else []
    yield judged(REQUIREMENTS["server.issuer"], wrong, doubtful=[issuer] if is_borne else [])
    plain = sorted(name for name, uri in _uris(server.metadata) if not uri.startswith("https://"))
    yield judged(
        REQUIREMENTS["server.addresses"],
        [] if server.is_demo else plain,
        doubtful=plain if server.is_demo else [],
    )


def _tls(server: Server) -> Finding:
    """Ours has the right suites always; what stands in front of us cannot be seen from here."""
    requirement = REQUIREMENTS["server.tls"]
    if server.is_demo:
        return not_applicable(requirement)
    return judged(
        requirement, [], doubtful=[] if server.tls.certificate_file is not None else ["tls.certificate_file"]
    )


def _flow(server: Server) -> Iterator[Finding]:
    told = server.metadata
    pushes = bool(told.get("pushed_authorization_request_endpoint"))
    is_required = told.get("require_pushed_authorization_requests") is True
    # Without the general rule it stands for each client of FAPI 2.0 by its profile.
    missing = [] if pushes else ["pushed_authorization_request_endpoint"]
    open_for_others = [] if is_required else ["require_pushed_authorization_requests"]
    yield judged(
        REQUIREMENTS["server.pushed-requests"],
        missing if server.oauth.oidc_clients else missing + open_for_others,
        doubtful=open_for_others,
    )
    yield judged(
        REQUIREMENTS["server.response-type"], _other_than(told, "response_types_supported", ["code"])
    )
    yield judged(REQUIREMENTS["server.pkce"], _other_than(told, "code_challenge_methods_supported", ["S256"]))
    names_itself = told.get("authorization_response_iss_parameter_supported") is True
    yield judged(
        REQUIREMENTS["server.response-issuer"],
        [] if names_itself else ["authorization_response_iss_parameter_supported"],
    )
    grants = set(_listed(told, "grant_types_supported"))
    yield judged(REQUIREMENTS["server.grant-types"], sorted(grants & _UNSAFE_GRANTS))


def _proving(server: Server) -> Iterator[Finding]:
    told = server.metadata
    by_key = bool(_listed(told, "dpop_signing_alg_values_supported"))
    by_certificate = told.get("tls_client_certificate_bound_access_tokens") is True
    yield judged(
        REQUIREMENTS["server.sender-constraint"],
        [] if by_key or by_certificate else ["dpop_signing_alg_values_supported"],
    )
    methods = set(_listed(told, "token_endpoint_auth_methods_supported"))
    weak = sorted(methods - _SAFE_METHODS)
    none = [] if methods & _SAFE_METHODS else ["token_endpoint_auth_methods_supported"]
    yield judged(
        REQUIREMENTS["server.authentication"],
        none if server.oauth.oidc_clients else none + weak,
        doubtful=weak,
    )


def _algorithms(server: Server) -> Finding:
    """Each list has one of ours in it, and nothing else but what OpenID Connect asks for where that is on."""
    wrong, doubtful = [], []
    for name in sorted(server.metadata):
        if not name.endswith("_signing_alg_values_supported"):
            continue
        named = _listed(server.metadata, name)
        others = [one for one in named if one not in ALGORITHMS]
        is_borne = server.oauth.oidc_clients and set(others) <= {RS256}
        if ALGORITHMS.isdisjoint(named) or (others and not is_borne):
            wrong.append(name)
        elif others:
            doubtful.append(f"{name} ({RS256})")
    return judged(REQUIREMENTS["server.algorithms"], wrong, doubtful=doubtful)


def _lives(oauth: OAuthSection) -> Iterator[Finding]:
    for name, seconds, most in (
        ("server.code-life", oauth.code_seconds, _LONGEST_CODE),
        ("server.request-life", oauth.request_uri_seconds, _LONGEST_REQUEST_URI),
    ):
        yield judged(REQUIREMENTS[name], [f"{seconds} s"] if seconds > most else [])
    seconds = oauth.access_token_seconds
    long = [f"{seconds} s"] if seconds > _LONG_ACCESS_TOKEN else []
    yield judged(REQUIREMENTS["server.token-life"], [], doubtful=long)


def _signed_responses(told: Mapping[str, Any]) -> Finding:
    requirement = REQUIREMENTS["server.signed-responses"]
    modes = [mode for mode in _listed(told, "response_modes_supported") if mode.endswith("jwt")]
    if not modes:
        return not_applicable(requirement)
    return judged(requirement, [] if _listed(told, _JARM) else [_JARM])


def _backchannel(told: Mapping[str, Any]) -> Finding:
    requirement = REQUIREMENTS["server.backchannel"]
    if not told.get("backchannel_authentication_endpoint"):
        return not_applicable(requirement)
    modes, grants = "backchannel_token_delivery_modes_supported", "grant_types_supported"
    wrong = [one for one in _listed(told, modes) if one not in DELIVERY_MODES]
    wrong += [] if _listed(told, modes) else [modes]
    return judged(requirement, wrong + ([] if GRANT_TYPE in _listed(told, grants) else [grants]))


def _registration(told: Mapping[str, Any]) -> Finding:
    requirement, address = REQUIREMENTS["server.registration"], told.get("registration_endpoint")
    if address is None:
        return not_applicable(requirement)
    here = urlsplit(str(told.get("issuer"))).netloc
    is_own = isinstance(address, str) and urlsplit(address).netloc == here
    return judged(requirement, [] if is_own else ["registration_endpoint"])


def _keys(server: Server, now: datetime) -> Iterator[Finding]:
    raw_keys = server.jwks.get("keys")
    held = raw_keys if isinstance(raw_keys, list) else []
    yield judged(REQUIREMENTS["server.key-present"], [] if held else ["jwks"])
    yield from check_keys(_KEYS, held, takes_rs256=server.oauth.oidc_clients, now=now)


def _rates(limits: LimitsSection) -> Finding:
    named = ("unproven_per_minute", "sign_in_per_minute", "client_per_minute", "asked_per_hour")
    unlimited = [f"limits.{name}" for name in named if getattr(limits, name) == 0]
    return judged(REQUIREMENTS["server.rates"], [], doubtful=unlimited)


def _uris(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    aliases = told.get("mtls_endpoint_aliases")
    for name, value in (*told.items(), *(aliases.items() if isinstance(aliases, Mapping) else ())):
        if name.endswith(("_endpoint", "_uri")) and isinstance(value, str):
            yield name, value


def _listed(told: Mapping[str, Any], name: str) -> list[str]:
    value = told.get(name)
    return [one for one in value if isinstance(one, str)] if isinstance(value, Iterable) else []


def _other_than(told: Mapping[str, Any], name: str, wanted: list[str]) -> list[str]:
    """What else than the wanted values is listed, or the list's name where one of those is missing."""
    listed = _listed(told, name)
    missing = [] if set(wanted) <= set(listed) else [name]
    return missing + [one for one in listed if one not in wanted]
