"""The RS256 key of the profile `oidc`: what is answered where it was never made, or is gone."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlmodel import col, delete

from broker.installation import Installation
from broker.service_keys import OPENID_KEY, ensure_service_keys
from tests.installation import Clock
from tests.oauth.openid_world import build
from tests.oauth.plain_world import BASIC, PlainWorld, added
from vault.keys.models import ServiceKeyRow


@pytest.fixture
def keyless(sqlite_installation: Installation, clock: Clock) -> Iterator[PlainWorld]:
    """The profile was switched on, and `mydata key init` was not run."""
    settings = sqlite_installation.settings
    oauth = settings.oauth.model_copy(update={"oidc_clients": True})
    switched_on = replace(sqlite_installation, settings=settings.model_copy(update={"oauth": oauth}))
    for openid in build(switched_on, clock):
        plain = added(openid, "plain-basic", BASIC)
        openid.sign_in()
        yield PlainWorld(openid, plain, plain)


def test_without_the_key_no_person_is_asked_and_the_client_hears_why(keyless: PlainWorld) -> None:
    heard = keyless.refusal()
    assert (heard["error"], heard["state"]) == ("server_error", "a state")
    pushed = keyless.plain.post("/par", keyless.plain.request())
    assert (pushed.status_code, pushed.json()["error"]) == (503, "server_error")
    assert keyless.plain.http.get("/readyz").json()["checks"]["signing_key"] == "missing"
    assert keyless.plain.http.get("/jwks").status_code == 200


def test_who_chose_es256_needs_no_such_key(keyless: PlainWorld) -> None:
    chosen = added(keyless.openid, "by-es256", BASIC, id_token_signed_response_alg="ES256")
    assert keyless.told(keyless.tokens(chosen), "ES256")["aud"] == "by-es256"


def test_a_key_that_is_gone_is_a_refusal_in_oauths_form(keyless: PlainWorld) -> None:
    installation = keyless.openid.installation
    ensure_service_keys(installation.keyring, keyless.openid.clock(), oidc_clients=True)
    code, later = keyless.code(), keyless.code()
    assert keyless.plain.redeem(code).status_code == 200
    with installation.keyring_database.write() as session:
        session.exec(delete(ServiceKeyRow).where(col(ServiceKeyRow.name) == OPENID_KEY))
    answer = keyless.plain.redeem(later)
    assert (answer.status_code, answer.json()["error"]) == (503, "server_error")
    assert answer.headers["Cache-Control"] == "no-store"
