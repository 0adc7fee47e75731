"""Flows that nobody finished are counted once, before their rows are deleted (broker/jobs/counting.py)."""

from datetime import timedelta

from sqlmodel import select

from broker.db import transaction
from broker.jobs.counting import keep_statistics
from broker.jobs.expiry import sweep
from broker.oauth.models import PushedRequest
from consent.counting import statistics
from consent.models import AbandonedFlow
from tests.api.conftest import Office

LATER = timedelta(days=2)


def swept(office: Office) -> dict[str, int]:
    """What the sweep has counted so far, by stage; a second sweep counts nothing again."""
    installation = office.world.installation
    for _ in range(2):
        sweep(installation, office.world.clock())
    with installation.data.read() as session:
        return {row.stage: row.flows for row in session.exec(select(AbandonedFlow))}


def test_a_flow_that_is_still_under_way_is_not_counted(office: Office) -> None:
    office.world.insurer.push()
    assert swept(office) == {}


def test_a_request_that_nobody_opened(office: Office) -> None:
    for _ in range(3):
        assert office.world.insurer.push().status_code == 201
    office.world.clock.advance(LATER)
    assert swept(office) == {"preIdentification": 3}
    with office.world.installation.data.read() as session:
        assert session.exec(select(PushedRequest)).all() == []


def test_a_page_at_which_nobody_signed_in(office: Office) -> None:
    office.world.interaction_of(office.world.insurer.push())
    office.world.clock.advance(LATER)
    assert swept(office) == {"preAuthentication": 1}


def test_a_code_that_nobody_came_for(office: Office) -> None:
    office.world.code()
    office.world.clock.advance(LATER)
    assert swept(office) == {"failedTokenExchange": 1}


def test_a_flow_that_came_to_its_end(office: Office) -> None:
    office.world.tokens()
    office.world.clock.advance(LATER)
    assert swept(office) == {}


def test_a_request_whose_terms_were_changed_counts_all_the_same(office: Office) -> None:
    installation = office.world.installation
    office.world.insurer.push()
    with transaction(installation.data) as work:
        (row,) = work.session.exec(select(PushedRequest)).all()
        assert row.terms_sealed is not None
        row.terms_sealed = row.terms_sealed[:-1] + bytes([row.terms_sealed[-1] ^ 1])
    office.world.clock.advance(LATER)
    assert swept(office) == {"preIdentification": 1}


def test_the_kept_statistics_are_those_of_the_whole_log(office: Office) -> None:
    installation = office.world.installation
    office.world.tokens()
    with installation.data.read() as session:
        fresh = statistics(session, smallest=1)
    assert keep_statistics(installation, office.world.clock()) == fresh["size"] > 0
    with installation.data.read() as session:
        assert statistics(session, smallest=1) == fresh
