"""The broker's own signing keys, by name: what it signs with, and nothing else has."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from consent.answers import ANSWER_TYPE
from vault.jose import sign_again
from vault.keys.keyring import Keyring
from vault.keys.rotation import Turn
from vault.keys.service_keys import KeyState, ServiceKey, ServiceKeyKind

OAUTH_KEY: Final = "oauth"
RECEIPT_KEY: Final = "receipt"
LOG_KEY: Final = "log"
OPENID_KEY: Final = "openid"

SERVICE_KEYS: Final[Mapping[str, ServiceKeyKind]] = MappingProxyType(
    {OAUTH_KEY: "ES256", RECEIPT_KEY: "ES256", LOG_KEY: "Ed25519"}
)
# The log's key is no part of this: the log is named by it, and its witnesses know no other.
ROTATED_KEYS: Final = (OAUTH_KEY, RECEIPT_KEY, OPENID_KEY)

# How long a process signs answers by what it read, and what a switch at once gives all of them to read again.
# The difference is for clocks that disagree and for a flush that is under way.
_ANSWER_KEYS_LAST: Final = timedelta(seconds=30)
_LONGEST_FLUSH: Final = timedelta(seconds=10)
ANSWERS_FOLLOW_AFTER: Final = timedelta(seconds=60)


def service_keys_of(*, oidc_clients: bool) -> Mapping[str, ServiceKeyKind]:
    """The keys of this installation. RS256 is for clients of OpenID Connect only (OIDC Core section 15.1)."""
    return {**SERVICE_KEYS, OPENID_KEY: "RS256"} if oidc_clients else SERVICE_KEYS


def ensure_service_keys(keyring: Keyring, now: datetime, *, oidc_clients: bool = False) -> None:
    """Make every signing key that is not there."""
    for name, kind in service_keys_of(oidc_clients=oidc_clients).items():
        keyring.ensure_service_key(name, kind, now)


def published_keys(keyring: Keyring, *, oidc_clients: bool = False) -> Iterator[ServiceKey]:
    """What stands in the key set: next, current and previous keys, and every receipt key that ever signed.

    A receipt is shown to others years later; nothing else that we sign is worth anything by then.
    """
    for name in service_keys_of(oidc_clients=oidc_clients):
        for key in keyring.service_keys(name) if name in ROTATED_KEYS else ():
            if key.state != KeyState.RETIRED or name == RECEIPT_KEY:
                yield key


def switch_at_once(
    keyring: Keyring, name: str, from_kid: str, *, keeps_previous: bool, now: datetime
) -> list[Turn]:
    """Let the next key, made if need be, sign in place of `from_kid`; nothing if that one does not sign.

    Whoever reads the key for each signature follows with the commit; answers follow ANSWERS_FOLLOW_AFTER
    later, everywhere at the same instant.
    """
    delay = ANSWERS_FOLLOW_AFTER if name == RECEIPT_KEY else timedelta(0)
    return keyring.rotation.switch(
        name, from_kid, signs_from=now + delay, keeps_previous=keeps_previous, now=now
    )


class AnswerSigner:
    """Signs answers with the receipt key that was in use at an answer's instant: the same again later.

    Which one that was is told by `signs_from`, not by the state: every process knows it before it comes. The
    keys are kept for a while, and read before they are needed: nothing waits on the lane, where this signs.
    """

    def __init__(self, keyring: Keyring, issuer: str, clock: Callable[[], datetime]) -> None:
        self.issuer = issuer
        self._keyring = keyring
        self._clock = clock
        self._keys: list[ServiceKey] = []
        self._old_at: datetime | None = None

    @property
    def is_old(self) -> bool:
        """Whether the keys are to be read again before the next flush."""
        return self._old_at is None or not self._keys or self._clock() >= self._old_at

    def read(self) -> None:
        """Read the keys. It waits for a database, so not on the event loop."""
        now = self._clock()
        self._keys, self._old_at = self._keyring.service_keys(RECEIPT_KEY), now + _ANSWER_KEYS_LAST

    def sign(self, claims: Mapping[str, Any], as_of: datetime) -> str:
        """The answer as compact JWS (ES256, deterministic). Raises LookupError while there is no key."""
        # Outside of a flush, or in one that takes too long.
        if self._old_at is None or not self._keys or self._clock() >= self._old_at + _LONGEST_FLUSH:
            self.read()
        in_use = [key for key in self._keys if key.signs_from <= as_of]
        if not in_use:
            message = "no receipt key was there at that instant"
            raise LookupError(message)
        key = max(in_use, key=lambda key: key.signs_from)
        return sign_again(claims, key.private_pem, kid=key.kid, typ=ANSWER_TYPE)
