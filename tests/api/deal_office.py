"""A broker over HTTP, with its lane, in which people sign deals: a contract service, a bank, people."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
import orjson
from starlette.testclient import TestClient

from broker.app import create_app
from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.clients import ClientRegistration
from broker.web.signin import sessions
from broker.web.signin.accounts import NewAccount, create_account
from connectors.services.lease.asking import HOLDERS, PURPOSES, asked_terms
from consent.collection import NewLink, add_subject, link
from consent.organisations import NewOrganisation, register
from tests.api.conftest import bound
from tests.installation import ISSUER, Clock
from tests.oauth.world import Recipient, answer_in
from tests.web.stage import Form
from vault.jose import public_jwk
from vault.schema import random_id

SERVICE_URI: Final = "https://zipsign.example/callback"
BANK_URI: Final = "https://bank.example/callback"
ROLES: Final = ("tenant", "landlord", "agent")
SALE_PURPOSES: Final = ("realestate.sale_seller", "realestate.sale_buyer")
MATTER: Final = "바람길 7, 2층 201호 전세"


@dataclass(frozen=True)
class Person:
    """A citizen with a browser of their own."""

    subject_id: str
    http: TestClient

    def get(self, path: str) -> httpx.Response:
        answer: httpx.Response = self.http.get(path)
        return answer

    def post(self, path: str, **fields: str | list[str]) -> httpx.Response:
        """Post the form of a page to its own address."""
        form = Form(self.http.get(path).text).fields
        answer: httpx.Response = self.http.post(path, data=form | fields)
        return answer


@dataclass(frozen=True)
class DealOffice:
    """Every step that a recipient and people take, over HTTP."""

    installation: Installation
    clock: Clock
    http: TestClient
    service: Recipient
    bank: Recipient
    people: Mapping[str, Person]

    def say(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        who: Recipient | None = None,
        scope: str = "deals",
    ) -> httpx.Response:
        speaker = who or self.service
        token = speaker.own_token(scope=scope).json()["access_token"]
        headers = bound(speaker, path, token, htm=method)
        answer: httpx.Response = self.http.request(method, path, json=body, headers=headers)
        return answer

    def open(self, kind: str = "lease", **changes: object) -> dict[str, Any]:
        answer = self.say("POST", "/v1/deals", {"kind": kind, "matter": MATTER} | changes)
        assert answer.status_code == 201, answer.text
        opened: dict[str, Any] = answer.json()
        return opened

    def status(self, deal_id: str, who: Recipient | None = None) -> httpx.Response:
        return self.say("GET", f"/v1/deals/{deal_id}", who=who)

    def push(
        self, role: str, invitation: str | None, *, who: Recipient | None = None, **changes: object
    ) -> httpx.Response:
        now = self.clock()
        terms = asked_terms(
            role, issuer=ISSUER, holders=HOLDERS[role], deadline=now + timedelta(days=14), now=now
        )
        asked = {"authorization_details": orjson.dumps([terms | changes]).decode()}
        invited = {} if invitation is None else {"deal_invitation": invitation}
        return (who or self.service).push(**asked, **invited)

    def page_of(self, pushed: httpx.Response, who: Recipient | None = None) -> str:
        """The path of the consent page."""
        assert pushed.status_code == 201, pushed.text
        opened = (who or self.service).open(pushed.json()["request_uri"])
        assert opened.status_code == 303, opened.text
        return str(opened.headers["Location"])

    def decide(self, person: Person, page: str, decision: str = "allow") -> httpx.Response:
        return person.post(page, decision=decision)

    def sign(self, role: str, invitation: str, person: Person | None = None) -> dict[str, Any]:
        """From the link to the token; the token's answer."""
        page = self.page_of(self.push(role, invitation))
        answer = self.decide(person or self.people[role], page)
        assert answer.status_code == 303, answer.text
        redeemed = self.service.redeem(answer_in(answer.headers["Location"])["code"])
        assert redeemed.status_code == 200, redeemed.text
        tokens: dict[str, Any] = redeemed.json()
        return tokens

    def pull(self, access_token: str, key: str = "one") -> httpx.Response:
        headers = bound(self.service, "/v1/deliveries", access_token) | {"Idempotency-Key": key}
        answer: httpx.Response = self.http.post("/v1/deliveries", headers=headers)
        return answer


def deal_office(installation: Installation, clock: Clock) -> Iterator[DealOffice]:
    """The office, with its lane running."""
    app = create_app(installation)
    with TestClient(app, base_url=ISSUER, follow_redirects=False) as http:
        service = Recipient(http, clock, "zipsign-contracts", SERVICE_URI)
        bank = Recipient(http, clock, "nuri-loans", BANK_URI)
        with transaction(installation.data) as work:
            for name in ("zipsign", "nuri-bank", "city-hall", "court-registry", "tax-office"):
                register(work.session, _organisation(name), clock())
            work.session.flush()
            for new in (
                _registration(service, "zipsign", (*PURPOSES.values(), *SALE_PURPOSES)),
                _registration(bank, "nuri-bank", ("lending.mortgage_for_sale",)),
            ):
                clients.add(work.session, new, is_loopback_allowed=False, now=clock())
        people = {role: _person(installation, clock, app) for role in (*ROLES, "stranger")}
        yield DealOffice(installation, clock, http, service, bank, people)
        for person in people.values():
            with suppress(RuntimeError):
                person.http.close()


def _person(installation: Installation, clock: Clock, app: Any) -> Person:  # noqa: ANN401 - an ASGI app
    now = clock()
    with transaction(installation.data) as work:
        subject_id = add_subject(work, installation.keyring, now)
        new = NewAccount("citizen", random_id(), "no password", subject_id)
        account_id = create_account(work.session, installation.keyring, new, now)
        work.session.flush()
        cookie = sessions.open_session(work.session, account_id, now, lifetime=timedelta(days=30))
        link(
            work,
            installation.keyring,
            NewLink(subject_id, "city-hall", random_id(), ("person.identity",), "ko"),
            now,
        )
    http = TestClient(app, base_url=ISSUER, headers={"Origin": ISSUER}, follow_redirects=False)
    http.cookies.set(sessions.cookie_name(ISSUER), cookie)
    return Person(subject_id, http)


def _organisation(name: str) -> NewOrganisation:
    is_recipient = name in {"zipsign", "nuri-bank"}
    return NewOrganisation(
        organisation_id=name,
        name_ko=name,
        name_en=name,
        registration_number="104-81-00001",
        contact=f"privacy@{name}.example",
        is_recipient=is_recipient,
        is_holder=not is_recipient,
    )


def _registration(recipient: Recipient, owner: str, purposes: tuple[str, ...]) -> ClientRegistration:
    return ClientRegistration(
        client_id=recipient.client_id,
        organisation_id=owner,
        name=owner,
        jwks={"keys": [public_jwk(recipient.key)]},
        redirect_uris=(recipient.redirect_uri,),
        scope="records.read deliveries deals",
        purposes=purposes,
    )
