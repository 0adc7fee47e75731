"""A grant whose code was never redeemed ends (Grant Management for OAuth 2.0: unclaimed grants)."""

from datetime import timedelta

import pytest
from sqlmodel import delete, select, update

from broker.db import transaction
from broker.jobs.claiming import end_unclaimed
from broker.oauth.models import Code, Token
from consent.models import Consent
from consent.vocabulary import ConsentState, StateReason
from tests.api.conftest import Office
from tests.jobs.test_expiry import logged
from tests.oauth.test_grant_management import ASKING, open_change, sign_change
from tests.oauth.world import refused

HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
CODE_LIFE = timedelta(seconds=60)


def consents(office: Office) -> list[tuple[str, str | None]]:
    with office.world.installation.data.read() as session:
        return [(row.state, row.state_reason) for row in session.exec(select(Consent))]


def end(office: Office) -> int:
    return end_unclaimed(office.world.installation, office.world.clock())


def test_until_an_hour_after_its_code_it_waits(office: Office) -> None:
    office.world.code()
    office.world.clock.advance(CODE_LIFE + HOUR)
    assert end(office) == 0
    office.world.clock.advance(MOMENT)
    assert [end(office), end(office)] == [1, 0]
    assert consents(office) == [(ConsentState.REVOKED, StateReason.UNCLAIMED)]
    assert logged(office, "consent.revoked") == 1


def test_what_was_claimed_goes_on_whatever_becomes_of_its_tokens(office: Office) -> None:
    tokens = office.grant()
    assert office.world.insurer.revoke(tokens["refresh_token"]).status_code == 200
    office.world.clock.advance(timedelta(days=1))
    assert end(office) == 0
    assert consents(office) == [(ConsentState.GIVEN, None)]


def test_a_code_that_was_used_in_vain_is_no_claim_to_end(office: Office) -> None:
    """Somebody came with it, if not with its verifier: what then became of it is not ours to guess."""
    code = office.world.code()
    assert refused(office.world.insurer.redeem(code, code_verifier="w" * 50), "invalid_grant")
    with transaction(office.world.installation.data) as work:
        work.session.exec(update(Code).values(used_at=office.world.clock()))
    office.world.clock.advance(timedelta(hours=2))
    assert end(office) == 0


def test_a_grant_of_a_deal_does_not_end_alone(office: Office) -> None:
    office.world.code()
    with transaction(office.world.installation.data) as work:
        work.session.exec(update(Consent).values(deal_id="a deal"))
    office.world.clock.advance(timedelta(hours=2))
    assert end(office) == 0


@pytest.mark.parametrize("action", ["merge", "replace"])
def test_a_change_that_nobody_came_for_does_not_end_what_was_claimed_before(
    office: Office, action: str
) -> None:
    """A consent can outlive its tokens (it was renewed, and nobody refreshed): they are swept, it goes on."""
    world = office.world
    grant_id = office.grant()["grant_id"]
    with transaction(world.installation.data) as work:
        work.session.exec(delete(Token))
        work.session.exec(delete(Code))
    interaction_id = world.interaction_of(world.insurer.push(**ASKING[action](grant_id)))
    sign_change(world, interaction_id, open_change(world, interaction_id))
    world.clock.advance(timedelta(hours=2))
    assert end(office) == 0
    assert consents(office) == [(ConsentState.GIVEN, None)]


def test_what_has_ended_already_is_left(office: Office) -> None:
    office.world.code()
    with office.world.installation.data.read() as session:
        grant_id = session.exec(select(Consent.grant_id)).one()
    office.world.withdraw(grant_id)
    office.world.clock.advance(timedelta(hours=2))
    assert end(office) == 0
    assert [state for state, _ in consents(office)] == [ConsentState.WITHDRAWN]
