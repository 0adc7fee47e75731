"""A broker with people, organisations and requests, for the tests of the pages."""

import re
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

from httpx import Response
from starlette.testclient import TestClient

from broker.db import Transaction, transaction
from broker.installation import Installation
from broker.oauth import clients, interaction
from broker.oauth.clients import ClientRegistration
from broker.oauth.kept_parameters import Kept, seal_kept
from broker.oauth.models import PushedRequest
from broker.oauth.par import seal_terms
from broker.oauth.pkce import challenge_of
from broker.web.signin.accounts import NewAccount, create_account
from consent import collection
from consent.collection import NewLink, add_subject
from consent.organisations import NewOrganisation, register
from consent.reading import ConsentView, consents_of
from consent.terms import parse
from tests.installation import ISSUER, Clock
from tests.passwords import cheap_hash
from vault.jose import generate_private_jwk, public_jwk
from vault.schema import random_id

REDIRECT_URI = "https://insurer.example/callback?flow=claim"
PASSWORD = "haneul-blue-sky"
BILL = "health.medical_bill"
POLICY = "insurance.indemnity_policy"


def bill(**changes: object) -> dict[str, Any]:
    asked = {
        "record_type": BILL,
        "mode": "fields",
        "fields": ["institution", "period", "lines", "totals"],
        "required": True,
        "filter": {"institution": ["11100079"], "period": {"from": "2026-11-01", "to": "2026-11-30"}},
    }
    return asked | changes


def policy(**changes: object) -> dict[str, Any]:
    return {"record_type": POLICY, "mode": "document", "required": False} | changes


def detail(*items: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "mydata_consent",
        "locations": [f"{ISSUER}/v1/records"],
        "actions": ["read"],
        "purpose": "insurance.indemnity_claim",
        "items": list(items or (bill(), policy())),
        "holders": ["insurance-register", "seoul-hospital"],
        "access": {
            "kind": "once",
            "max_pulls": 1,
            "valid_from": "2026-12-01T00:00:00+09:00",
            "valid_until": "2026-12-31T00:00:00+09:00",
        },
        "data_period": {"from": "2026-01-01", "to": "2026-11-30"},
        "retention": {"store": True, "period": "P90D", "on_end": "delete"},
    }


class Form(HTMLParser):
    """The fields of a page's forms as a browser would send them, checkboxes only when ticked."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.inputs: list[dict[str, str | None]] = []
        self.buttons: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "input":
            self.inputs.append(named)
            if named.get("type") == "hidden":
                self.fields[named["name"] or ""] = named.get("value") or ""
        if tag == "button":
            self.buttons.append(named)

    def input(self, identifier: str) -> dict[str, str | None]:
        return next(named for named in self.inputs if named.get("id") == identifier)


@dataclass
class Stage:
    """The broker over HTTP, as one browser sees it, and what the tests need to set it up."""

    installation: Installation
    clock: Clock
    http: TestClient
    subject_id: str
    other_subject_id: str

    def sign_in(self, username: str = "haneul", password: str = PASSWORD, **fields: str) -> Response:
        page = self.http.get("/ko/signin")
        data = Form(page.text).fields | {"username": username, "password": password} | fields
        answer: Response = self.http.post("/ko/signin", data=data)
        return answer

    def request(self, *items: dict[str, Any], redirect_uri: str = REDIRECT_URI) -> str:
        """A pushed request that came to its consent page; answers the interaction's id."""
        now, request_id = self.clock(), random_id()
        request = PushedRequest(
            request_id=request_id,
            uri_digest=random_id().encode(),
            client_id="hanbit-claims",
            redirect_uri=redirect_uri,
            scope="records.read",
            code_challenge=challenge_of("a-verifier-that-is-long-enough-to-be-one-of-RFC-7636"),
            terms_sealed=seal_terms(self.installation.keyring, request_id, parse([detail(*items)])),
            kept_sealed=seal_kept(self.installation.keyring, request_id, Kept(state="a state")),
            created_at=now,
            expires_at=now + timedelta(seconds=60),
        )
        with transaction(self.installation.data) as work:
            work.session.add(request)
            work.session.flush()
            return interaction.start(work.session, request, minutes=60, now=now)

    def decide(self, interaction_id: str, decision: str, *, language: str = "ko", **fields: Any) -> Response:  # noqa: ANN401 - a form value or several
        path = f"/{language}/consent/{interaction_id}"
        page = self.http.get(path)
        answer: Response = self.http.post(path, data=Form(page.text).fields | {"decision": decision} | fields)
        return answer

    def agreed(self, *items: dict[str, Any]) -> str:
        """A consent that the citizen has given; answers its grant_id."""
        answer = self.decide(self.request(*items), "allow", item=[POLICY])
        assert answer.status_code == 303
        return self.consents()[0].grant_id

    def consents(self) -> list[ConsentView]:
        with self.installation.data.read() as session:
            return consents_of(session, self.installation.keyring, self.subject_id, self.clock())


