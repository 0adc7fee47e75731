"""One request to an app in this process; an exception that passes through the app is an answer too."""

import asyncio

import httpx
from starlette.types import ASGIApp


def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    content: bytes | None = None,
) -> httpx.Response:
    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(asking())
