"""The self-check's requirements in an operator's words. Pure; one of a later program stays as it is named."""

from collections.abc import Mapping

from broker.oauth.self_check.findings import Verdict
from broker.web.i18n import Words


def verdict(words: Words, code: str) -> str:
    """How a requirement came out."""
    known: Mapping[str, str] = {
        Verdict.PASS: words.gettext("Met"),
        Verdict.FAIL: words.gettext("Not met"),
        Verdict.WARNING: words.gettext("Look at it"),
        Verdict.NOT_APPLICABLE: words.gettext("Does not apply"),
    }
    return known.get(code, code)


def statement(words: Words, name: str) -> str:
    """What a requirement demands."""
    known = _server(words) | _server_values(words) | _proving(words) | _addresses(words) | _own_keys(words)
    return known.get(name) or _keys(words).get(name.partition(".")[2], name)


def _keys(words: Words) -> dict[str, str]:
    return {
        "key-named": words.gettext("Every key has a kid of its own."),
        "key-public": words.gettext("The key set holds public keys only."),
        "key-known": words.gettext("Every key for signatures is RSA, EC on the curve P-256, or Ed25519."),
        "key-strong": words.gettext("Every RSA key has 2048 to 4096 bits."),
        "key-algorithm": words.gettext("Keys for signatures are for PS256, ES256 or Ed25519 only."),
        "key-current": words.gettext(
            "No key has passed the end that it names itself, nor will within 30 days."
        ),
    }


def _own_keys(words: Words) -> dict[str, str]:
    return {
        "client.key-present": words.gettext(
            "There is a key that the client's signatures can be verified with now."
        ),
        "server.key-present": words.gettext("There is a key for signatures in the key set."),
    }


def _server(words: Words) -> dict[str, str]:
    return {
        "server.issuer": words.gettext("The issuer is https, without query and fragment."),
        "server.addresses": words.gettext("Every address in the metadata is https."),
        "server.tls": words.gettext(
            "TLS is 1.2 or newer, with the suites that are recommended; behind a proxy, look there."
        ),
        "server.pushed-requests": words.gettext(
            "Authorization requests are pushed, and no others are taken."
        ),
        "server.response-type": words.gettext("The response type is code, and no other."),
        "server.pkce": words.gettext("PKCE is by S256, and by no other method."),
        "server.response-issuer": words.gettext("Authorization responses name the issuer."),
        "server.sender-constraint": words.gettext("Tokens are bound to a key by DPoP or to a certificate."),
        "server.authentication": words.gettext(
            "Clients prove themselves by signed assertions or by certificates."
        ),
        "server.grant-types": words.gettext("Neither passwords nor implicit answers are taken for a grant."),
        "server.oidc-clients": words.gettext("No clients of a weaker profile than FAPI 2.0 are served."),
    }


def _server_values(words: Words) -> dict[str, str]:
    return {
        "server.algorithms": words.gettext("Signatures are made and taken with PS256, ES256 or Ed25519."),
        "server.code-life": words.gettext("An authorization code is good for 60 seconds at the most."),
        "server.request-life": words.gettext("A pushed request is good for less than 600 seconds."),
        "server.token-life": words.gettext("An access token is good for ten minutes at the most."),
        "server.signed-responses": words.gettext(
            "Where signed responses are offered, their algorithms are told."
        ),
        "server.backchannel": words.gettext(
            "Clients that ask without a browser poll or are pinged: no tokens are sent to an address."
        ),
        "server.registration": words.gettext(
            "Clients register themselves at an address of this server's own, and nowhere else."
        ),
        "server.rates": words.gettext("How often strangers and clients may call is limited."),
    }


def _proving(words: Words) -> dict[str, str]:
    return {
        "client.profile": words.gettext("The client has a profile of FAPI 2.0."),
        "client.authentication": words.gettext(
            "The client proves itself by a signed assertion or by a certificate, never by a shared secret."
        ),
        "client.sender-constraint": words.gettext(
            "Every token is bound to a key by DPoP or to a certificate."
        ),
        "client.certificate": words.gettext(
            "What the client's certificate is told by is registered, can be read, and is not past its time."
        ),
        "client.certificate-taken": words.gettext(
            "Certificates reach this server, where the client proves itself or binds its tokens by one."
        ),
        "client.signed-requests": words.gettext(
            "Authorization requests must be signed objects, with an algorithm of the profile."
        ),
        "client.signed-responses": words.gettext(
            "Authorization responses are signed (JARM), with an algorithm of the profile."
        ),
        "client.signed-introspection": words.gettext(
            "Introspection answers are signed (RFC 9701), with an algorithm of the profile."
        ),
        "client.backchannel": words.gettext(
            "A client that asks without a browser has a profile of FAPI, signs, and is sent no tokens."
        ),
    }


def _addresses(words: Words) -> dict[str, str]:
    return {
        "client.redirect-present": words.gettext("A client that asks persons has a redirect URI registered."),
        "client.redirect-https": words.gettext("Every redirect URI is https: answers travel encrypted."),
        "client.redirect-exact": words.gettext(
            "Every redirect URI is one address: no wildcard, no fragment, no user."
        ),
        "client.addresses": words.gettext(
            "Every other address that the broker calls or sends people to is https, in the public net."
        ),
        "client.metadata": words.gettext("Its metadata does not contradict itself."),
        "client.purposes": words.gettext("Every purpose that it may ask under is declared by a service."),
    }
