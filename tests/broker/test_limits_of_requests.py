"""What no request may be, and what happens when the database cannot be written or a clean-up fails."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from broker.app import create_app
from broker.db import LockTimeoutError, UnfinishedError, take_file_lock, transaction
from broker.installation import Installation
from consent.models import Subject
from tests.databases import Databases
from tests.installation import ISSUER, Clock


@pytest.fixture
def http(installation: Installation) -> Iterator[TestClient]:
    with TestClient(create_app(installation), base_url=ISSUER, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ko/consents/a%00b"),
        ("GET", "/ko/consents/a%00b/stop"),
        ("POST", "/ko/consents/a%00b/stop"),
        ("GET", "/ko/consent/a%00b"),
        ("POST", "/ko/sources/a%00b/unlink"),
        ("POST", "/v1/deliveries/a%00b/ack"),
        ("GET", "/v1/records/a%00b"),
        ("GET", "/log/tile/%00"),
        ("GET", "/v1/catalogue/purposes/%00"),
    ],
)
def test_a_path_with_a_nul_is_not_found(http: TestClient, method: str, path: str) -> None:
    answer = http.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("field", ["client_id", "request_uri"])
def test_a_query_with_a_nul_is_no_mistake_of_ours(http: TestClient, field: str) -> None:
    query = {"client_id": "somebody", "request_uri": "urn:x"} | {field: "a\0b"}
    assert http.get("/authorize", params=query).status_code == 400


def test_a_form_with_a_nul_is_no_form(http: TestClient) -> None:
    answer = http.post("/token", data={"grant_type": "a\0b"})
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


def test_a_body_over_the_limit_is_told_as_a_problem(http: TestClient, installation: Installation) -> None:
    too_much = b"x" * (installation.settings.limits.body_bytes + 1)
    answer = http.post("/v1/deliveries/any/decision", content=too_much)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "body_too_large"


def test_a_body_without_a_length_is_counted(http: TestClient, installation: Installation) -> None:
    piece = b"a=" + b"x" * (installation.settings.limits.body_bytes // 2)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = http.post("/token", content=iter([piece, piece, piece]), headers=headers)
    assert answer.status_code == 413


def test_a_writer_that_stands_still_does_not_stop_the_others_for_ever(
    sqlite_databases: Databases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.db.LOCK_TIMEOUT_SECONDS", 0.2)
    held = take_file_lock(sqlite_databases.data.path)
    with pytest.raises(LockTimeoutError), transaction(sqlite_databases.data) as work:
        work.session.add(Subject(subject_id="late", created_at=clock()))
    os.close(held)
    with transaction(sqlite_databases.data) as work:
        work.session.add(Subject(subject_id="early", created_at=clock()))
    with sqlite_databases.data.read() as session:
        assert session.get(Subject, "late") is None
        assert session.get(Subject, "early") is not None


def test_what_fails_after_a_commit_is_told_and_stops_nothing_else(databases: Databases, clock: Clock) -> None:
    done: list[str] = []

    def fail() -> None:
        raise OperationalError("statement", None, Exception("gone"))

    def write() -> None:
        with transaction(databases.data) as work:
            work.session.add(Subject(subject_id="one", created_at=clock()))
            work.after_commit(fail)
            work.after_commit(lambda: done.append("second"))

    with pytest.raises(UnfinishedError):
        write()
    assert done == ["second"]
    with databases.data.read() as session:
        assert session.get(Subject, "one") is not None


def test_discarding_takes_back_everything(databases: Databases, clock: Clock) -> None:
    done: list[Any] = []
    with transaction(databases.data) as work:
        work.session.add(Subject(subject_id="one", created_at=clock()))
        work.session.flush()
        work.after_commit(lambda: done.append("never"))
        work.discard()
        work.session.add(Subject(subject_id="two", created_at=clock()))
    with databases.data.read() as session:
        assert session.get(Subject, "one") is None
        assert session.get(Subject, "two") is not None
    assert done == []
