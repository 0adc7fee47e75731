"""Deals that one member's fault ends for all, and representatives who would sign both sides of one."""

from typing import Final

import pytest

from broker.installation import Installation
from consent import lifecycle
from consent.coholding import add_account
from consent.staff import Staff
from consent.vocabulary import ConsentState, DealState, StateReason
from tests.consent.notary import Notary, open_notary
from tests.consent.test_deals import all_joined
from tests.installation import Clock

STAFF: Final = Staff("jimin", "notice 7")


@pytest.fixture
def notary(installation: Installation, clock: Clock) -> Notary:
    return open_notary(installation, clock)


def test_anothers_fault_ends_the_deal_and_is_no_error_of_the_last_signer(notary: Notary) -> None:
    """A co-holder who turned up after the signature; a mandate that has ended."""
    for breaks in (_share_with_buyer, _sign_for_nobody):
        opened = notary.open()
        grants = all_joined(notary, opened)
        for role in ("agent", "tenant"):
            notary.sign(grants[role])
        breaks(notary, grants["tenant"])
        assert notary.sign(grants["landlord"]).state is DealState.REFUSED
        assert notary.deal(opened.deal_id).state_reason == StateReason.DEAL_IMPOSSIBLE
        assert set(notary.states(*grants.values())) == {ConsentState.REFUSED}


def _share_with_buyer(notary: Notary, grant_id: str) -> None:
    keyring, people = notary.installation.keyring, notary.people
    record_type = min(notary.signature(grant_id).granted)
    both = [people["tenant"], people["buyer"]]
    with notary.work() as work:
        account_id = add_account(
            work, keyring, "city-hall", record_type, both, staff=STAFF, now=notary.clock()
        )
    assert account_id


def _sign_for_nobody(notary: Notary, grant_id: str) -> None:
    with notary.work() as work:
        lifecycle.lock(work, grant_id).signed_by = notary.people["buyer"]


def test_nobody_signs_both_sides_for_others(notary: Notary) -> None:
    """Roles that exclude each other are not in one hand: not for two people, nor for one and oneself."""
    people = notary.people
    for first, second in ((people["buyer"], people["buyer"]), (people["landlord"], None)):
        opened = notary.open()
        held = notary.join(opened, "tenant", signed_by=first)
        assert not held.is_refused
        joined = notary.join(opened, "landlord", signed_by=second)
        assert joined.is_refused
        assert notary.consent(joined.grant_id).state_reason == StateReason.DEAL_ROLE
        assert not notary.join(opened, "landlord", people["seller"]).is_refused