def build(installation: Installation, clock: Clock, http: TestClient) -> Stage:
    """Two citizens, an auditor, two holders, an insurer with its software."""
    now = clock()
    installation.keyring.ensure_service_key("receipt", "ES256", now)
    password_hash = cheap_hash(PASSWORD)
    with transaction(installation.data) as work:
        for organisation in _organisations():
            register(work.session, organisation, now)
        work.session.flush()
        clients.add(work.session, _registration(), is_loopback_allowed=True, now=now)
        subject_id = _citizen(installation, work, ("haneul", "김하늘", password_hash), clock)
        other_subject_id = _citizen(installation, work, ("jeongsuk", "이정숙", password_hash), clock)
        auditor = NewAccount("auditor", "auditor-1", password_hash)
        create_account(work.session, installation.keyring, auditor, now)
        for holder, number, record_type in (
            ("seoul-hospital", "P-0001", BILL),
            ("insurance-register", "R-0001", POLICY),
        ):
            new = NewLink(subject_id, holder, number, (record_type,), "ko")
            collection.link(work, installation.keyring, new, now)
    return Stage(installation, clock, http, subject_id, other_subject_id)


def _citizen(installation: Installation, work: Transaction, who: tuple[str, str, str], clock: Clock) -> str:
    username, name, password_hash = who
    subject_id = add_subject(work, installation.keyring, clock())
    account = NewAccount("citizen", username, password_hash, subject_id, name)
    create_account(work.session, installation.keyring, account, clock())
    return subject_id


def _organisations() -> list[NewOrganisation]:
    told = [
        ("seoul-hospital", "서울한빛병원", "Seoul Hanbit Hospital", "220-82-10073", False),
        ("insurance-register", "보험계약정보원", "Insurance Contract Register", "101-82-00014", False),
        ("hanbit-insurance", "한빛손해보험", "Hanbit Insurance", "101-81-00017", True),
    ]
    return [
        NewOrganisation(
            organisation_id=organisation_id,
            name_ko=name_ko,
            name_en=name_en,
            registration_number=number,
            contact=f"privacy@{organisation_id}.example",
            is_recipient=is_recipient,
            is_holder=not is_recipient,
        )
        for organisation_id, name_ko, name_en, number, is_recipient in told
    ]


def _registration() -> ClientRegistration:
    return ClientRegistration(
        client_id="hanbit-claims",
        organisation_id="hanbit-insurance",
        name="한빛손해보험 청구",
        jwks={"keys": [public_jwk(generate_private_jwk("ES256"))]},
        redirect_uris=(REDIRECT_URI, "http://127.0.0.1:9/callback"),
        scope="records.read deliveries",
        purposes=("insurance.indemnity_claim",),
    )


def text_of(page: str) -> str:
    """A page's words without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
