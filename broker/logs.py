"""The program's own log: one line per happening, ids only. The consent log is another thing.

What may stand in a line is listed here: our own fixed texts, allowed fields with harmless values, and
of an exception its class and its places in the code. Everything else is left out, whoever logs it.
"""

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, TextIO

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TRACE_HEADER: Final = "X-Trace-Id"
NO_TRACE: Final = "-"

# Fields that a line may carry. All of them say nothing about a person: random ids, names of ours, counts.
ALLOWED_FIELDS: Final = frozenset(
    {
        "attempt",
        "client_id",
        "code",
        "count",
        "deal_id",
        "decision_id",
        "delivery_id",
        "duration_ms",
        "duty",
        "duty_id",
        "error",
        "grant_id",
        "holder_id",
        "job",
        "kind",
        "link_id",
        "method",
        "organisation_id",
        "pending_id",
        "purpose",
        "reason",
        "record_type",
        "representation_id",
        "route",
        "size",
        "status",
        "worker",
    }
)
# Loggers whose texts we know. The texts of all others are left out: they quote addresses, values, exceptions.
_OUR_LOGGERS: Final = ("broker", "connectors", "consent", "migrations", "vault")
_KNOWN_LOGGERS: Final = ("uvicorn.error", "alembic.runtime.migration")
_HARMLESS: Final = re.compile(r"[A-Za-z0-9._:/{}+-]{1,120}", re.ASCII)
_WITHHELD: Final = "(withheld)"
_MAX_FRAMES: Final = 20
_MAX_CAUSES: Final = 4

_trace_id: Final[ContextVar[str]] = ContextVar("trace_id", default=NO_TRACE)
_access: Final = logging.getLogger("broker.access")


def current_trace_id() -> str:
    """The id of the request that runs here, or `-` outside of one."""
    return _trace_id.get()


def configure_logging(
    level: str, line_format: Literal["json", "text"], *, stream: TextIO | None = None
) -> None:
    """Send every logger through one handler that writes only what is allowed."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if line_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for known in root.manager.loggerDict.values():
        if isinstance(known, logging.Logger):
            known.disabled = False  # a library's `dictConfig` silences every logger that it does not name
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # Our own access line has the route's template; uvicorn's has the path with its ids and the query.
    logging.getLogger("uvicorn.access").disabled = True
    quiet_authlib()


def quiet_authlib() -> None:
    """Keep Authlib from writing requests and token responses, as it does at DEBUG. Every app does it anew."""
    logging.getLogger("authlib").setLevel(logging.INFO)


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_members(record), ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same members for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        members = _members(record)
        head = f"{members.pop('at')} {members.pop('level'):7} {members.pop('logger')}: {members.pop('event')}"
        frames = members.pop("exception", [])
        line = " ".join([head, *(f"{name}={value}" for name, value in members.items())])
        return "\n".join([line, *(f"    {frame}" for frame in frames)])


def _members(record: logging.LogRecord) -> dict[str, Any]:
    members: dict[str, Any] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": _event(record),
    }
    # The handler of last resort runs outside of the request's context, and gives the id along.
    if (trace_id := vars(record).get("trace_id", current_trace_id())) != NO_TRACE:
        members["trace_id"] = _harmless(trace_id)
    for name in sorted(ALLOWED_FIELDS & vars(record).keys()):
        members[name] = _harmless(vars(record)[name])
    if record.exc_info and record.exc_info[1] is not None:
        members["exception"] = list(_outline(record.exc_info[1]))
    return members


def _event(record: logging.LogRecord) -> str:
    """The text of a line. Ours are fixed: what varies belongs into fields, so arguments are never put in."""
    if record.name.partition(".")[0] in _OUR_LOGGERS:
        return str(record.msg)
    if record.name in _KNOWN_LOGGERS:
        return record.getMessage()
    return f"{_WITHHELD} {record.module}:{record.lineno}"


def _harmless(value: object) -> str | int | float | None:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return text if _HARMLESS.fullmatch(text) else _WITHHELD


def _outline(error: BaseException) -> Iterator[str]:
    """Class and code places of an exception and its causes. Never its message: it may quote data."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            return
        yield f"{type(cause).__module__}.{type(cause).__qualname__}"
        yield from _frames(cause.__traceback__)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    places: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = traceback.tb_frame.f_globals.get("__name__", "?")
        places.append(f"at {module}:{traceback.tb_lineno} {code.co_qualname}")
        traceback = traceback.tb_next
    yield from places[-_MAX_FRAMES:]


class TraceMiddleware:
    """Give each request an id of ours, and write its access line. An inbound id is never taken."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id = secrets.token_hex(8)
        scope["trace_id"] = trace_id  # for the handler of last resort, which runs outside of this middleware
        token = _trace_id.set(trace_id)
        started, status = time.perf_counter(), 500

        async def send_with_trace(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[TRACE_HEADER] = trace_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_trace)
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            fields = {"method": scope["method"], "route": _route(scope), "status": status}
            _access.info("request", extra={**fields, "duration_ms": milliseconds})
            _trace_id.reset(token)


def _route(scope: Scope) -> str:
    """The route's template, or `-`: the path itself has ids in it."""
    # FastAPI keeps the template with the prefixes of its routers here; Starlette's routes have it themselves.
    included = scope.get("fastapi", {}).get("effective_route_context")
    template = getattr(included, "path", "") or getattr(scope.get("route"), "path", "")
    return template if isinstance(template, str) and template else "-"
