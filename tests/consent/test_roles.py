"""What each deployment role may do (consent/roles.py), and that records of two roles lie apart."""

import pytest
from sqlmodel import select

from broker.db import transaction
from consent.collection import NewLink, link, unlink
from consent.errors import RoleForbidsError
from consent.models import SourceLink
from consent.roles import RULES, Capability, Deployment, Role, place_of
from tests.consent.details import BILL, HOSPITAL
from tests.consent.office import Office
from tests.consent.test_collection import bill
from vault.store import Record

FORBIDDEN = [
    (Deployment(Role.RELAY), Capability.COLLECT),
    (Deployment(Role.RELAY), Capability.STORE),
    (Deployment(Role.RELAY), Capability.DELIVER),
    (Deployment(Role.RELAY), Capability.RECEIVE),
    (Deployment(Role.RELAY, is_special=True), Capability.DELIVER_HEALTH),
    (Deployment(Role.MANAGER), Capability.CARRY),
    (Deployment(Role.MANAGER), Capability.DELIVER_HEALTH),
    (Deployment(Role.RECEIVER), Capability.DELIVER),
    (Deployment(Role.RECEIVER), Capability.CARRY),
    (Deployment(Role.RECEIVER, is_special=True), Capability.DELIVER_HEALTH),
]


@pytest.mark.parametrize(("deployment", "capability"), FORBIDDEN)
def test_what_the_law_forbids_is_refused(deployment: Deployment, capability: Capability) -> None:
    with pytest.raises(RoleForbidsError, match="role_forbids") as refused:
        deployment.require(capability)
    assert (refused.value.role, refused.value.capability) == (deployment.role, capability)


def test_every_role_says_something_of_every_capability_and_names_the_law() -> None:
    assert set(RULES) == set(Role)
    assert all(set(rules) == set(Capability) for rules in RULES.values())
    assert all(rule.clause for rules in RULES.values() for rule in rules.values())


def test_no_role_both_carries_and_stores() -> None:
    for role in Role:
        for is_special in (False, True):
            deployment = Deployment(role, is_special)
            assert not (deployment.may(Capability.CARRY) and deployment.may(Capability.STORE))


def test_health_records_need_a_special_manager() -> None:
    with pytest.raises(RoleForbidsError):
        Deployment(Role.MANAGER).require_delivery(["ordinary", "health"])
    Deployment(Role.MANAGER).require_delivery(["ordinary", "financial"])
    Deployment(Role.MANAGER, is_special=True).require_delivery(["ordinary", "health"])
    with pytest.raises(RoleForbidsError):
        Deployment(Role.RECEIVER).require_delivery([])


def test_only_a_managers_records_bear_the_plain_name() -> None:
    places = {role: place_of(role, HOSPITAL) for role in Role}
    assert places[Role.MANAGER] == HOSPITAL
    assert len(set(places.values())) == len(Role)


def test_a_relay_links_nothing(office: Office) -> None:
    new = NewLink(office.subject_id, HOSPITAL, "P-1", (BILL,), "ko", role=Role.RELAY)
    with pytest.raises(RoleForbidsError), office.work() as work:
        link(work, office.keyring, new, office.clock())
    with office.installation.data.read() as session:
        assert session.exec(select(SourceLink)).all() == []


def test_what_came_in_another_role_lies_apart_and_no_consent_opens_it(office: Office) -> None:
    """The same bill twice: once for a receiver, once for a manager. Neither record is the other's."""
    new = NewLink(office.subject_id, HOSPITAL, "P-1", (BILL,), "ko", role=Role.RECEIVER)
    with office.work() as work:
        as_receiver = link(work, office.keyring, new, office.clock())
    office.collect(as_receiver, bill())
    with transaction(office.installation.data) as work:
        unlink(work, office.keyring, as_receiver, office.subject_id, office.clock())
    office.collect(office.link(HOSPITAL, "P-1"), bill())
    with office.installation.data.read() as session:
        compartments = [record.compartment_id for record in session.exec(select(Record))]
    assert len(set(compartments)) == 2
    opened = {compartment for _, compartment in office.shares(office.agree().grant_id)}
    managers = office.keyring.compartment_id(office.subject_id, HOSPITAL, BILL)
    assert opened & set(compartments) == {managers}
