"""`mydata representation`, `coholding`, `shield` and `emergency`: what the staff does, and each refusal."""

from datetime import timedelta

import pytest

from broker.installation import Installation
from broker.jobs.parting import end_representations
from consent.organisations import reinstate, suspend
from consent.vocabulary import ConsentState
from tests.cli.conftest import Mydata
from tests.consent.details import POLICY, REGISTER
from tests.consent.office import RECIPIENT, Office, open_office
from tests.consent.representing import Parties
from tests.consent.test_approvals import Accounts
from tests.consent.test_emergency import linked, opened
from tests.installation import Clock

PASSWORD = "a long password\n"
BECAUSE = ("--reason", "form 12")


@pytest.fixture
def office(sqlite_installation: Installation, clock: Clock) -> Office:
    return open_office(sqlite_installation, clock)


@pytest.fixture
def guardian(mydata: Mydata) -> str:
    """A guardian's subject id; the sign-in name is `jeongsuk`."""
    added = mydata(
        "subject", "add", "jeongsuk", "--name", "이정숙", "--password-stdin", "-o", "json", stdin=PASSWORD
    )
    return str(added.json()["subject_id"])


def child(*options: str) -> tuple[str, ...]:
    return ("representation", "add", "--guardian", "jeongsuk", "--name", "김하린", *BECAUSE, *options)


def test_a_guardian_of_a_new_child(mydata: Mydata, guardian: str) -> None:
    born = ("--born-on", "2018-03-01", "--new-child")
    refused = mydata(*child(*born))
    assert (refused.code, "GUARDIAN_UNVERIFIED" in refused.err) == (1, True)
    added = mydata(*child(*born, "--evidence", "signed_paper", "--note-stdin", "-o", "json"), stdin="form 12")
    assert added.code == 0, added.err
    subject_id = added.json()["subject_id"]
    (row,) = mydata("representation", "list", "--subject", subject_id, "-o", "json").json()
    assert (row["kind"], row["state"], row["evidence"]) == ("guardian", "ACTIVE", "signed_paper")
    assert "김하린" not in str(row)
    account = ("subject", "add", "harin", "--subject", subject_id, "--password-stdin", "-o", "json")
    assert mydata(*account, stdin=PASSWORD).json()["subject_id"] == subject_id
    again = ("subject", "add", "harin2", "--subject", subject_id, "--password-stdin")
    assert "has an account already" in mydata(*again, stdin=PASSWORD).err
    assert mydata("representation", "end", row["representation_id"], *BECAUSE).code == 0
    (row,) = mydata("representation", "list", "--subject", subject_id, "-o", "json").json()
    assert (row["state"], row["ended"]) == ("ENDED", "by_staff")


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--new-child", "--evidence", "a hunch"), 2, "is no evidence"),
        (("--evidence", "email"), 2, "--child or --new-child"),
        (("--child", "nobody", "--evidence", "email"), 1, "Nobody here"),
        (("--new-child", "--evidence", "email", "--guardian", "nobody"), 1, "No citizen"),
        (("--new-child", "--evidence", "email", "--reason", " "), 2, "goes on record"),
    ],
)
def test_guardians_that_are_not_registered(
    mydata: Mydata, guardian: str, options: tuple[str, ...], code: int, told: str
) -> None:
    del guardian
    ran = mydata(*child("--born-on", "2018-03-01", *options))
    assert (ran.code, told in ran.err) == (code, True), ran.err


def test_an_account_for_nobody(mydata: Mydata, office: Office) -> None:
    del office
    ran = mydata("subject", "add", "harin", "--subject", "nobody", "--password-stdin", stdin=PASSWORD)
    assert (ran.code, "Nobody here" in ran.err) == (1, True)


def test_shared_accounts_and_shields(mydata: Mydata, office: Office) -> None:
    other = office.newcomer()
    both = ("--holder-of", office.subject_id, "--holder-of", other)
    for wrong, code in (
        (("coholding", "add", REGISTER, "no.type", *both, *BECAUSE), 2),
        (("coholding", "add", REGISTER, POLICY, "--holder-of", other, *BECAUSE), 2),
        (("coholding", "add", "nowhere", POLICY, *both, *BECAUSE), 1),
        (("coholding", "add", REGISTER, POLICY, *both, "--reason", ""), 2),
        (("shield", "add", office.subject_id, "--from", other, "--because", "a mood", *BECAUSE), 2),
        (("shield", "add", office.subject_id, "--from", "nobody", "--because", "abuse", *BECAUSE), 1),
    ):
        assert mydata(*wrong).code == code, wrong
    account_id = mydata("coholding", "add", REGISTER, POLICY, *both, *BECAUSE, "-o", "json").json()[
        "account_id"
    ]
    (account,) = mydata("coholding", "list", "-o", "json").json()
    assert account["account_id"] == account_id
    shield = ("shield", "add", office.subject_id, "--from", other, "--because", "violence", *BECAUSE)
    shield_id = mydata(*shield, "-o", "json").json()["shield_id"]
    assert [row["from"] for row in mydata("shield", "list", "-o", "json").json()] == [other]
    assert mydata("shield", "lift", shield_id, *BECAUSE).code == 0
    assert mydata("shield", "list", "-o", "json").json() == []
    assert mydata("coholding", "remove", account_id, *BECAUSE).code == 0
    assert mydata("coholding", "list", "-o", "json").json() == []


def test_the_review_of_an_emergency(mydata: Mydata, office: Office) -> None:
    linked(office)
    made = opened(office)
    (row,) = mydata("emergency", "list", "-o", "json").json()
    assert (row["reason"], row["finding"]) == ("unconscious", "")
    wrong = ("emergency", "review", row["emergency_id"], "--finding", "fine", *BECAUSE)
    assert mydata(*wrong).code == 2
    right = ("emergency", "review", row["emergency_id"], "--finding", "justified", *BECAUSE)
    assert mydata(*right).code == 0
    assert "already" in mydata(*right).err
    assert mydata("emergency", "list", "--overdue", "-o", "json").json() == []
    del made


def test_the_job_ends_what_is_over(sqlite_installation: Installation, office: Office) -> None:
    parties = Parties(office)
    other = office.newcomer()
    mandate = parties.mandate(office.subject_id, other, days=1)
    assert end_representations(sqlite_installation, office.clock()) == 0
    office.clock.advance(timedelta(days=1))
    assert end_representations(sqlite_installation, office.clock()) == 1
    assert parties.row(mandate).state == "ENDED"


def test_a_shield_stands_although_a_consent_cannot_be_given(mydata: Mydata, office: Office) -> None:
    accounts, other = Accounts(office), office.newcomer()
    accounts.share(other)
    waiting = accounts.signed()
    with office.work() as work:
        suspend(work.session, RECIPIENT)
    shield = ("shield", "add", office.subject_id, "--from", other, "--because", "violence", *BECAUSE)
    assert mydata(*shield, "-o", "json").json()["not_given"] == 1
    assert [row["reason"] for row in mydata("shield", "list", "-o", "json").json()] == ["violence"]
    assert office.timeline(waiting)[-1].detail["not_given"] == "UnknownOrganisationError"
    with office.work() as work:
        reinstate(work.session, RECIPIENT)
    assert mydata(*shield, "-o", "json").json()["not_given"] == 0
    assert accounts.state(waiting)[0] == ConsentState.GIVEN
