"""What may be read of a deal: strangers nothing, people kinds, clients which roles have signed."""

from datetime import timedelta

import pytest

from broker.installation import Installation
from consent.deal_reading import deal_of, deal_status
from consent.errors import NotFoundError
from consent.vocabulary import DealState
from tests.consent.notary import BANK, MATTER, SERVICE, Notary, open_notary
from tests.installation import Clock


@pytest.fixture
def notary(sqlite_installation: Installation, clock: Clock) -> Notary:
    return open_notary(sqlite_installation, clock)


def test_who_is_not_in_it_and_whose_client_is_not_find_nothing(notary: Notary) -> None:
    opened = notary.open()
    notary.join(opened, "tenant")
    keyring, now = notary.installation.keyring, notary.clock()
    with notary.installation.data.read() as session:
        for subject_id, deal_id in (
            (notary.people["landlord"], opened.deal_id),
            (notary.people["tenant"], "unknown"),
        ):
            with pytest.raises(NotFoundError):
                deal_of(session, keyring, subject_id, deal_id, now)
        for client_id, deal_id in ((BANK.client_id, opened.deal_id), (SERVICE.client_id, "unknown")):
            with pytest.raises(NotFoundError):
                deal_status(session, client_id, deal_id, now)


def test_somebody_in_it_sees_the_matter_the_kinds_and_only_their_own_consent(notary: Notary) -> None:
    opened = notary.open()
    tenant, landlord = (notary.join(opened, role).grant_id for role in ("tenant", "landlord"))
    notary.sign(landlord)
    with notary.installation.data.read() as session:
        view = deal_of(
            session, notary.installation.keyring, notary.people["tenant"], opened.deal_id, notary.clock()
        )
    assert (view.matter, view.state, view.opener.organisation_id) == (MATTER, DealState.OPEN, "zipsign")
    assert [(one.role, one.has_signed, one.grant_id) for one in view.members] == [
        ("agent", False, None),
        ("landlord", True, None),
        ("tenant", False, tenant),
    ]
    assert landlord not in repr(view)
    assert notary.people["landlord"] not in repr(view)


def test_the_deadline_is_evaluated_when_reading(notary: Notary) -> None:
    opened = notary.open("sale", {"seller": SERVICE, "buyer": SERVICE, "mortgage": BANK})
    notary.clock.advance(timedelta(days=3))
    with notary.installation.data.read() as session:
        status = deal_status(session, BANK.client_id, opened.deal_id, notary.clock())
    assert (status.state, status.state_reason) == (DealState.EXPIRED, None)
    assert status.has_signed == {"seller": False, "buyer": False, "mortgage": False}
