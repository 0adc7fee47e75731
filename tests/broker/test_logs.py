"""Logs: ids only. Personal data is planted wherever a program can put it, and must not come out."""

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from fastapi import APIRouter, FastAPI

from broker.errors import install_error_handlers
from broker.logs import TraceMiddleware, configure_logging
from tests.broker.asking import ask

PERSONAL = "김하늘 850101-2345678"


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Everything that is logged, as JSON lines."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    access_was_disabled = logging.getLogger("uvicorn.access").disabled
    written = StringIO()
    configure_logging("debug", "json", stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("authlib").setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.access").disabled = access_was_disabled


def lines(log: StringIO, logger: str | None = None) -> list[dict[str, object]]:
    parsed = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in parsed if logger is None or line["logger"] == logger]


def fail() -> None:
    raise ValueError(PERSONAL)


def fail_because_of_another() -> None:
    try:
        fail()
    except ValueError as error:
        raise RuntimeError(f"because of {PERSONAL}") from error


def test_the_message_of_an_exception_never_comes_out(log: StringIO) -> None:
    try:
        fail_because_of_another()
    except RuntimeError:
        logging.getLogger("broker.test").exception("went wrong")
    assert "김하늘" not in log.getvalue()
    (line,) = lines(log)
    outline = line["exception"]
    assert isinstance(outline, list)
    assert {"builtins.RuntimeError", "builtins.ValueError"} <= set(outline)
    assert any("fail_because_of_another" in frame for frame in outline)


def test_arguments_of_our_own_lines_are_not_put_in(log: StringIO) -> None:
    logging.getLogger("consent.lifecycle").info("gave %s", PERSONAL)
    assert lines(log)[0]["event"] == "gave %s"
    assert PERSONAL not in log.getvalue()


def test_texts_of_foreign_loggers_are_left_out(log: StringIO) -> None:
    for name in ("sqlalchemy.engine", "asyncio", "httpx", "authlib.oauth2", "python_multipart", "root"):
        logging.getLogger(name).warning(f"[parameters: {PERSONAL}]")  # noqa: G004 - as they do it
        logging.getLogger(name).warning("%s", PERSONAL)
    assert PERSONAL not in log.getvalue()
    assert len(lines(log)) == 12


def test_only_allowed_fields_come_out(log: StringIO) -> None:
    logging.getLogger("broker.test").info(
        "x", extra={"subject_name": PERSONAL, "patient_no": "1", "grant_id": "g-1"}
    )
    (line,) = lines(log)
    assert "subject_name" not in line
    assert "patient_no" not in line
    assert line["grant_id"] == "g-1"


@pytest.mark.parametrize(
    "value", [PERSONAL, "two words", "a@b.example", "line\nbreak", "x" * 200, {"a": PERSONAL}]
)
def test_an_allowed_field_holds_nothing_but_an_id(log: StringIO, value: object) -> None:
    logging.getLogger("broker.test").info("x", extra={"client_id": value})
    assert lines(log)[0]["client_id"] == "(withheld)"


def test_authlib_does_not_write_requests(log: StringIO) -> None:
    logging.getLogger("authlib.oauth2.rfc6749").debug("code=%s", PERSONAL)
    assert log.getvalue() == ""


def test_uvicorn_writes_no_access_lines(log: StringIO) -> None:
    logging.getLogger("uvicorn.access").info('%s - "GET /v1/things/%s"', "127.0.0.1", PERSONAL)
    assert log.getvalue() == ""


def serve(path: str) -> None:
    app = FastAPI()
    router = APIRouter(prefix="/v1")

    @router.get("/things/{name}")
    def get_thing(name: str) -> str:
        return name

    @router.get("/broken/{name}")
    def get_broken(name: str) -> str:
        raise ValueError(name)

    app.include_router(router)
    install_error_handlers(app)
    app.add_middleware(TraceMiddleware)
    ask(app, "GET", path)


def test_an_access_line_has_the_template_and_never_the_path(log: StringIO) -> None:
    serve(f"/v1/things/{PERSONAL}?token=mda_secret")
    (line,) = lines(log, "broker.access")
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/things/{name}", 200)
    assert isinstance(line["duration_ms"], float)
    assert len(str(line["trace_id"])) == 16
    assert "850101" not in log.getvalue()
    assert "mda_secret" not in log.getvalue()


def test_a_request_that_fails_is_noted_without_what_it_said(log: StringIO) -> None:
    serve(f"/v1/broken/{PERSONAL}")
    (access,) = lines(log, "broker.access")
    (failed,) = lines(log, "broker.errors")
    assert access["status"] == 500
    assert failed["error"] == "ValueError"
    assert failed["trace_id"] == access["trace_id"]
    assert "850101" not in log.getvalue()


def test_an_address_without_a_route_is_a_dash(log: StringIO) -> None:
    serve(f"/{PERSONAL}")
    assert lines(log, "broker.access")[0]["route"] == "-"
    assert "850101" not in log.getvalue()


def test_text_has_the_same_members(log: StringIO) -> None:
    del log
    written = StringIO()
    configure_logging("info", "text", stream=written)
    try:
        fail()
    except ValueError:
        logging.getLogger("broker.test").exception("went wrong", extra={"count": 3})
    text = written.getvalue()
    assert "broker.test: went wrong count=3" in text
    assert "    builtins.ValueError" in text
    assert PERSONAL not in text
