"""A broker with its lane running, a person with records, and a recipient that pulls them."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from httpx import Response
from sqlalchemy import text
from sqlmodel import select
from starlette.testclient import TestClient

from broker.app import create_app
from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.clients import ClientRegistration
from broker.oauth.confirmation import of_key
from broker.oauth.tokens import Binding, Grant, TokenKind, issue_access, issue_refresh
from consent import collection
from consent.collection import Arrival, NewLink
from consent.ledger.models import LedgerEntry
from consent.lifecycle import Given
from consent.models import Delivery
from tests.consent.details import BILL, HOSPITAL, POLICY, PURPOSE, REGISTER, terms_with
from tests.consent.office import CLIENT, RECIPIENT, Office, open_office
from tests.installation import ISSUER, Clock
from tests.lane.proofs import proof
from vault.jose import Jwk, generate_private_jwk, public_jwk, thumbprint
from vault.record_types.catalogue import Catalogue
from vault.store import PutResult

ANYTHING: Final = "/v1/records"
BILLS: Final = f"/v1/records/{BILL}"
POLICIES: Final = f"/v1/records/{POLICY}"
DELIVERIES: Final = "/v1/deliveries"
REDIRECT_URI: Final = "https://insurer.example/callback"

# Bill number, institution, first and last day. The usual terms ask for the first two.
VISITS: Final = (
    ("20261102-0001", "11100079", "2026-11-02", "2026-11-02"),
    ("20261130-0002", "11100079", "2026-11-26", "2026-11-30"),
    ("20261201-0003", "11100079", "2026-11-28", "2026-12-01"),
    ("20261005-0004", "11100079", "2026-10-05", "2026-10-05"),
    ("20261110-0005", "11200001", "2026-11-10", "2026-11-10"),
)


@dataclass(frozen=True)
class Granted:
    """A consent that was given, and an access token for it."""

    given: Given
    token: str

    @property
    def grant_id(self) -> str:
        return self.given.grant_id

    @property
    def version_id(self) -> str:
        return self.given.version_id


@dataclass
class World:
    """The broker over HTTP with its lane, the office where consents are made, and the recipient's key."""

    office: Office
    http: TestClient
    link_id: str
    key: Jwk = field(default_factory=lambda: generate_private_jwk("ES256"))

    @property
    def installation(self) -> Installation:
        return self.office.installation

    @property
    def clock(self) -> Clock:
        return self.office.clock

    def granted(self, changes: Mapping[str, object] | None = None) -> Granted:
        """A fresh consent with other values at dotted paths, every item of it granted."""
        terms = terms_with(changes or {})
        given = self.office.agree(terms, [item.record_type for item in terms.items])
        return Granted(given, self.token(given))

    def token(self, given: Given, *, kind: TokenKind = TokenKind.ACCESS, key: Jwk | None = None) -> str:
        """A token for a consent, as the token endpoint would hand it out."""
        terms = given.terms
        grant = Grant(
            given.grant_id, given.version_id, self.office.subject_id, terms.access.valid_until, terms
        )
        binding = Binding(CLIENT, "records.read", of_key(thumbprint(key or self.key)), grant)
        with transaction(self.installation.data) as work:
            if kind is TokenKind.REFRESH:
                return issue_refresh(work.session, binding, grant, now=self.clock())
            return issue_access(work.session, binding, seconds=300, now=self.clock())[0]

    def own_token(self) -> str:
        """A token of the client's own business: client credentials."""
        binding = Binding(CLIENT, "deliveries obligations", of_key(thumbprint(self.key)))
        with transaction(self.installation.data) as work:
            return issue_access(work.session, binding, seconds=300, now=self.clock())[0]

    def proof(
        self,
        token: str,
        path: str = ANYTHING,
        *,
        method: str = "GET",
        key: Jwk | None = None,
        now: datetime | None = None,
        **changes: Any,  # noqa: ANN401 - claims, or the header
    ) -> str:
        """A proof for a pull; claims can be changed."""
        used, at = key or self.key, now or self.clock()
        return proof(used, method, ISSUER + path, access_token=token, now=at, **changes)

    def pull(
        self,
        token: str,
        path: str = ANYTHING,
        *,
        idempotency_key: str | None = None,
        proofs: Sequence[str] | None = None,
    ) -> Response:
        """One pull, with a good proof unless others are given."""
        method = "POST" if path == DELIVERIES else "GET"
        used = [self.proof(token, path, method=method)] if proofs is None else proofs
        headers = [("Authorization", f"DPoP {token}"), *(("DPoP", one) for one in used)]
        if idempotency_key is not None:
            headers.append(("Idempotency-Key", idempotency_key))
        answer: Response = self.http.request(method, path, headers=headers)
        return answer

    def collect(self, *arrivals: Arrival) -> list[PutResult]:
        return self.office.collect(self.link_id, *arrivals)

    # What lies in the databases

    def tamper(self, statement: str, **values: object) -> int:
        """Change the data database behind the program's back; answers how many rows."""
        with self.installation.data.write() as session:
            return int(session.connection().execute(text(statement), values).rowcount)

    def tamper_keyring(self, statement: str, **values: object) -> int:
        """The same in the keyring."""
        with self.installation.keyring_database.write() as session:
            return int(session.connection().execute(text(statement), values).rowcount)

    def value(self, statement: str, **values: object) -> Any:  # noqa: ANN401 - a column
        """One value of the data database."""
        with self.installation.data.read() as session:
            return session.connection().execute(text(statement), values).scalar_one()

    def deliveries(self, grant_id: str) -> list[Delivery]:
        with self.installation.data.read() as session:
            rows = session.exec(select(Delivery).where(Delivery.grant_id == grant_id))
            return sorted(rows, key=lambda row: row.ordinal)

    def events(self, grant_id: str) -> list[dict[str, Any]]:
        """The leaves of a consent's entries, in the order of the log, from after its being given."""
        handle = self.office.consent(grant_id).handle
        with self.installation.data.read() as session:
            rows = session.exec(select(LedgerEntry).where(LedgerEntry.handle == handle)).all()
        leaves = [json.loads(row.leaf) for row in sorted(rows, key=lambda row: row.idx)]
        return leaves[2:]

    def told(self, grant_id: str) -> list[tuple[str, str | None]]:
        """Type and reason of each of those events."""
        return [(leaf["type"], leaf["facts"].get("reason")) for leaf in self.events(grant_id)]


