"""The bare app and one thing more: the proof of possession (RFC 9449) that every pull bears."""

from starlette.types import Receive, Scope, Send

from bench.baselines.bare import answer
from broker.cli.opening import read_clock
from broker.oauth.dpop import verify_proof
from broker.oauth.errors import InvalidProofError


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with as many bytes as the path says, if the proof is good."""
    del receive
    headers = dict(scope["headers"])
    try:
        verify_proof(
            [headers.get(b"dpop", b"").decode()],
            method=scope["method"],
            url=f"http://{headers[b'host'].decode()}{scope['path']}",
            access_token=headers.get(b"authorization", b"").decode().removeprefix("DPoP "),
            now=read_clock(),
        )
    except InvalidProofError:
        await answer(send, 2, status=401)
    else:
        await answer(send, int(scope["path"][1:]))
