"""Sender constraints (RFC 7800): the key that a token is bound to, and that its bearer must prove to hold.

Stored as one text, `method:thumbprint`: `jkt:…` for a DPoP key (RFC 9449 section 6.1), `x5t#S256:…` for a
client certificate (RFC 8705 section 3.1). `none` is a token of the profile `oidc` that is good for whoever
has it, at the UserInfo endpoint and at event streams: no request proves `none`, so it opens nothing where a
sender is compared.
"""

from hmac import compare_digest
from typing import Final

KEY: Final = "jkt"
CERTIFICATE: Final = "x5t#S256"
NONE: Final = "none"
_METHODS: Final = (KEY, CERTIFICATE)


def of_key(jkt: str) -> str:
    """The constraint to a DPoP key, by its RFC 7638 thumbprint."""
    return f"{KEY}:{jkt}"


def of_certificate(x5t_s256: str) -> str:
    """The constraint to a client certificate, by its SHA-256 in base64url."""
    return f"{CERTIFICATE}:{x5t_s256}"


def member(cnf: str) -> dict[str, str]:
    """The `cnf` member of an introspection answer, empty for NONE. Raises ValueError for anything else."""
    if cnf == NONE:
        return {}
    method, _, thumbprint = cnf.partition(":")
    if method not in _METHODS or not thumbprint:
        raise ValueError(method)
    return {method: thumbprint}


def token_type(cnf: str) -> str:
    """How a token so bound is presented: `DPoP` with a proof, `Bearer` over mutual TLS or with nothing."""
    return "DPoP" if KEY in member(cnf) else "Bearer"


def is_same(cnf: str, presented: str) -> bool:
    """Whether a request proves the key that a token is bound to; in constant time. Nothing proves NONE."""
    return cnf != NONE and compare_digest(cnf.encode(), presented.encode())
