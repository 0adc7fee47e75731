"""Consents follow recipients, purposes and texts (broker/jobs/cascading.py), and the lane follows at once."""

from dataclasses import replace

from sqlmodel import select

from broker.db import transaction
from broker.jobs.cascading import follow_notices, follow_recipients
from consent.models import Consent, NoticeRevision
from consent.organisations import reinstate, remove, suspend
from consent.purposes import Purposes
from consent.vocabulary import ConsentState, StateReason
from tests.api.conftest import Office
from tests.consent.changes import revised


def state(office: Office, grant_id: str) -> tuple[str, str | None]:
    with office.world.installation.data.read() as session:
        consent = session.get_one(Consent, grant_id)
        return consent.state, consent.state_reason


def recipient_of(office: Office, grant_id: str) -> str:
    with office.world.installation.data.read() as session:
        return session.get_one(Consent, grant_id).recipient_id


def test_a_suspension_refuses_at_once_and_pauses_with_the_next_round(office: Office) -> None:
    world, tokens = office.world, office.grant()
    recipient_id = recipient_of(office, tokens["grant_id"])
    with transaction(world.installation.data) as work:
        suspend(work.session, recipient_id)
    refused = office.pull(tokens["access_token"])
    assert (refused.status_code, refused.json()["code"]) == (403, "recipient_suspended")
    assert [follow_recipients(world.installation, world.clock()) for _ in range(2)] == [1, 0]
    assert state(office, tokens["grant_id"]) == (ConsentState.PAUSED, StateReason.RECIPIENT_SUSPENDED)
    refused = office.pull(tokens["access_token"], key="two")
    assert (refused.status_code, refused.json()["code"]) == (403, "consent_paused")
    with transaction(world.installation.data) as work:
        reinstate(work.session, recipient_id)
    assert follow_recipients(world.installation, world.clock()) == 1
    assert office.pull(tokens["access_token"], key="three").status_code == 200


def test_a_removed_recipient_gets_nothing_any_more(office: Office) -> None:
    world, tokens = office.world, office.grant()
    with transaction(world.installation.data) as work:
        remove(work.session, recipient_of(office, tokens["grant_id"]))
    follow_recipients(world.installation, world.clock())
    refused = office.pull(tokens["access_token"])
    assert (refused.status_code, refused.json()["code"]) == (401, "consent_invalidated")


def test_a_revised_text_pauses_what_was_agreed_before(office: Office) -> None:
    world, tokens = office.world, office.grant()
    follow_notices(world.installation, world.clock())
    assert state(office, tokens["grant_id"]) == (ConsentState.GIVEN, None)
    purposes = world.installation.purposes
    newer = Purposes({one.code: revised(one) for one in purposes.all()})
    world.clock.now = world.clock.now.replace(microsecond=1)
    for _ in range(2):
        follow_notices(replace(world.installation, purposes=newer), world.clock())
    assert state(office, tokens["grant_id"]) == (ConsentState.PAUSED, StateReason.RECONSENT)
    with world.installation.data.read() as session:
        assert all(row.applied_at for row in session.exec(select(NoticeRevision)))


def test_a_purpose_that_nobody_declares_any_more_ends_its_consents(office: Office) -> None:
    world, tokens = office.world, office.grant()
    follow_notices(replace(world.installation, purposes=Purposes({})), world.clock())
    assert state(office, tokens["grant_id"]) == (ConsentState.INVALIDATED, StateReason.PURPOSE_WITHDRAWN)
