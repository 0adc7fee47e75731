"""Health: ready only with databases, keys and log; and the reason when not."""

from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import text

from broker.health import router
from broker.installation import Installation
from broker.service_keys import ensure_service_keys
from broker.settings import load_settings
from tests.broker.asking import ask


def app_of(installation: Installation) -> FastAPI:
    app = FastAPI()
    app.state.installation = installation
    app.include_router(router)
    return app


def test_without_a_signing_key_it_is_not_ready(installation: Installation) -> None:
    with installation.keyring_database.write() as session:
        session.connection().execute(text("DELETE FROM service_key WHERE name = 'oauth'"))
    got = ask(app_of(installation), "GET", "/readyz")
    assert got.status_code == 503
    assert got.json()["checks"] == {
        "database": "ok",
        "keyring_database": "ok",
        "signing_key": "missing",
        "log": "ok",
    }


def test_who_serves_openid_connect_is_not_ready_without_its_key(sqlite_installation: Installation) -> None:
    settings = sqlite_installation.settings
    oauth = settings.oauth.model_copy(update={"oidc_clients": True})
    serving = replace(sqlite_installation, settings=settings.model_copy(update={"oauth": oauth}))
    assert ask(app_of(serving), "GET", "/readyz").json()["checks"]["signing_key"] == "missing"
    ensure_service_keys(serving.keyring, serving.clock(), oidc_clients=True)
    assert ask(app_of(serving), "GET", "/readyz").status_code == 200


def test_with_everything_it_is_ready(installation: Installation) -> None:
    got = ask(app_of(installation), "GET", "/readyz")
    assert (got.status_code, got.json()["status"]) == (200, "ok")


def test_a_database_of_another_program_is_not_ready(sqlite_installation: Installation) -> None:
    with sqlite_installation.data.write() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '9999'"))
    checks = ask(app_of(sqlite_installation), "GET", "/readyz").json()["checks"]
    assert checks["database"] == "not_migrated"


def test_a_database_that_is_away_is_not_ready(sqlite_installation: Installation, tmp_path: Path) -> None:
    environ = {
        "MYDATA__SERVER__ISSUER": "http://127.0.0.1:8000",
        "MYDATA__KEYRING__URL": f"sqlite:///{tmp_path / 'keyring.db'}",
        "MYDATA__KEYRING__PASSPHRASE": "x",
        "MYDATA__DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    away = replace(sqlite_installation, settings=load_settings(None, environ))
    got = ask(app_of(away), "GET", "/readyz")
    assert (got.status_code, got.json()["checks"]["database"]) == (503, "unreachable")


def test_it_lives_whatever_is_missing() -> None:
    app = FastAPI()
    app.include_router(router)
    assert ask(app, "GET", "/livez").json() == {"status": "ok"}
