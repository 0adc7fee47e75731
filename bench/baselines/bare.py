"""The ceiling of the server: an ASGI app that does nothing. `GET /N` answers N bytes."""

from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with as many bytes as the path says."""
    del receive
    await answer(send, int(scope["path"][1:]))


async def answer(send: Send, size: int, *, status: int = 200) -> None:
    """One JSON string of `size` bytes."""
    body = b'"' + b"x" * (size - 2) + b'"'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
