"""One client against its profile: how it proves itself, its keys, its addresses, what it signs."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from broker.oauth import scopes
from broker.oauth.ciba import DELIVERY_MODES
from broker.oauth.client_metadata import SecurityProfile, faults_of, must_sign_requests
from broker.oauth.clients import RegisteredClient
from broker.oauth.mtls import registration_faults
from broker.oauth.self_check.findings import Finding, Requirement, Verdict, judged, not_applicable
from broker.oauth.self_check.keys import ALGORITHMS, check_keys, name_of, usable
from vault.errors import UntrustedCertificateError
from vault.x509 import registered_certificate

_FAPI: Final = "FAPI 2.0 Security Profile section"
_SIGNING: Final = "FAPI 2.0 Message Signing section"
_BY_CERTIFICATE: Final = frozenset({"tls_client_auth", "self_signed_tls_client_auth"})
_ANSWERS: Final = (
    ("authorization_signed_response_alg", "client.signed-responses"),
    ("introspection_signed_response_alg", "client.signed-introspection"),
)

REQUIREMENTS: Final[Mapping[str, Requirement]] = {
    name: Requirement(name, clause, statement)
    for name, clause, statement in (
        ("client.profile", f"{_FAPI} 5.3.2.1", "The client has a profile of FAPI 2.0."),
        (
            "client.authentication",
            f"{_FAPI} 5.3.2.1",
            "The client proves itself by a signed assertion or by a certificate, never by a shared secret.",
        ),
        (
            "client.sender-constraint",
            f"{_FAPI} 5.3.2.1",
            "Every token is bound to a key by DPoP or to a certificate.",
        ),
        (
            "client.key-present",
            "RFC 7523 section 3",
            "There is a key that the client's signatures can be verified with now.",
        ),
        ("client.key-named", "RFC 7517 section 4.5", "Every key has a kid of its own."),
        ("client.key-public", "RFC 7517 section 9.2", "The key set holds public keys only."),
        (
            "client.key-known",
            f"{_FAPI} 5.4.1",
            "Every key for signatures is RSA, EC on the curve P-256, or Ed25519.",
        ),
        ("client.key-strong", f"{_FAPI} 5.4.1", "Every RSA key has 2048 to 4096 bits."),
        (
            "client.key-algorithm",
            f"{_FAPI} 5.4.1",
            "Keys for signatures are for PS256, ES256 or Ed25519 only.",
        ),
        (
            "client.key-current",
            "OpenID Federation 1.0 section 8.7",
            "No key has passed the end that it names itself, nor will within 30 days.",
        ),
        (
            "client.certificate",
            "RFC 8705 section 2",
            "What the client's certificate is told by is registered, can be read, and is not past its time.",
        ),
        (
            "client.certificate-taken",
            "RFC 8705 section 5",
            "Certificates reach this server, where the client proves itself or binds its tokens by one.",
        ),
        (
            "client.redirect-present",
            "RFC 9700 section 2.1",
            "A client that asks persons has a redirect URI registered.",
        ),
        (
            "client.redirect-https",
            f"{_FAPI} 5.3.2.2",
            "Every redirect URI is https: answers travel encrypted.",
        ),
        (
            "client.redirect-exact",
            "RFC 9700 section 4.1.3",
            "Every redirect URI is one address: no wildcard, no fragment, no user.",
        ),
        (
            "client.addresses",
            "RFC 8935 section 2",
            "Every other address that the broker calls or sends people to is https, in the public net.",
        ),
        (
            "client.metadata",
            "RFC 7591 section 2",
            "Its metadata does not contradict itself.",
        ),
        (
            "client.purposes",
            "RFC 9396 section 5",
            "Every purpose that it may ask under is declared by a service.",
        ),
        (
            "client.signed-requests",
            f"{_SIGNING} 5.3",
            "Authorization requests must be signed objects, with an algorithm of the profile.",
        ),
        (
            "client.signed-responses",
            f"{_SIGNING} 5.4",
            "Authorization responses are signed (JARM), with an algorithm of the profile.",
        ),
        (
            "client.signed-introspection",
            f"{_SIGNING} 5.5",
            "Introspection answers are signed (RFC 9701), with an algorithm of the profile.",
        ),
        (
            "client.backchannel",
            "FAPI-CIBA section 5.2.2",
            "A client that asks without a browser has a profile of FAPI, signs, and is sent no tokens.",
        ),
    )
}
_KEYS: Final = {
    name: REQUIREMENTS[f"client.key-{name}"]
    for name in ("named", "public", "known", "strong", "algorithm", "current")
}


@dataclass(frozen=True, slots=True)
class Served:
    """What a client can have here: declared purposes, ways of RFC 8705, weaker profiles, loopback."""

    purposes: Collection[str]
    certificate_methods: Collection[str]
    are_oidc_clients_served: bool
    is_loopback_allowed: bool


def check_client(client: RegisteredClient, served: Served, now: datetime) -> list[Finding]:
    """Every requirement in turn."""
    is_loopback_allowed = served.is_loopback_allowed
    return [
        _profile(client, are_oidc_clients_served=served.are_oidc_clients_served),
        *_proving(client),
        *_keys(client, now),
        _certificate(client, now),
        _certificate_taken(client, served.certificate_methods),
        *_redirects(client, is_loopback_allowed=is_loopback_allowed),
        _addresses(client, is_loopback_allowed=is_loopback_allowed),
        judged(
            REQUIREMENTS["client.metadata"],
            [member for member, _ in faults_of(client.metadata, client.profile)],
        ),
        judged(
            REQUIREMENTS["client.purposes"], [one for one in client.purposes if one not in served.purposes]
        ),
        *_signing(client),
        _backchannel(client),
    ]


def _profile(client: RegisteredClient, *, are_oidc_clients_served: bool) -> Finding:
    requirement, profile = REQUIREMENTS["client.profile"], str(client.profile)
    if client.profile is not SecurityProfile.OIDC:
        return Finding(requirement, Verdict.PASS, (profile,))
    # A weaker profile is the operator's choice, which the configuration has to bear out.
    return Finding(requirement, Verdict.WARNING if are_oidc_clients_served else Verdict.FAIL, (profile,))


def _proving(client: RegisteredClient) -> Iterator[Finding]:
    method, is_oidc = _method(client), client.profile is SecurityProfile.OIDC
    secret = [method] if method != "private_key_jwt" and method not in _BY_CERTIFICATE else []
    authentication = REQUIREMENTS["client.authentication"]
    yield judged(authentication, [] if is_oidc else secret, doubtful=secret)
    bound = REQUIREMENTS["client.sender-constraint"]
    if not is_oidc:
        # The server takes no request of such a client without one of both.
        by = "x5t#S256" if client.metadata.tls_client_certificate_bound_access_tokens else "jkt"
        yield Finding(bound, Verdict.PASS, (by,))
        return
    members = ("tls_client_certificate_bound_access_tokens", "dpop_bound_access_tokens")
    is_bound = any(getattr(client.metadata, member, False) for member in members)
    yield judged(bound, [], doubtful=[] if is_bound else ["Bearer"])


def _keys(client: RegisteredClient, now: datetime) -> Iterator[Finding]:
    raw_keys = client.jwks.get("keys")
    held = raw_keys if isinstance(raw_keys, list) else []
    present, method = REQUIREMENTS["client.key-present"], _method(client)
    signs = method == "private_key_jwt" or must_sign_requests(client.profile, client.metadata)
    signs = signs or client.metadata.backchannel_token_delivery_mode is not None
    if signs:
        yield judged(present, [] if usable(held, now) else ["jwks"])
    else:
        yield not_applicable(present)
    yield from check_keys(
        _KEYS,
        held,
        takes_rs256=client.profile is SecurityProfile.OIDC,
        now=now,
        of_certificates=_method(client) in _BY_CERTIFICATE,
    )


def _certificate(client: RegisteredClient, now: datetime) -> Finding:
    requirement = REQUIREMENTS["client.certificate"]
    if _method(client) not in _BY_CERTIFICATE:
        return not_applicable(requirement)
    held = client.jwks.get("keys")
    wrong = [member for member, _ in registration_faults(client.metadata, client.jwks)]
    if _method(client) == "self_signed_tls_client_auth" and not held:
        wrong.append("jwks")
    for number, key in enumerate(held if isinstance(held, list) else []):
        try:
            registered = registered_certificate(key) if isinstance(key, Mapping) else None
        except UntrustedCertificateError:  # told above
            continue
        if registered is not None and not registered.is_valid_at(now):
            wrong.append(name_of(key, number))
    return judged(requirement, wrong)


def _certificate_taken(client: RegisteredClient, certificate_methods: Collection[str]) -> Finding:
    requirement, method = REQUIREMENTS["client.certificate-taken"], _method(client)
    binds = client.metadata.tls_client_certificate_bound_access_tokens
    if method not in _BY_CERTIFICATE and not binds:
        return not_applicable(requirement)
    wrong = [method] if method in _BY_CERTIFICATE and method not in certificate_methods else []
    if binds and not certificate_methods:
        wrong.append("tls_client_certificate_bound_access_tokens")
    return judged(requirement, wrong)


def _redirects(client: RegisteredClient, *, is_loopback_allowed: bool) -> Iterator[Finding]:
    asks_persons = bool(client.scopes & scopes.GRANTABLE)
    only_without_browser = (
        client.metadata.backchannel_token_delivery_mode is not None and not client.redirect_uris
    )
    present = REQUIREMENTS["client.redirect-present"]
    if asks_persons and not only_without_browser:
        yield judged(present, [] if client.redirect_uris else ["redirect_uris"])
    else:
        yield not_applicable(present)
    plain = [uri for uri in client.redirect_uris if _scheme(uri) != "https"]
    loopback = [uri for uri in plain if _is_loopback(uri)] if is_loopback_allowed else []
    wrong = [uri for uri in plain if uri not in loopback]
    yield judged(REQUIREMENTS["client.redirect-https"], wrong, doubtful=loopback)
    yield judged(
        REQUIREMENTS["client.redirect-exact"], [uri for uri in client.redirect_uris if not _is_exact(uri)]
    )


def _addresses(client: RegisteredClient, *, is_loopback_allowed: bool) -> Finding:
    requirement, found = REQUIREMENTS["client.addresses"], list(_called(client))
    if not found:
        return not_applicable(requirement)
    inner = [uri for uri in found if _scheme(uri) != "https" or _is_inner(uri)]
    loopback = [uri for uri in inner if _is_loopback(uri)] if is_loopback_allowed else []
    return judged(requirement, [uri for uri in inner if uri not in loopback], doubtful=loopback)


def _called(client: RegisteredClient) -> Iterator[str]:
    if client.events_endpoint is not None:
        yield client.events_endpoint
    for member, value in client.metadata.model_dump(mode="json").items():
        if member.endswith(("_uri", "_uris", "_endpoint")) and value:
            yield from [value] if isinstance(value, str) else value


def _signing(client: RegisteredClient) -> Iterator[Finding]:
    signs = must_sign_requests(client.profile, client.metadata)
    is_profile = client.profile is SecurityProfile.FAPI2_MESSAGE_SIGNING
    requests = REQUIREMENTS["client.signed-requests"]
    chosen = _member(client, "request_object_signing_alg")
    if signs:
        yield judged(requests, [] if chosen is None or chosen in ALGORITHMS else [chosen])
    else:
        yield not_applicable(requests)
    for member, name in _ANSWERS:
        requirement, chosen = REQUIREMENTS[name], _member(client, member)
        if chosen is not None:
            yield judged(requirement, [] if chosen in ALGORITHMS else [chosen])
        elif is_profile:
            # The profile lets a client do without; then it cannot show later what it was told.
            yield judged(requirement, [], doubtful=[member])
        else:
            yield not_applicable(requirement)


def _backchannel(client: RegisteredClient) -> Finding:
    requirement, mode = REQUIREMENTS["client.backchannel"], _member(client, "backchannel_token_delivery_mode")
    if mode is None:
        return not_applicable(requirement)
    chosen = _member(client, "backchannel_authentication_request_signing_alg")
    wrong = [mode] if mode not in DELIVERY_MODES else []
    wrong += [chosen] if chosen is not None and chosen not in ALGORITHMS else []
    wrong += [str(client.profile)] if client.profile is SecurityProfile.OIDC else []
    return judged(requirement, wrong)


def _method(client: RegisteredClient) -> str:
    return str(client.metadata.token_endpoint_auth_method)


def _member(client: RegisteredClient, name: str) -> str | None:
    value: Any = getattr(client.metadata, name, None)
    return None if value is None else str(value)


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].lower()


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""


def _is_loopback(uri: str) -> bool:
    host = _host(uri)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_inner(uri: str) -> bool:
    """Whether an address names a machine of an inner net by its number, or this one by its name."""
    host = _host(uri)
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host


def _is_exact(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return bool(parts.hostname) and "*" not in uri and "#" not in uri and parts.username is None
