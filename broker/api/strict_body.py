"""The route of every machine interface that takes JSON: `application/json` in UTF-8, read strictly."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from broker.api.errors import MediaTypeError
from broker.deps import get_installation
from broker.strict_json import JsonFaultError, read_json

MEDIA_TYPE: Final = "application/json"
_CHARSETS: Final = frozenset({"", "utf-8", "utf8"})


class StrictJsonRoute(APIRoute):
    """Refuses a body that is no strict JSON, once the guards have let the caller through.

    400 names the rule that the body breaks, 415 says that it is of another media type.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, with the strict reader in the place of its own."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            try:
                return await handle(strict)
            except RequestValidationError as error:
                # Guards come before: a stranger is told nothing about a body. What the framework found
                # is about what it got in the body's stead.
                raise await strict.fault() or error from None

        return handle_strictly


class _StrictRequest(Request):
    _json_fault: JsonFaultError | MediaTypeError | None = None

    async def json(self) -> Any:  # noqa: ANN401 - Starlette's signature
        if not is_json(self.headers.get("content-type", "")):
            self._json_fault = MediaTypeError()  # another charset, or a type that is JSON by its suffix only
            return None
        try:
            return read_json(await self.body(), depth=get_installation(self).settings.limits.json_depth)
        except JsonFaultError as fault:
            self._json_fault = fault
            return None  # no model takes it

    async def fault(self) -> Exception | None:
        """What is wrong with the body before its members are looked at."""
        if await self.body() and not is_json(self.headers.get("content-type", "")):
            return MediaTypeError()
        return self._json_fault


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON (RFC 8259 section 11), in UTF-8 if it says so at all."""
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    return media_type.strip().lower() == MEDIA_TYPE and charset in _CHARSETS
