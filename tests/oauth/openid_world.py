"""A broker with two recipients and two people who sign in through its pages, as one browser sees them."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
from httpx import Response
from sqlmodel import Session
from starlette.testclient import TestClient

from broker.app import create_app
from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.clients import ClientRegistration
from broker.web.signin.accounts import NewAccount, create_account
from consent.collection import add_subject
from consent.organisations import NewOrganisation, register
from consent.purposes import Purposes
from tests.installation import ISSUER, Clock
from tests.oauth.transport import serving
from tests.oauth.world import (
    LEFT_OUT,
    OTHER_REDIRECT_URI,
    PURPOSE,
    PURPOSE_DECLARATION,
    REDIRECT_URI,
    Recipient,
    access_token_hash,
    answer_in,
)
from tests.passwords import cheap_hash
from tests.web.stage import Form
from vault.jose import public_jwk, verify_jwt

PASSWORD = "haneul-blue-sky"
NAMES = {"insurer": ("한빛손해보험", "Hanbit Insurance"), "other": ("다른 앱", "Other App")}


@dataclass
class OpenIDWorld:
    """The broker over HTTP: its recipients' machines, and a browser in which nobody is signed in yet."""

    installation: Installation
    clock: Clock
    browser: TestClient
    insurer: Recipient
    stranger: Recipient
    subject_id: str
    other_subject_id: str

    def sign_in(self, username: str = "haneul", page: str = "/ko/signin") -> Response:
        """Fill in the sign-in page that the browser was led to; a second later than whatever was before."""
        self.clock.advance(timedelta(seconds=1))
        fields = Form(self.browser.get(page).text).fields
        data = fields | {"username": username, "password": PASSWORD}
        answer: Response = self.browser.post("/ko/signin", data=data)
        assert answer.status_code == 303, answer.text
        return answer

    def push(self, recipient: Recipient | None = None, /, **changes: object) -> Response:
        """Push a request for a sign-in alone."""
        asked: dict[str, Any] = {
            "scope": "openid",
            "nonce": "n-0S6_WzA2Mj",
            "authorization_details": LEFT_OUT,
        }
        return (recipient or self.insurer).push(**(asked | changes))

    def push_records(self, **changes: object) -> Response:
        """Push a request for records that asks who the person is, too."""
        asked: dict[str, Any] = {"scope": "openid records.read", "nonce": "n-0S6_WzA2Mj"}
        return self.insurer.push(**(asked | changes))

    def arrive(self, pushed: Response, recipient: Recipient | None = None) -> str:
        """The browser comes with a pushed request; where it is sent to."""
        assert pushed.status_code == 201, pushed.text
        client_id = (recipient or self.insurer).client_id
        query = {"client_id": client_id, "request_uri": pushed.json()["request_uri"]}
        answer = self.browser.get("/authorize", params=query)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["Location"])

    def decide(self, path: str, decision: str = "allow") -> str:
        """The person decides on the page; where the browser is sent to."""
        page = self.browser.get(path)
        assert page.status_code == 200, page.headers.get("location", page.text)
        answer = self.browser.post(path, data=Form(page.text).fields | {"decision": decision})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["Location"])

    def signed_in_at(self, **changes: object) -> dict[str, Any]:
        """The token answer of a whole sign-in at the insurer; somebody is signed in here already."""
        return self.redeemed(self.decide(self.arrive(self.push(**changes))))

    def redeemed(self, address: str, recipient: Recipient | None = None) -> dict[str, Any]:
        """The token answer for the code in an address."""
        answer = (recipient or self.insurer).redeem(answer_in(address)["code"])
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def claims(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of an ID token, verified with the published keys."""
        keys = self.insurer.http.get("/jwks").json()
        header, claims = verify_jwt(tokens["id_token"], keys, algorithms=("ES256",), typ="jwt")
        assert header["kid"] in {key["kid"] for key in keys["keys"]}
        assert header["typ"] == "JWT"
        return claims

    def userinfo(
        self,
        tokens: Mapping[str, Any],
        method: str = "GET",
        recipient: Recipient | None = None,
        **more: Any,  # noqa: ANN401 - what httpx takes
    ) -> Response:
        """Ask who the person is, with a proof by the recipient's key."""
        used, token = recipient or self.insurer, tokens["access_token"]
        proof = used.proof("/userinfo", htm=method, ath=access_token_hash(token))
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        return used.http.request(method, "/userinfo", headers=headers, **more)


def build(bare: Installation, clock: Clock) -> Iterator[OpenIDWorld]:
    installation = replace(bare, purposes=Purposes.load([PURPOSE_DECLARATION]))
    app = create_app(installation)
    password_hash = cheap_hash(PASSWORD)
    with serving(app, ISSUER) as http:
        insurer = Recipient(http, clock, "insurer-claims", REDIRECT_URI)
        stranger = Recipient(http, clock, "other-app", OTHER_REDIRECT_URI)
        with transaction(installation.data) as work:
            for name in ("insurer", "other", "hospital"):
                register(work.session, _organisation(name), clock())
            work.session.flush()
            add_client(work.session, insurer, "insurer", clock)
            add_client(work.session, stranger, "other", clock)
            people = []
            for username in ("haneul", "jeongsuk"):
                subject_id = add_subject(work, installation.keyring, clock())
                account = NewAccount("citizen", username, password_hash, subject_id, username)
                create_account(work.session, installation.keyring, account, clock())
                people.append(subject_id)
        # A browser that says where its forms come from; the app's life is the machines'.
        browser = TestClient(app, base_url=ISSUER, headers={"Origin": ISSUER}, follow_redirects=False)
        yield OpenIDWorld(installation, clock, browser, insurer, stranger, *people)
        browser.close()


def add_client(
    session: Session,
    recipient: Recipient,
    owner: str,
    clock: Clock,
    metadata: ClientMetadata | None = None,
    *,
    is_loopback_allowed: bool = False,
) -> None:
    registration = ClientRegistration(
        client_id=recipient.client_id,
        organisation_id=owner,
        name=owner,
        jwks={"keys": [public_jwk(recipient.key)]},
        redirect_uris=(recipient.redirect_uri,),
        scope="openid records.read deliveries" if owner == "insurer" else "openid",
        purposes=(PURPOSE,) if owner == "insurer" else (),
        metadata=metadata or ClientMetadata(),
    )
    clients.add(session, registration, is_loopback_allowed=is_loopback_allowed, now=clock())


def unsigned(claims: Mapping[str, Any]) -> str:
    """A JWT with `alg` none: it says what it likes."""
    parts = (orjson.dumps({"alg": "none", "typ": "JWT"}), orjson.dumps(dict(claims)), b"x")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _organisation(name: str) -> NewOrganisation:
    name_ko, name_en = NAMES.get(name, (name, name))
    return NewOrganisation(
        organisation_id=name,
        name_ko=name_ko,
        name_en=name_en,
        registration_number="000-00-00000",
        contact="privacy@example",
        is_recipient=name != "hospital",
        is_holder=name == "hospital",
    )
