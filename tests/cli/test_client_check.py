"""`mydata client check`: every requirement with its clause, and an exit code that a script can act on."""

import json
from datetime import timedelta
from typing import Any

import pytest

from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.clients import ClientRegistration
from broker.oauth.models import Client
from broker.oauth.self_check.client import REQUIREMENTS as OF_CLIENTS
from broker.oauth.self_check.server import REQUIREMENTS as OF_SERVER
from consent.organisations import NewOrganisation, register
from tests.cli.conftest import Mydata
from vault.jose import generate_private_jwk, public_jwk

WEAK = {"kty": "RSA", "kid": "old", "use": "sig", "n": "_" * 171, "e": "AQAB"}  # 1024 bits


def key(**changes: object) -> dict[str, Any]:
    return {**public_jwk(generate_private_jwk("ES256")), "kid": "new", **changes}


@pytest.fixture
def registered(mydata: Mydata, sqlite_installation: Installation) -> Mydata:
    """A client that is in order."""
    now = sqlite_installation.clock()
    with transaction(sqlite_installation.data) as work:
        register(
            work.session,
            NewOrganisation(
                organisation_id="hanbit-insurance",
                name_ko="한빛손해보험",
                name_en="Hanbit",
                registration_number="110111-1234567",
                contact="privacy@hanbit.example",
                is_recipient=True,
                is_holder=False,
            ),
            now,
        )
        work.session.flush()
        registration = ClientRegistration(
            client_id="hanbit-claims",
            organisation_id="hanbit-insurance",
            name="Claims",
            jwks={"keys": [key()]},
            redirect_uris=("https://claims.hanbit.example/cb",),
            scope="records.read",
            purposes=("insurance.indemnity_claim",),
        )
        clients.add(work.session, registration, is_loopback_allowed=False, now=now)
    return mydata


def hold(installation: Installation, *keys: object) -> None:
    """Put keys into the row that registering would have refused."""
    with installation.data.write() as session:
        session.get_one(Client, "hanbit-claims").jwks = json.dumps({"keys": keys})


def test_an_unknown_client_is_refused(mydata: Mydata) -> None:
    ran = mydata("client", "check", "nobody", "-o", "json")
    assert (ran.code, ran.out) == (1, "")


@pytest.mark.parametrize(
    ("held", "failed"),
    [
        ([WEAK], {"client.key-strong", "client.key-present"}),
        ([key(), {**WEAK, "kid": "two"}], {"client.key-strong"}),
        ([key(crv="secp256k1")], {"client.key-known", "client.key-present"}),
        ([key(exp=1)], {"client.key-current", "client.key-present"}),
        ([], {"client.key-present"}),
    ],
    ids=["weak", "weak beside a good one", "unknown", "expired", "none"],
)
def test_a_client_whose_key_is_no_good_fails(
    registered: Mydata, sqlite_installation: Installation, held: list[object], failed: set[str]
) -> None:
    hold(sqlite_installation, *held)
    ran = registered("client", "check", "hanbit-claims", "-o", "json")
    assert ran.code == 1
    assert {row["requirement"] for row in ran.json() if row["verdict"] == "fail"} == failed
    assert registered("client", "check", "-o", "json").code == 1


def test_a_client_in_order_passes_every_requirement(registered: Mydata) -> None:
    ran = registered("client", "check", "hanbit-claims", "-o", "json")
    assert ran.code == 0
    rows = ran.json()
    assert [row["requirement"] for row in rows] == list(dict.fromkeys(row["requirement"] for row in rows))
    assert {row["requirement"] for row in rows} == set(OF_CLIENTS)
    assert {row["client_id"] for row in rows} == {"hanbit-claims"}
    assert {row["verdict"] for row in rows} == {"pass", "not-applicable"}
    assert all(row["clause"] and row["explanation"] for row in rows)


def test_an_end_that_is_near_is_a_warning_and_no_failure(
    registered: Mydata, sqlite_installation: Installation
) -> None:
    soon = int((sqlite_installation.clock() + timedelta(days=3)).timestamp())
    hold(sqlite_installation, key(exp=soon))
    ran = registered("client", "check", "hanbit-claims", "-o", "json")
    assert (ran.code, [row["requirement"] for row in ran.json() if row["verdict"] == "warning"]) == (
        0,
        ["client.key-current"],
    )


def test_without_a_client_the_server_and_all_of_them_are_checked(registered: Mydata) -> None:
    ran = registered("client", "check", "-o", "json")
    by = {
        of: {row["requirement"] for row in ran.json() if row["client_id"] == of}
        for of in (None, "hanbit-claims")
    }
    assert by == {None: set(OF_SERVER), "hanbit-claims": set(OF_CLIENTS)}
    # The issuer of the tests is plain http, outside a demo.
    wrong = {row["requirement"] for row in ran.json() if row["verdict"] == "fail"}
    assert (ran.code, wrong) == (1, {"server.issuer", "server.addresses"})


def test_for_people_each_line_names_the_clause(registered: Mydata, sqlite_installation: Installation) -> None:
    hold(sqlite_installation, WEAK)
    ran = registered("client", "check", "hanbit-claims")
    (line,) = [line for line in ran.out.splitlines() if "client.key-strong" in line]
    for told in ("hanbit-claims", "FAPI 2.0 Security Profile section 5.4.1", "fail", "Not so: old."):
        assert told in line
