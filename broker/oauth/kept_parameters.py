"""What of a pushed request is kept until the person has answered, beside its terms; sealed, all of it.

`state` and `nonce` are the client's own values and may say anything about the person.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final

from vault.keys.keyring import Keyring
from vault.seal import context_of, open_sealed, seal

_SEALING_KEY: Final = "pushed_request"


@dataclass(frozen=True, slots=True)
class Kept:
    """Parameters of an authorization request, checked when it was pushed; None where it had none.

    `prompt` and `acr_values` are in the order in which they came; `max_age` is in seconds; `claims` is the
    request's JSON (OpenID Connect Core section 5.5); `hinted_sub` is whom a verified `id_token_hint` names.
    `binding_message`: what the client shows beside its request, for the person to compare (CIBA Core).
    `is_merge`: what is asked is to be added to a grant that stands (Grant Management for OAuth 2.0).
    """

    state: str | None = None
    nonce: str | None = None
    response_mode: str | None = None
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()
    claims: str | None = None
    hinted_sub: str | None = None
    is_merge: bool = False
    binding_message: str | None = None


def seal_kept(keyring: Keyring, request_id: str, kept: Kept) -> bytes:
    """The parameters, readable for this request only."""
    content = json.dumps(asdict(kept)).encode()
    return seal(keyring.sealing_key(_SEALING_KEY), _context(request_id), content)


def open_kept(keyring: Keyring, request_id: str, sealed: bytes) -> Kept:
    """The parameters of a pushed request. Raises TamperedError."""
    members = json.loads(open_sealed(keyring.sealing_key(_SEALING_KEY), _context(request_id), sealed))
    members |= {name: tuple(members[name]) for name in ("prompt", "acr_values")}
    return Kept(**members)


def _context(request_id: str) -> bytes:
    return context_of("mydata/oauth/kept-parameters@v1", request_id)
