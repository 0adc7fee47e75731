"""What no request may be, whatever it asks for: larger than the limit, or with a NUL in its path.

A plain ASGI layer outside of everything that reads a body. A declared length is refused at once; a body
that declares none is counted while it comes in.
"""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.errors import Answer, problem
from broker.logs import current_trace_id

_TOO_LARGE: Final = Answer(413, "body_too_large", "The body is larger than this broker takes.")
_NOT_FOUND: Final = Answer(404, "not_found", "There is nothing here for you.")


class RequestLimits:
    """Answers 413 for a declared length over `body_bytes`, 404 for a path that no database takes."""

    def __init__(self, app: ASGIApp, *, body_bytes: int) -> None:
        self._app = app
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, self._counted(receive), send)
            return
        await problem(refusal, trace_id=current_trace_id())(scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        taken = 0

        async def receive_counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._body_bytes:
                # Raised where the body is read, so that the one map of errors answers it.
                raise HTTPException(_TOO_LARGE.status)
            return message

        return receive_counted

    def _refusal(self, scope: Scope) -> Answer | None:
        if "\0" in scope["path"]:
            return _NOT_FOUND
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        is_too_large = declared.isdigit() and int(declared[:20]) > self._body_bytes
        return _TOO_LARGE if is_too_large else None
