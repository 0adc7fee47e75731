"""`x-fapi-interaction-id`, as plain ASGI: what a client calls its request comes back with the answer.

Nothing is done with it but that: our own lines are found by the trace id.
"""

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "x-fapi-interaction-id"
_UUID: Final = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII
)  # RFC 9562 section 4


class InteractionIds:
    """Gives a client's UUID back on the answer; anything else that a client sends there is left out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and put the id on the answer."""
        sent = Headers(scope=scope).getlist(HEADER) if scope["type"] == "http" else []
        if len(sent) != 1 or _UUID.fullmatch(sent[0]) is None:
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = sent[0]
            await send(message)

        await self._app(scope, receive, send_with_id)
