"""People who have not signed in for long (broker/jobs/inactivity.py; MyData 2.0)."""

from dataclasses import replace
from datetime import timedelta

from sqlmodel import col, func, select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.inactivity import erase_for_the_absent, stop_for_the_absent
from broker.web.signin.models import Account
from consent.collection import Arrival, NewLink, collect, link
from consent.models import Consent, SourceLink
from consent.vocabulary import ConsentState, StateReason
from tests.api.conftest import Office
from vault.store import Record


def installation_with(office: Office, **changes: int) -> Installation:
    """The same broker with other spans."""
    installation = office.world.installation
    spans = installation.settings.inactivity.model_copy(update=changes)
    return replace(installation, settings=installation.settings.model_copy(update={"inactivity": spans}))


def seen(office: Office, days_ago: int) -> None:
    """The person's account, last signed in so long ago."""
    office.sign_in("citizen", office.world.subject_id)
    with transaction(office.world.installation.data) as work:
        account = work.session.exec(
            select(Account).where(Account.subject_id == office.world.subject_id)
        ).one()
        account.last_signed_in_at = office.world.clock() - timedelta(days=days_ago)


def state(office: Office, grant_id: str) -> tuple[str, str | None]:
    with office.world.installation.data.read() as session:
        consent = session.get_one(Consent, grant_id)
        return consent.state, consent.state_reason


def test_sending_stops_for_who_was_away_too_long(office: Office) -> None:
    grant_id, now = office.grant()["grant_id"], office.world.clock
    seen(office, days_ago=6)
    longer = installation_with(office, stop_after_days=7)
    assert stop_for_the_absent(longer, now()) == 0
    assert state(office, grant_id) == (ConsentState.GIVEN, None)
    assert stop_for_the_absent(installation_with(office, stop_after_days=0), now()) == 0
    shorter = installation_with(office, stop_after_days=5)
    assert stop_for_the_absent(shorter, now()) == 1
    assert state(office, grant_id) == (ConsentState.PAUSED, StateReason.INACTIVITY)
    assert stop_for_the_absent(shorter, now()) == 0


def test_who_never_signed_in_counts_from_the_making_of_the_account(office: Office) -> None:
    grant_id = office.grant()["grant_id"]
    office.sign_in("citizen", office.world.subject_id)
    installation = installation_with(office, stop_after_days=5)
    assert stop_for_the_absent(installation, office.world.clock()) == 0
    office.world.clock.advance(timedelta(days=6))
    assert stop_for_the_absent(installation, office.world.clock()) == 1
    assert state(office, grant_id)[0] == ConsentState.PAUSED


def test_what_the_vault_holds_of_who_is_away_for_good_is_erased(office: Office) -> None:
    world = office.world
    seen(office, days_ago=400)
    with transaction(world.installation.data) as work:
        new = NewLink(world.subject_id, "hospital", "P-1", ("health.medical_bill",), "ko")
        link_id = link(work, world.installation.keyring, new, world.clock())
    with transaction(world.installation.data) as work:
        record_type = world.installation.catalogue.get("health.medical_bill")
        arrival = Arrival("health.medical_bill", "B-1", dict(record_type.example))
        row = work.session.get_one(SourceLink, link_id)
        collect(
            work,
            world.installation.keyring,
            world.installation.catalogue,
            row,
            arrivals=[arrival],
            now=world.clock(),
        )
    never = installation_with(office, erase_after_days=0)
    assert erase_for_the_absent(never, world.clock()) == 0
    assert erase_for_the_absent(installation_with(office, erase_after_days=401), world.clock()) == 0
    installation = installation_with(office, erase_after_days=365)
    assert [erase_for_the_absent(installation, world.clock()) for _ in range(2)] == [1, 0]
    with world.installation.data.read() as session:
        records = session.exec(
            select(func.count()).select_from(Record).where(Record.subject_id == world.subject_id)
        ).one()
        living = session.exec(
            select(SourceLink.link_id).where(
                SourceLink.subject_id == world.subject_id, col(SourceLink.ended_at).is_(None)
            )
        ).all()
    assert (records, list(living)) == (0, [])
