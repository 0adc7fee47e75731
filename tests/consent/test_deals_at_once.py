"""Deals when several people act at the same moment, and in any order (consent/deals.py; invariant 19)."""

from functools import partial
from itertools import permutations
from typing import Final

import pytest

from broker.installation import Installation
from consent.deal_opening import Opened
from consent.vocabulary import ConsentState, DealState
from tests.consent.notary import BANK, LEASE_ROLES, SERVICE, Notary, open_notary
from tests.consent.office import at_once
from tests.installation import Clock

S: Final = ConsentState
SALE: Final = {"seller": SERVICE, "buyer": SERVICE, "mortgage": BANK}


@pytest.fixture
def notary(installation: Installation, clock: Clock) -> Notary:
    return open_notary(installation, clock)


@pytest.fixture
def sqlite_notary(sqlite_installation: Installation, clock: Clock) -> Notary:
    return open_notary(sqlite_installation, clock)


def all_joined(notary: Notary, opened: Opened) -> dict[str, str]:
    return {role: notary.join(opened, role).grant_id for role in opened.invitations}


# At once


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_last_signers_at_once_one_completes_and_it_is_completed_once(
    notary: Notary, attempt: int
) -> None:
    del attempt
    opened = notary.open()
    grants = all_joined(notary, opened)
    outcomes = at_once(*(partial(notary.sign, grant_id) for grant_id in grants.values()))
    assert outcomes == ["done"] * 3
    assert set(notary.states(*grants.values())) == {S.GIVEN}
    types = [event.type for event in notary.events(notary.deal(opened.deal_id).handle)]
    assert types == ["deal.opened", "deal.completed"]
    for grant_id in grants.values():
        events = notary.events(notary.consent(grant_id).handle)
        assert [event.type for event in events].count("consent.given") == 1


@pytest.mark.parametrize("leaver", LEASE_ROLES)
def test_a_refusal_against_the_last_signature_leaves_all_or_nothing(notary: Notary, leaver: str) -> None:
    opened = notary.open()
    grants = all_joined(notary, opened)
    signer = next(role for role in LEASE_ROLES if role != leaver)
    for role in set(LEASE_ROLES) - {signer}:
        notary.sign(grants[role])
    at_once(partial(notary.sign, grants[signer]), partial(notary.withdraw, grants[leaver]))
    found = set(notary.states(*grants.values()))
    deal = notary.deal(opened.deal_id).state
    assert (deal, found) in [
        (DealState.COMPLETE, {S.GIVEN, S.WITHDRAWN}),
        (DealState.REFUSED, {S.REFUSED, S.WITHDRAWN}),
    ]


@pytest.mark.parametrize("order", list(permutations(LEASE_ROLES)))
def test_any_order_of_signing_completes(sqlite_notary: Notary, order: tuple[str, ...]) -> None:
    opened = sqlite_notary.open()
    grants = {role: sqlite_notary.join(opened, role).grant_id for role in order}
    states = [sqlite_notary.sign(grants[role]).state for role in order]
    assert states == [DealState.OPEN, DealState.OPEN, DealState.COMPLETE]
