"""Health: `/livez` says the process answers, `/readyz` that it can do its work. Both are public."""

from typing import Final

from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from broker.deps import Installed
from broker.installation import Installation
from broker.service_keys import OAUTH_KEY, OPENID_KEY
from consent.auditing import head
from migrations.run import current
from migrations.run import head as newest
from vault.errors import VaultError

router = APIRouter(tags=["operation"])

_OK: Final = "ok"


@router.get("/livez")
def get_livez() -> dict[str, str]:
    """The process answers."""
    return {"status": _OK}


@router.get("/readyz")
def get_readyz(installation: Installed) -> JSONResponse:
    """Databases at this program's schema, keys usable, log readable; 503 with the reasons otherwise."""
    reasons = readiness(installation)
    is_ready = all(reason == _OK for reason in reasons.values())
    body = {"status": _OK if is_ready else "not_ready", "checks": reasons}
    return JSONResponse(body, status_code=200 if is_ready else 503)


def readiness(installation: Installation) -> dict[str, str]:
    """Each check with `ok` or the code of what is wrong."""
    settings = installation.settings
    return {
        "database": _schema(settings.database.url, is_keyring=False),
        "keyring_database": _schema(settings.keyring.url, is_keyring=True),
        "signing_key": _signing_key(installation),
        "log": _log(installation),
    }


def _schema(database_url: str, *, is_keyring: bool) -> str:
    try:
        revision = current(database_url)
    except SQLAlchemyError:
        return "unreachable"
    return _OK if revision == newest("keyring" if is_keyring else "data") else "not_migrated"


def _signing_key(installation: Installation) -> str:
    names = [OAUTH_KEY, *([OPENID_KEY] if installation.settings.oauth.oidc_clients else [])]
    try:
        return _OK if all(installation.keyring.service_keys(name) for name in names) else "missing"
    except SQLAlchemyError:
        return "unreachable"
    except VaultError:
        return "unusable"


def _log(installation: Installation) -> str:
    try:
        with installation.data.read() as session:
            head(session)
    except SQLAlchemyError:
        return "unreachable"
    return _OK
