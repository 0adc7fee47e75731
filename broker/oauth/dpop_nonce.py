"""Nonces for DPoP proofs, RFC 9449 sections 8 and 9: a proof that was made in advance is worth nothing.

A nonce is an HMAC over the number of a time window, under a key that every process derives from the
keyring. Nothing is stored: whoever holds one may use it until the window after its own is over.
"""

import base64
from datetime import datetime, timedelta
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.installation import Installation
from broker.oauth.dpop import ProofRules
from vault.keys.keyring import Keyring

HEADER: Final = "DPoP-Nonce"
WINDOW: Final = timedelta(minutes=2)
_KEY: Final = "oauth.dpop_nonce"
_BYTES: Final = 18


def current_nonce(keyring: Keyring, now: datetime) -> str:
    """The nonce that proofs of this window bear."""
    return _nonce(keyring, _number(now))


def good_nonces(keyring: Keyring, now: datetime) -> tuple[str, ...]:
    """What a proof may bear now: this window's nonce, the last one's, or that of a process a bit ahead."""
    number = _number(now)
    return tuple(_nonce(keyring, near) for near in (number, number - 1, number + 1))


def proof_rules(installation: Installation, now: datetime) -> ProofRules:
    """What this installation wants of proofs."""
    settings = installation.settings
    nonces = good_nonces(installation.keyring, now) if settings.oauth.dpop_nonce else None
    return ProofRules(settings.limits.jwt_bytes, nonces)


class DpopNonces:
    """Tells every caller that sends a proof the nonce for its next one, with whatever it is answered."""

    def __init__(self, app: ASGIApp, *, installation: Installation) -> None:
        self._app = app
        self._installation = installation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not any(name == b"dpop" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        nonce = current_nonce(self._installation.keyring, self._installation.clock())

        async def send_with_nonce(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = nonce
                headers.setdefault("Cache-Control", "no-store")  # RFC 9449 section 8.2
            await send(message)

        await self._app(scope, receive, send_with_nonce)


def _number(now: datetime) -> int:
    return int(now.timestamp() // WINDOW.total_seconds())


def _nonce(keyring: Keyring, number: int) -> str:
    return base64.urlsafe_b64encode(keyring.index(_KEY, str(number))[:_BYTES]).decode()
