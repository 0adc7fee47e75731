"""OpenID Connect Discovery 1.0, and a client library that we did not write which reads it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
from requests_oauth2client import (
    BearerToken,
    DPoPToken,
    IdToken,
    MismatchingIdTokenNonce,
    OAuth2Client,
    PrivateKeyJwt,
)

from tests.installation import ISSUER
from tests.oauth.openid_world import OpenIDWorld
from tests.oauth.test_foreign_client import InProcessAdapter

PATH = "/.well-known/openid-configuration"


def test_it_is_the_metadata_of_the_authorization_server_and_what_openid_adds(
    small_openid: OpenIDWorld,
) -> None:
    http = small_openid.insurer.http
    answer = http.get(PATH)
    found, plain = answer.json(), http.get("/.well-known/oauth-authorization-server").json()
    assert answer.headers["Content-Type"] == "application/json"
    assert {name: found[name] for name in plain} == plain
    added = {name: value for name, value in found.items() if name not in plain}
    assert added.pop("claims_supported") == [
        *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid")
    ]
    assert added == {
        "userinfo_endpoint": f"{ISSUER}/userinfo",
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": True,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "display_values_supported": ["page"],
        "end_session_endpoint": f"{ISSUER}/end_session",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    } | {name: False for name in ("request_uri_parameter_supported",) if name not in plain}
    assert "openid" in found["scopes_supported"]


def test_every_claim_of_an_id_token_is_promised(small_openid: OpenIDWorld) -> None:
    small_openid.sign_in()
    promised = small_openid.insurer.http.get(PATH).json()["claims_supported"]
    assert set(small_openid.claims(small_openid.signed_in_at())) == set(promised)


@pytest.fixture
def library(small_openid: OpenIDWorld) -> Iterator[OAuth2Client]:
    small_openid.clock.now = datetime.now(UTC)  # the library has a clock of its own
    session = requests.Session()
    session.mount(ISSUER, InProcessAdapter(small_openid.insurer.http))
    client = OAuth2Client.from_discovery_document(
        session.get(f"{ISSUER}{PATH}").json(),
        issuer=ISSUER,
        auth=PrivateKeyJwt(small_openid.insurer.client_id, small_openid.insurer.key, aud=ISSUER),
        redirect_uri=small_openid.insurer.redirect_uri,
        session=session,
        dpop_bound_access_tokens=True,
        id_token_signed_response_alg="ES256",
        testing=True,
    )
    client.update_authorization_server_public_keys()
    yield client
    session.close()


def test_a_foreign_library_signs_somebody_in(small_openid: OpenIDWorld, library: OAuth2Client) -> None:
    small_openid.sign_in()
    request = library.authorization_request(scope="openid", dpop=True, max_age=1000)
    pushed = library.pushed_authorization_request(request)
    opened = small_openid.browser.get(str(pushed))
    answer = request.validate_callback(small_openid.decide(opened.headers["Location"]))
    token = library.authorization_code(answer, validate=False)
    assert isinstance(token, DPoPToken)
    assert isinstance(token.id_token, IdToken)
    assert token.id_token.nonce == request.nonce
    # Once all is checked the library makes the token anew, which it cannot do with a DPoP token.
    bare = BearerToken(token.access_token, expires_in=300, scope="openid", id_token=token.id_token)
    bare.validate_id_token(library, answer)
    another = IdToken(small_openid.signed_in_at()["id_token"])
    with pytest.raises(MismatchingIdTokenNonce):
        BearerToken(token.access_token, id_token=another).validate_id_token(library, answer)
    assert library.userinfo(token) == {"sub": token.id_token.subject}
