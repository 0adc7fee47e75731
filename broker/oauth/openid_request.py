"""What OpenID Connect adds to an authorization request (Core sections 3.1.2.1 and 5.5), checked at the push.

Parameters and values that say nothing here are no error: `display`, `claims_locales`, `login_hint`, unknown
claims, unknown prompts. What is malformed, or contradicts itself, is `invalid_request`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from broker.oauth import authentication_context
from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.id_token import subject_of_hint
from broker.oauth.kept_parameters import Kept
from broker.oauth.requests import Call
from broker.strict_json import JsonFaultError, read_json
from vault.errors import UntrustedTokenError

NONE: Final = "none"
LOGIN: Final = "login"
CONSENT: Final = "consent"
SELECT_ACCOUNT: Final = "select_account"
PROMPTS: Final = (NONE, LOGIN, CONSENT, SELECT_ACCOUNT)

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_ACR_VALUES: Final = re.compile(r"[\x21-\x7e]{1,255}( [\x21-\x7e]{1,255}){0,19}")


def read(call: Call, client: RegisteredClient, kept: Kept) -> Kept:
    """`kept` with the parameters of OpenID Connect. Raises OAuthError invalid_request."""
    parameters = call.parameters
    claims = _claims(parameters, call.installation.settings.limits.json_depth)
    return replace(
        kept,
        prompt=_prompt(parameters),
        max_age=_max_age(parameters, client),
        acr_values=acr_values_of(parameters),
        claims=None if claims is None else parameters["claims"],
        hinted_sub=_hinted_sub(call, client, claims or {}),
    )


def is_satisfied(kept: Kept, acr: str) -> bool:
    """Whether a sign-in of class `acr` is what the request cannot do without (Core section 5.5.1.1).

    A claim that is not essential is a wish: nothing fails by it.
    """
    asked = _asked_of_id_token(kept.claims, "acr")
    if not isinstance(asked, Mapping) or asked.get("essential") is not True:
        return True
    wanted = asked.get("values", [asked["value"]] if "value" in asked else None)
    return wanted is None or acr in wanted


def can_be_satisfied(kept: Kept, *, is_alone: bool) -> bool:
    """Whether anybody could sign in as the request demands.

    For a sign-in alone `acr_values` are a wish (Core section 3.1.2.1). Where it is about records one of them
    is needed, or the client would come again and again with a token that does not do (RFC 9470 section 5).
    """
    supported = authentication_context.SUPPORTED
    if not is_alone and kept.acr_values and set(supported).isdisjoint(kept.acr_values):
        return False
    return any(is_satisfied(kept, acr) for acr in supported)


def _prompt(parameters: Mapping[str, str]) -> tuple[str, ...]:
    asked = parameters.get("prompt", "").split()
    if NONE in asked and len(asked) > 1:
        raise _refused("prompt none goes with no other prompt")
    return tuple(dict.fromkeys(value for value in asked if value in PROMPTS))


def _max_age(parameters: Mapping[str, str], client: RegisteredClient) -> int | None:
    raw = parameters.get("max_age")
    if raw is None:
        return client.metadata.default_max_age
    if _SECONDS.fullmatch(raw) is None:
        raise _refused("max_age must be a number of seconds")
    return int(raw)


def acr_values_of(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """How the client wishes the person to sign in, in its order. Raises OAuthError invalid_request."""
    raw = parameters.get("acr_values")
    if raw is None:
        return ()
    if _ACR_VALUES.fullmatch(raw) is None:
        raise _refused("acr_values must be at most 20 values with a space between")
    return tuple(raw.split(" "))


def _claims(parameters: Mapping[str, str], depth: int) -> dict[str, Any] | None:
    """The `claims` parameter, of the form that Core section 5.5 gives it; None without one."""
    raw = parameters.get("claims")
    if raw is None:
        return None
    try:
        claims = read_json(raw, depth=depth)
    except JsonFaultError as error:
        raise _refused("claims is not JSON as it is read here") from error
    if not isinstance(claims, dict):
        raise _refused("claims must be a JSON object")
    for place in ("userinfo", "id_token"):
        asked = claims.get(place)
        if asked is not None and not isinstance(asked, dict):
            raise _refused("claims must hold JSON objects")
        if not all(_is_claim_request(one) for one in (asked or {}).values()):
            raise _refused("a claim is asked for in a form that there is not")
    return claims


def _is_claim_request(asked: object) -> bool:
    """Core section 5.5.1: null, or an object; `value` and `values` do not go together."""
    if asked is None:
        return True
    if not isinstance(asked, dict) or {"value", "values"} <= asked.keys():
        return False
    return isinstance(asked.get("essential", False), bool) and isinstance(asked.get("values", []), list)


def _asked_of_id_token(claims: str | None, name: str) -> object:
    if claims is None:
        return None
    # Checked when it was pushed; the depth was limited then.
    asked = read_json(claims, depth=len(claims)).get("id_token")
    return None if asked is None else asked.get(name)


def _hinted_sub(call: Call, client: RegisteredClient, claims: Mapping[str, Any]) -> str | None:
    """Whom the client expects: by an ID token of ours, or by the value of `sub` (Core section 5.5.1)."""
    asked = (claims.get("id_token") or {}).get("sub") or {}
    named = asked.get("value")
    if named is not None and not isinstance(named, str):
        raise _refused("a claim is asked for in a form that there is not")
    hint = call.parameters.get("id_token_hint")
    if hint is None:
        return named
    try:
        hinted = subject_of_hint(
            call.installation.keyring, hint, issuer=call.issuer, client_id=client.client_id
        )
    except UntrustedTokenError as error:
        raise _refused("id_token_hint is not an ID token that this client was given") from error
    if named not in {None, hinted}:
        raise _refused("id_token_hint and the claim sub name two people")
    return hinted


def _refused(description: str) -> OAuthError:
    return OAuthError(OAuthCode.INVALID_REQUEST, description)
