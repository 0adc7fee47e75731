"""Shapes of deals: declarations that cannot be, and what those that can say."""

from typing import Any

import pytest
from pydantic import ValidationError

from broker.installation import load_deal_shapes, load_purposes
from consent.deal_shapes import DealShapes
from consent.errors import DealInvalidError, UnknownPurposeError

TENANT = {"role": "tenant", "purpose": "realestate.lease_tenant", "name": {"ko": "세입자", "en": "Tenant"}}
LANDLORD = {
    "role": "landlord",
    "purpose": "realestate.lease_landlord",
    "name": {"ko": "집", "en": "Landlord"},
}
AGENT = {"role": "agent", "purpose": "realestate.lease_agent", "name": {"ko": "중개", "en": "Agent"}}


def shape(*roles: dict[str, Any], kind: str = "lease") -> dict[str, Any]:
    return {"kind": kind, "name": {"ko": "임대차", "en": "Lease"}, "roles": list(roles)}


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ((TENANT, TENANT | {"purpose": "realestate.lease_agent"}), "a role that is there twice"),
        ((TENANT, LANDLORD | {"purpose": TENANT["purpose"]}), "a purpose that is there twice"),
        ((TENANT, LANDLORD | {"excludes": ["nobody"]}), "names one that is not there"),
        ((TENANT, LANDLORD | {"same_person_as": "nobody"}), "names one that is not there"),
        ((TENANT, LANDLORD | {"excludes": ["landlord"]}), "names itself"),
        (
            (TENANT | {"excludes": ["landlord"]}, LANDLORD | {"same_person_as": "tenant"}),
            "the same person as one that it excludes",
        ),
        ((TENANT, LANDLORD | {"optional": True}), "fewer than two roles"),
        ((TENANT,), "at least 2 items"),
        ((TENANT, LANDLORD | {"role": "Land Lord"}), "pattern"),
        ((TENANT, LANDLORD | {"colour": "blue"}), "Extra inputs"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(roles: tuple[dict[str, Any], ...], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DealShapes.load([shape(*roles)], load_purposes())


def test_two_of_one_kind_and_a_purpose_that_nobody_declares_are_refused() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        DealShapes.load([shape(TENANT, LANDLORD)] * 2, load_purposes())
    with pytest.raises(UnknownPurposeError):
        DealShapes.load([shape(TENANT, LANDLORD | {"purpose": "none.such"})], load_purposes())


def test_one_word_of_either_role_excludes_and_binds_both_ways() -> None:
    roles = (TENANT | {"excludes": ["landlord"]}, LANDLORD, AGENT | {"same_person_as": "landlord"})
    loaded = DealShapes.load([shape(*roles)], load_purposes()).get("lease")
    assert loaded.exclude("tenant", "landlord")
    assert loaded.exclude("landlord", "tenant")
    assert not loaded.exclude("tenant", "agent")
    assert loaded.bind("agent", "landlord")
    assert loaded.bind("landlord", "agent")
    assert not loaded.bind("tenant", "landlord")


def test_what_a_deal_asks_for_is_asked_for_in_deals_only() -> None:
    shapes = load_deal_shapes(load_purposes())
    with pytest.raises(DealInvalidError):
        shapes.get("marriage")
    assert shapes.is_for_deals_only("realestate.lease_landlord")
    assert shapes.is_for_deals_only("lending.mortgage_for_sale")
    assert not shapes.is_for_deals_only("lending.loan_underwriting")
    assert not shapes.is_for_deals_only("insurance.indemnity_claim")
