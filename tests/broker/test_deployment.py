"""What the deployment's role forbids, at every door: linking, storing, asking, delivering, collecting."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from sqlmodel import select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.arriving import OTHER_ROLE, take_in
from broker.jobs.importing import import_files
from broker.jobs.syncing import sync
from connectors.sources.base import Person, SourceRecord
from consent.collection import NewLink, link
from consent.errors import RoleForbidsError
from consent.models import SourceLink
from consent.progress import connect
from consent.roles import Role
from consent.vocabulary import Reason
from tests.api.test_holders import made as hospital_of
from tests.consent.details import BILL, HOSPITAL
from tests.consent.office import Office, open_office
from tests.installation import Clock
from tests.lane.world import code_of, opened
from tests.oauth.conftest import made as world_of
from tests.oauth.world import refused
from tests.web.conftest import _staged, _with_profile
from tests.web.stage import Form
from vault.store import Record

RoleName = Literal["relay", "manager", "receiver"]


def deployed(bare: Installation, role: RoleName, *, special_manager: bool = False) -> Installation:
    """The same installation, in a role."""
    section = bare.settings.deployment.model_copy(update={"role": role, "special_manager": special_manager})
    return replace(bare, settings=bare.settings.model_copy(update={"deployment": section}))


def bill(number: str = "P-1") -> SourceRecord:
    return SourceRecord("line 1", BILL, Person(number), "B-1", {"bill_no": "B-1"})


# Asking: health records need a special manager, and nobody else delivers at all.


@pytest.mark.parametrize("role", ["manager", "relay", "receiver"])
def test_a_recipient_cannot_even_ask(sqlite_installation: Installation, clock: Clock, role: RoleName) -> None:
    for world in world_of(deployed(sqlite_installation, role), clock):
        pushed = world.insurer.push()
        assert refused(pushed, "invalid_authorization_details")
        assert "role_forbids" in pushed.json()["error_description"]


def test_a_special_manager_may_be_asked_for_health_records(
    sqlite_installation: Installation, clock: Clock
) -> None:
    for world in world_of(deployed(sqlite_installation, "manager", special_manager=True), clock):
        assert world.insurer.push().status_code == 201


# Delivering: also under a consent that was given in another role.


@pytest.mark.parametrize("role", ["manager", "relay", "receiver"])
def test_no_pull_delivers_health_records_and_the_refusal_is_on_record(
    installation: Installation, clock: Clock, role: RoleName
) -> None:
    with opened(deployed(installation, role), clock) as world:
        granted = world.granted()
        answer = world.pull(granted.token)
        assert code_of(answer) == (403, Reason.ROLE_FORBIDS)
        assert world.told(granted.grant_id)[-1] == ("delivery.refused", Reason.ROLE_FORBIDS)
        assert world.deliveries(granted.grant_id) == []


def test_a_manager_delivers_what_is_no_health_record(sqlite_installation: Installation, clock: Clock) -> None:
    with opened(deployed(sqlite_installation, "manager"), clock) as world:
        granted = world.granted()
        assert world.pull(granted.token, "/v1/records/insurance.indemnity_policy").status_code == 200


# Storing: a relay keeps nothing, whichever way it comes.


def test_a_relay_takes_no_push(sqlite_installation: Installation, clock: Clock, tmp_path: Path) -> None:
    for hospital in hospital_of(deployed(sqlite_installation, "relay"), clock, tmp_path):
        answer = hospital.deliver([])
        assert (answer.status_code, answer.json()["code"]) == (403, "role_forbids")
        assert hospital.record_count() == 0


def test_a_relay_imports_nothing(sqlite_installation: Installation, clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(RoleForbidsError):
        import_files(deployed(sqlite_installation, "relay"), [tmp_path / "export.jsonl"], clock)


def test_a_relay_asks_nobody(sqlite_installation: Installation, clock: Clock) -> None:
    office = linked_office(sqlite_installation, clock)
    with office.work() as work:
        connect(work.session, HOSPITAL, "https://hospital.example/t", clock())
    relay = deployed(sqlite_installation, "relay")
    assert sync(relay, clock(), holder_id=None, is_forced=True) == []
    receiver = deployed(sqlite_installation, "receiver")  # the link is a manager's
    assert sync(receiver, clock(), holder_id=None, is_forced=True) == []


def test_a_relay_stores_nothing_that_comes(sqlite_installation: Installation, clock: Clock) -> None:
    office = linked_office(sqlite_installation, clock)
    relay = deployed(sqlite_installation, "relay")
    with pytest.raises(RoleForbidsError), transaction(relay.data) as work:
        take_in(work, relay, [bill()], holder_id=HOSPITAL, origin="push", now=clock())
    assert records(office) == []


def test_what_was_linked_in_another_role_takes_nothing(
    sqlite_installation: Installation, clock: Clock
) -> None:
    office = linked_office(sqlite_installation, clock)
    receiver = deployed(sqlite_installation, "receiver")
    with transaction(receiver.data) as work:
        (outcome,) = take_in(work, receiver, [bill()], holder_id=HOSPITAL, origin="push", now=clock())
    assert (outcome.what, outcome.rule) == ("refused", OTHER_ROLE)
    assert records(office) == []


# Linking


@pytest.mark.parametrize(("role", "status"), [("relay", 403), ("receiver", 303)])
def test_the_page_links_in_the_role_of_the_deployment(
    sqlite_installation: Installation, clock: Clock, role: RoleName, status: int
) -> None:
    installation = _with_profile(deployed(sqlite_installation, role), "demo")
    for stage in _staged(installation, clock):
        stage.sign_in(username="jeongsuk")
        form = {"holder": "seoul-hospital", "patient_no": "P-9", "record_type": BILL, "agree": "yes"}
        page = stage.http.get("/ko/sources")
        answer = stage.http.post("/ko/sources", data=Form(page.text).fields | form)
        assert answer.status_code == status
        with installation.data.read() as session:
            rows = session.exec(
                select(SourceLink.role).where(SourceLink.subject_id == stage.other_subject_id)
            ).all()
        assert rows == ([] if role == "relay" else [Role.RECEIVER])


def linked_office(installation: Installation, clock: Clock) -> Office:
    office = open_office(installation, clock)
    with office.work() as work:
        link(work, office.keyring, NewLink(office.subject_id, HOSPITAL, "P-1", (BILL,), "ko"), clock())
    return office


def records(office: Office) -> list[str]:
    with office.installation.data.read() as session:
        return list(session.exec(select(Record.record_id)))
