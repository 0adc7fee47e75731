"""`mydata org`, `client`, `subject`, `staff`."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from broker.installation import Installation
from broker.web.signin.accounts import Credentials, sign_in
from tests.cli.conftest import Mydata, Ran
from vault.jose import generate_private_jwk, public_jwk

PASSWORD = "correct horse battery"
ORGANISATION = (
    *("org", "add", "hanbit-insurance", "--name-ko", "한빛손해보험", "--name-en", "Hanbit"),
    *("--registration-number", "110111-1234567", "--contact", "privacy@hanbit.example"),
)


def add_client(
    mydata: Mydata, key_set: object, options: Sequence[str] = (), scope: str = "records.read"
) -> Ran:
    file = Path("jwks.json")
    file.write_text(key_set if isinstance(key_set, str) else json.dumps(key_set))
    return mydata(
        *("client", "add", "hanbit-claims", "--organisation", "hanbit-insurance", "--name", "Claims"),
        *("--jwks", str(file), "--scope", scope, "--redirect-uri", "https://claims.hanbit.example/cb"),
        *(options or ("--purpose", "insurance.indemnity_claim")),
    )


def key_set() -> dict[str, object]:
    private = generate_private_jwk("ES256")
    return {"keys": [{**public_jwk(private), "kid": "k1"}]}


@pytest.fixture
def insurer(mydata: Mydata) -> Mydata:
    assert mydata(*ORGANISATION, "--recipient").code == 0
    return mydata


def test_an_organisation_needs_a_role(mydata: Mydata) -> None:
    assert mydata(*ORGANISATION).code == 2
    assert mydata("org", "list", "-o", "json").json() == []


def test_an_organisation_that_is_not_there_cannot_be_suspended(mydata: Mydata) -> None:
    ran = mydata("org", "suspend", "nobody")
    assert (ran.code, "mydata org list" in ran.err) == (1, True)


def test_an_organisation_is_added_listed_and_suspended(insurer: Mydata) -> None:
    (before,) = insurer("org", "list", "-o", "json").json()
    assert (before["name_ko"], before["recipient"], before["holder"]) == ("한빛손해보험", True, False)
    assert insurer("org", "suspend", "hanbit-insurance").code == 0
    assert insurer("org", "list", "-o", "json").json()[0]["status"] == "suspended"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a JWK set"),
        ({"keys": []}, "jwks"),
        ({"keys": [generate_private_jwk("ES256")]}, "jwks.keys"),
    ],
)
def test_a_key_set_that_is_none_is_refused(insurer: Mydata, given: object, said: str) -> None:
    ran = add_client(insurer, given)
    assert ran.code == 1
    assert said in ran.err
    assert insurer("client", "list", "-o", "json").json() == []


def test_every_fault_of_a_client_is_named(insurer: Mydata) -> None:
    ran = add_client(insurer, {"keys": []}, scope="everything")
    assert {"jwks.keys", "scope"} <= {line.strip().partition(":")[0] for line in ran.err.splitlines()}


def test_a_purpose_that_nobody_declares_is_refused(insurer: Mydata) -> None:
    assert add_client(insurer, key_set(), ("--purpose", "anything.else")).code == 1


def test_a_client_of_nobody_is_refused(mydata: Mydata) -> None:
    ran = add_client(mydata, key_set())
    assert (ran.code, "organisation_id" in ran.err) == (1, True)


def test_a_client_is_never_overwritten(insurer: Mydata) -> None:
    assert add_client(insurer, key_set()).code == 0
    assert add_client(insurer, key_set()).code == 1


def test_a_client_that_is_not_there(mydata: Mydata) -> None:
    for command in ("show", "suspend"):
        assert mydata("client", command, "nobody").code == 1


def test_a_client_is_added_shown_and_suspended(insurer: Mydata) -> None:
    assert add_client(insurer, key_set()).code == 0
    shown = insurer("client", "show", "hanbit-claims", "-o", "json").json()
    assert shown["key_ids"] == ["k1"]
    assert shown["purposes"] == ["insurance.indemnity_claim"]
    assert "k1" in insurer("client", "show", "hanbit-claims").out
    assert insurer("client", "suspend", "hanbit-claims").code == 0
    assert insurer("client", "list", "-o", "json").json()[0]["status"] == "suspended"


def test_a_short_password_and_none_at_all_are_refused(mydata: Mydata) -> None:
    assert mydata("subject", "add", "haneul", "--password-stdin", stdin="short\n").code == 2
    ran = mydata("subject", "add", "haneul")
    assert (ran.code, "--password-stdin" in ran.err) == (2, True)


def test_a_citizen_can_sign_in_and_the_name_is_taken(
    mydata: Mydata, sqlite_installation: Installation
) -> None:
    made = mydata(
        "subject",
        "add",
        "haneul",
        "--name",
        "김하늘",
        "--password-stdin",
        "-o",
        "json",
        stdin=f"{PASSWORD}\n",
    )
    assert set(made.json()) == {"subject_id", "account_id"}
    assert signed_in(sqlite_installation, "haneul") == "citizen"
    again = mydata("subject", "add", "Haneul", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (again.code, "taken" in again.err) == (1, True)


def test_an_auditor_can_sign_in(mydata: Mydata, sqlite_installation: Installation) -> None:
    assert (
        mydata(
            "staff", "add", "auditor-1", "--role", "auditor", "--password-stdin", stdin=f"{PASSWORD}\n"
        ).code
        == 0
    )
    assert signed_in(sqlite_installation, "auditor-1") == "auditor"
    assert (
        mydata("staff", "add", "x", "--role", "citizen", "--password-stdin", stdin=f"{PASSWORD}\n").code == 2
    )


def signed_in(installation: Installation, username: str) -> str | None:
    credentials = Credentials(username, PASSWORD)
    found = sign_in(
        installation.data,
        installation.keyring,
        credentials,
        installation.clock(),
        lifetime=timedelta(hours=1),
    )
    return None if found is None else found.role
