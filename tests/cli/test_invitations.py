"""`mydata client invite`, `invitations`, `uninvite`: who may register, and who came by it."""

import pytest

from broker.app import create_app
from broker.installation import Installation
from tests.cli.conftest import Mydata, Ran
from tests.cli.test_registering import ORGANISATION, add_client, key_set
from tests.installation import ISSUER
from tests.oauth.transport import serving

PURPOSE = "insurance.indemnity_claim"


@pytest.fixture
def insurer(mydata: Mydata) -> Mydata:
    assert mydata(*ORGANISATION, "--recipient").code == 0
    return mydata


def invite(
    mydata: Mydata, *options: str, scope: str = "records.read", organisation: str = "hanbit-insurance"
) -> Ran:
    return mydata("client", "invite", organisation, "--scope", scope, *options, "-o", "json")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 1, "needs a purpose"),
        (("--purpose", "anything.else"), 1, "purpose"),
        (("--purpose", PURPOSE, "--profile", "fapi1"), 1, "security_profile"),
        (("--purpose", PURPOSE, "--uses", "0"), 2, "--uses"),
        (("--purpose", PURPOSE, "--days", "91"), 2, "--days"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused(
    insurer: Mydata, options: tuple[str, ...], code: int, said: str
) -> None:
    ran = invite(insurer, *options)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert insurer("client", "invitations", "-o", "json").json() == []


def test_nobody_is_invited_for_an_organisation_that_is_not_there(mydata: Mydata) -> None:
    ran = invite(mydata, "--purpose", PURPOSE, organisation="nobody")
    assert (ran.code, "organisation_id" in ran.err) == (1, True)


def test_an_invitation_that_is_not_there_cannot_be_taken_back(mydata: Mydata) -> None:
    ran = mydata("client", "uninvite", "nothing")
    assert (ran.code, "mydata client invitations" in ran.err) == (1, True)


def test_the_token_is_shown_once_and_the_rest_is_listed(insurer: Mydata) -> None:
    made = invite(insurer, "--purpose", PURPOSE, "--uses", "3").json()
    listed = insurer("client", "invitations", "-o", "json")
    (one,) = listed.json()
    assert one["invitation_id"] == made["invitation_id"]
    assert (one["organisation_id"], one["purposes"], one["uses_left"]) == ("hanbit-insurance", PURPOSE, 3)
    assert made["initial_access_token"] not in listed.out
    assert insurer("client", "uninvite", made["invitation_id"]).code == 0
    assert insurer("client", "invitations", "-o", "json").json()[0]["uses_left"] == 0


def test_a_client_that_registered_itself_shows_by_which_invitation(
    insurer: Mydata, sqlite_installation: Installation
) -> None:
    made = invite(insurer, "--purpose", PURPOSE).json()
    members = {
        "client_name": "Claims",
        "jwks": key_set(),
        "redirect_uris": ["https://claims.hanbit.example/cb"],
    }
    headers = {"Authorization": f"Bearer {made['initial_access_token']}"}
    with serving(create_app(sqlite_installation), ISSUER) as http:
        answer = http.post("/register", json=members, headers=headers)
    assert answer.status_code == 201, answer.text
    shown = insurer("client", "show", answer.json()["client_id"], "-o", "json").json()
    assert (shown["invitation_id"], shown["status"]) == (made["invitation_id"], "active")
    assert add_client(insurer, key_set()).code == 0
    assert insurer("client", "show", "hanbit-claims", "-o", "json").json()["invitation_id"] == ""
