"""Challenges of a 401 where certificates are taken too (RFC 6750 section 3, RFC 9449 section 7.1).

Both schemes are named, and the one that was used has the error.
"""

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.oauth.dpop import ALGORITHMS

_UNAUTHORIZED: Final = 401
_NAME: Final = "WWW-Authenticate"
_DPOP: Final = f'DPoP algs="{" ".join(ALGORITHMS)}"'
_BEARER: Final = "Bearer"
_PARAMETER: Final = re.compile(r'(\w+)="[^"]*"')


class Challenges:
    """Puts a challenge of scheme Bearer beside each one of scheme DPoP."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scheme = Headers(scope=scope).get("authorization", "").partition(" ")[0].lower()

        async def send_with_both(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                told = headers.get(_NAME, "")
                if told.startswith("DPoP"):
                    used, other = (_as_bearer(told), _DPOP) if scheme == "bearer" else (told, _BEARER)
                    headers[_NAME] = used
                    if (
                        message["status"] == _UNAUTHORIZED
                    ):  # a 403 is of the token that came, however it comes
                        headers.append(_NAME, other)
            await send(message)

        await self._app(scope, receive, send_with_both)


def _as_bearer(told: str) -> str:
    """The same challenge without what is of DPoP alone."""
    said = [one[0] for one in _PARAMETER.finditer(told) if one[1] != "algs"]
    return f"{_BEARER} {', '.join(said)}" if said else _BEARER
