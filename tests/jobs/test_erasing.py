"""An erasure whose keys did not go with its commit: the duty destroys them, however often."""

import pytest
from sqlmodel import select

from broker.db import UnfinishedError, transaction
from broker.jobs.duties import drain
from consent.collection import NewLink, link
from consent.erasure import erase_source, erase_subject
from consent.models import ConsentCompartment
from consent.outbox import DutyKind, owe
from consent.staff import Staff
from tests.api.conftest import Office
from tests.jobs.test_duties import shares, shares_out_of_reach
from vault.errors import ErasedError, UnknownKeyError

HOSPITAL = "hospital"
STAFF = Staff("minji", "request 7")


def test_keys_that_could_not_go_go_later(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    subject_id = office.world.subject_id
    with (
        shares_out_of_reach(installation),
        pytest.raises(UnfinishedError),
        transaction(installation.data) as work,
    ):
        erase_subject(work, installation.keyring, subject_id, STAFF, clock())
    installation.keyring.ensure_subject(subject_id, clock())  # its keys are there still
    assert drain(installation, clock()) == 1
    with pytest.raises(ErasedError):
        installation.keyring.ensure_subject(subject_id, clock())


def test_keys_of_one_source_that_could_not_go_go_later(office: Office) -> None:
    """The process dies, or the keyring is away, right after the commit."""
    installation, clock = office.world.installation, office.world.clock
    subject_id, keyring = office.world.subject_id, office.world.installation.keyring
    office.grant()
    with transaction(installation.data) as work:
        link(work, keyring, NewLink(subject_id, HOSPITAL, "1", ("medical.bill",), "ko"), clock())
    with installation.data.read() as session:
        compartment_id = session.exec(select(ConsentCompartment.compartment_id)).one()
    with (
        shares_out_of_reach(installation),
        pytest.raises(UnfinishedError),
        transaction(installation.data) as work,
    ):
        erase_source(work, keyring, subject_id, HOSPITAL, staff=STAFF, now=clock())
    keyring.compartment_key(subject_id, compartment_id)  # it is there still
    drain(installation, clock())
    with pytest.raises(UnknownKeyError):
        keyring.compartment_key(subject_id, compartment_id)
    assert shares(installation) == 0


def test_a_second_time_does_no_harm(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    for _ in range(2):
        with transaction(installation.data) as work:
            owe(work.session, DutyKind.ERASE_SUBJECT, office.world.subject_id, clock())
        assert drain(installation, clock()) == 1
