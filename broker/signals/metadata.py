"""Metadata of the Shared Signals transmitter (OpenID SSF 1.0 section 7.1)."""

from typing import Any

from broker.signals.streams import DeliveryMethod

SPEC_VERSION = "1_0"


def transmitter(issuer: str) -> dict[str, Any]:
    """What a receiver finds at `/.well-known/ssf-configuration`. Access tokens are OAuth's (RFC 6749)."""
    return {
        "spec_version": SPEC_VERSION,
        "issuer": issuer,
        "jwks_uri": f"{issuer}/jwks",
        "delivery_methods_supported": [DeliveryMethod.PUSH.value, DeliveryMethod.POLL.value],
        "configuration_endpoint": f"{issuer}/ssf/stream",
        "status_endpoint": f"{issuer}/ssf/status",
        "add_subject_endpoint": f"{issuer}/ssf/subjects/add",
        "remove_subject_endpoint": f"{issuer}/ssf/subjects/remove",
        "verification_endpoint": f"{issuer}/ssf/verify",
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
        "critical_subject_members": ["user"],
        "default_subjects": "ALL",
    }