def bill(visit: tuple[str, str, str, str], **changes: object) -> Arrival:
    """A visit's bill as its holder sends it."""
    number, institution, first, last = visit
    data = (
        copy.deepcopy(_example(BILL)) | {"bill_no": number, "period": {"from": first, "to": last}} | changes
    )
    data["institution"] |= {"hira_code": institution}
    return Arrival(BILL, number, data)


def policy() -> Arrival:
    """The person's policy."""
    data = _example(POLICY)
    return Arrival(POLICY, data["policy_no"], data)


@contextmanager
def opened(installation: Installation, clock: Clock) -> Iterator[World]:
    """A world whose lane runs until the end."""
    office = open_office(installation, clock)
    link_id = furnish(office)
    app = create_app(installation)
    with TestClient(app, base_url=ISSUER, raise_server_exceptions=False) as http:
        yield World(office, http, link_id)


def furnish(office: Office) -> str:
    """Register the recipient's software, link both holders, collect records; the hospital's link."""
    registration = ClientRegistration(
        client_id=CLIENT,
        organisation_id=RECIPIENT,
        name="Hanbit claims",
        jwks={"keys": [public_jwk(generate_private_jwk("ES256"))]},
        redirect_uris=(REDIRECT_URI,),
        scope="records.read deliveries obligations",
        purposes=(PURPOSE,),
    )
    with office.work() as work:
        clients.add(work.session, registration, is_loopback_allowed=False, now=office.clock())
        links = [
            collection.link(
                work,
                office.keyring,
                NewLink(office.subject_id, holder_id, number, (record_type,), "ko"),
                office.clock(),
            )
            for holder_id, number, record_type in ((HOSPITAL, "P-1", BILL), (REGISTER, "R-1", POLICY))
        ]
    office.collect(links[0], *(bill(visit) for visit in VISITS))
    office.collect(links[1], policy())
    return links[0]


def code_of(answer: Response) -> tuple[int, str]:
    """Status and problem code, of an answer that is a well-formed problem."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == answer.status_code
    assert body["type"].endswith(body["code"])
    assert body["title"]
    assert body["trace_id"] == answer.headers["x-trace-id"]
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("DPoP ")
    return answer.status_code, body["code"]


def numbers(answer: Response) -> list[str]:
    """The first day of each bill that was delivered, in order."""
    return sorted(record["data"]["period"]["from"] for record in answer.json()["records"][BILL])


def _example(record_type: str) -> dict[str, Any]:
    return copy.deepcopy(dict(Catalogue.load().get(record_type).example))
