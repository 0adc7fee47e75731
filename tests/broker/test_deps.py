"""What handlers are given: forms within their limits, one instant, sessions that read."""

from urllib.parse import quote_plus, urlencode

import pytest
from fastapi import FastAPI
from httpx import Response

from broker.deps import Form, FormData, Now, Read
from broker.errors import install_error_handlers
from broker.installation import Installation
from tests.broker.asking import ask
from tests.installation import Clock

URLENCODED = "application/x-www-form-urlencoded"
LIMIT = 1000


@pytest.fixture
def app(sqlite_installation: Installation) -> FastAPI:
    app = FastAPI()
    settings = sqlite_installation.settings
    limits = settings.limits.model_copy(update={"body_bytes": LIMIT})
    object.__setattr__(sqlite_installation, "settings", settings.model_copy(update={"limits": limits}))
    app.state.installation = sqlite_installation
    install_error_handlers(app)

    @app.post("/form")
    def show(form: Form) -> dict[str, list[str]]:
        return form.values

    @app.get("/now")
    def tell(now: Now, session: Read) -> dict[str, object]:
        return {"now": now.isoformat(), "tables": session.connection().dialect.name}

    return app


def posted(app: FastAPI, content: bytes, media_type: str | None = URLENCODED) -> Response:
    headers = {} if media_type is None else {"Content-Type": media_type}
    return ask(app, "POST", "/form", headers=headers, content=content)


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "",
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        f"{URLENCODED}x",
        f"x{URLENCODED}",
        f"{URLENCODED}, text/plain",
    ],
)
def test_another_media_type_is_refused(app: FastAPI, media_type: str | None) -> None:
    answer = posted(app, b"a=1", media_type)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_form")


@pytest.mark.parametrize(
    "content",
    [
        b"name=\xff\xfe",  # not UTF-8 as it stands
        b"name=%FF%FE",  # not UTF-8 once it is decoded
        b"%C3=1",
        b"name=\xed\xa0\x80",  # half of a surrogate pair
        b"nameonly",
        b"a=1&&b=2",
        b"&",
        b"name=a%00b",
        b"na%00me=1",
    ],
)
def test_what_is_no_form_in_utf8_is_refused_without_echo(app: FastAPI, content: bytes) -> None:
    answer = posted(app, content)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_form")
    assert "name" not in answer.text


def test_a_body_over_the_limit_is_refused(app: FastAPI) -> None:
    exact = b"a=" + b"x" * (LIMIT - 2)
    assert posted(app, exact).status_code == 200
    answer = posted(app, exact + b"x")
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_too_many_fields_are_refused(app: FastAPI) -> None:
    assert posted(app, "&".join(["a=1"] * 200).encode()).status_code == 200
    answer = posted(app, "&".join(["a=1"] * 201).encode())
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_form")


def test_repeated_fields_are_kept_in_their_order(app: FastAPI) -> None:
    assert posted(app, b"item=b&x=1&item=a&item=b").json() == {"item": ["b", "a", "b"], "x": ["1"]}


def test_an_empty_body_and_empty_values_are_forms(app: FastAPI) -> None:
    assert posted(app, b"").json() == {}
    assert posted(app, b"a=&b=+").json() == {"a": [""], "b": [" "]}


def test_a_charset_and_capitals_in_the_media_type_change_nothing(app: FastAPI) -> None:
    told = {"name": "김하늘", "sign": "a+b&c=d%"}
    for media_type in (f"{URLENCODED}; charset=utf-8", URLENCODED.upper()):
        answer = posted(app, urlencode(told, quote_via=quote_plus).encode(), media_type)
        assert answer.json() == {name: [value] for name, value in told.items()}


def test_one_is_only_for_fields_that_came_once() -> None:
    form = FormData({"once": ["1"], "twice": ["1", "2"]})
    assert (form.one("once"), form.one("twice"), form.one("never")) == ("1", None, None)
    assert (form.all("twice"), form.all("never"), form.repeated()) == (["1", "2"], [], ["twice"])
    form.all("twice").append("3")
    assert form.all("twice") == ["1", "2"]


def test_the_instant_is_the_installations(app: FastAPI, clock: Clock) -> None:
    assert ask(app, "GET", "/now").json() == {"now": clock().isoformat(), "tables": "sqlite"}
