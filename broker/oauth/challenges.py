"""Challenges of a 401 where tokens come as `Bearer` too (RFC 6750 section 3, RFC 9449 section 7.1).

That is everywhere where certificates are taken, and at event streams where clients of the profile `oidc` are
served. Both schemes are named, and the one that was used has the error.
"""

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.oauth.dpop import ALGORITHMS

UNBOUND: Final = "/ssf/"  # the addresses whose tokens may be bound to nothing; /userinfo answers by itself
_UNAUTHORIZED: Final = 401
_NAME: Final = "WWW-Authenticate"
_DPOP: Final = f'DPoP algs="{" ".join(ALGORITHMS)}"'
_BEARER: Final = "Bearer"
_PARAMETER: Final = re.compile(r'(\w+)="[^"]*"')


class Challenges:
    """Puts a challenge of scheme Bearer beside each one of scheme DPoP, at addresses that begin like this."""

    def __init__(self, app: ASGIApp, below: str = "/") -> None:
        self._app = app
        self._below = below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self._below):
            await self._app(scope, receive, send)
            return
        scheme = Headers(scope=scope).get("authorization", "").partition(" ")[0].lower()

        async def send_with_both(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                told = headers.get(_NAME, "")
                if told.startswith("DPoP"):
                    both = self._both(told, scheme)
                    headers[_NAME] = both[0]
                    if message["status"] == _UNAUTHORIZED:  # a 403 is of the token that came
                        headers.append(_NAME, both[1])
            await send(message)

        await self._app(scope, receive, send_with_both)

    def _both(self, told: str, scheme: str) -> tuple[str, str]:
        """Both challenges; the one of the scheme that was used, which has the error, comes first.

        Where tokens that are bound to nothing are taken, who sent none is told of their scheme first: there
        are clients that read no further.
        """
        if scheme == _BEARER.lower():
            return _as_bearer(told), _DPOP
        return (told, _BEARER) if scheme or self._below != UNBOUND else (_BEARER, told)


def _as_bearer(told: str) -> str:
    """The same challenge without what is of DPoP alone."""
    said = [one[0] for one in _PARAMETER.finditer(told) if one[1] != "algs"]
    return f"{_BEARER} {', '.join(said)}" if said else _BEARER
