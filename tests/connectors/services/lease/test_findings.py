"""What each person of a lease is shown: least first, and every doubt against the deposit."""

from datetime import date
from typing import Any

import pytest

from connectors.services.lease.deposit import Senior, judge, owners, registered_before
from connectors.services.lease.findings import Home, for_agent, for_landlord, for_tenant

TODAY = date(2026, 11, 26)
ADDRESS = "서울특별시 마포구 바람길 7, 1층 101호"
HOME = Home(ADDRESS, 100_000_000, 0, 900_000_000, "최영수", "김하늘")


def entry(rank: str, kind: str, party: str, *, is_cancelled: bool = False) -> dict[str, Any]:
    return {"rank": rank, "kind": kind, "party": party, "is_cancelled": is_cancelled}


def mortgage(amount: int, *, is_cancelled: bool = False) -> dict[str, Any]:
    return {
        "rank": "1",
        "right": "mortgage",
        "amount": amount,
        "party": "한빛저축은행",
        "is_cancelled": is_cancelled,
    }


def title(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - members of any kind
    record = {
        "unique_no": "1101-2008-000206",
        "address": "서울특별시 마포구 바람길 7",
        "ownership": [entry("1", "preservation", "강바람"), entry("2", "transfer", "최영수")],
        "encumbrances": [mortgage(240_000_000)],
        "issued_on": "2026-11-20",
    }
    return record | changes


def earlier(deposit: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - members of any kind
    record = {
        "granted_on": "2024-02-19",
        "object": {"address": "서울특별시 마포구 바람길 7", "part": "2층", "unique_no": "1101-2008-000206"},
        "deposit": deposit,
        "monthly_rent": 300_000,
        "period": {"from": "2024-03-01", "to": "2026-02-28"},
    }
    return record | changes


def landlord(*leases: dict[str, Any], titles: tuple[dict[str, Any], ...] = (title(),)) -> dict[str, Any]:
    return {
        "tax.clearance": [{"data": {"answer": True}}],
        "realestate.registry": [{"data": one} for one in titles],
        "realestate.fixed_date": [{"data": one} for one in leases],
    }


def test_a_home_that_is_not_the_landlord_s_has_no_owner_and_no_sum() -> None:
    elsewhere = title(address="서울특별시 마포구 바람길 71")
    found = for_tenant(HOME, landlord(titles=(elsewhere,)), TODAY)
    assert (found.is_owner, found.senior_deposits, found.judgement) == (False, None, None)
    assert found.owes_no_taxes is True


@pytest.mark.parametrize(
    "ownership",
    [
        [entry("1", "preservation", "최영수"), entry("2", "transfer", "강바람")],
        [entry("1", "transfer", "최영수"), entry("1-1", "transfer", "강바람")],
        [entry("1", "transfer", "최영수", is_cancelled=True)],
    ],
)
def test_an_earlier_owner_half_an_owner_and_none_are_not_the_owner(ownership: list[dict[str, Any]]) -> None:
    assert not for_tenant(HOME, landlord(titles=(title(ownership=ownership),)), TODAY).is_owner


def test_what_has_ended_and_what_lies_elsewhere_is_not_before_the_tenant() -> None:
    leases = (
        earlier(90_000_000),
        earlier(70_000_000, ended_on="2026-11-01"),
        earlier(60_000_000, ended_on="2026-12-31"),
        earlier(50_000_000, object={"address": "부산광역시 바다로 1", "unique_no": "1801-2008-000001"}),
        earlier(40_000_000, object={"address": "서울특별시 마포구 바람길 7, 3층"}),
        earlier(30_000_000, object={"address": "서울특별시 마포구 바람길 77"}),
    )
    found = for_tenant(HOME, landlord(*leases), TODAY)
    assert found.senior_deposits == 190_000_000
    assert sorted(one.deposit for one in found.earlier) == [40_000_000, 60_000_000, 90_000_000]
    assert "2층" not in repr(found)


def test_a_landlord_may_tell_the_sum_alone() -> None:
    records = landlord()
    answer = {"derivation": "realestate.senior_deposits_total", "answer": {"total": 90_000_000, "leases": 1}}
    records["realestate.fixed_date"] = [{"data": answer}]
    found = for_tenant(HOME, records, TODAY)
    assert (found.senior_deposits, found.earlier) == (90_000_000, ())
    assert found.judgement is not None
    records["realestate.fixed_date"] = [{"data": answer | {"answer": None}}]
    found = for_tenant(HOME, records, TODAY)
    assert (found.senior_deposits, found.judgement) == (None, None)


@pytest.mark.parametrize(("answer", "shown"), [(True, True), (False, False), (None, None)])
def test_arrears_are_a_yes_a_no_or_unknown(answer: bool | None, shown: bool | None) -> None:  # noqa: FBT001 - an answer
    records = landlord() | {"tax.clearance": [{"data": {"answer": answer}}]}
    assert for_tenant(HOME, records, TODAY).owes_no_taxes is shown
    assert for_tenant(HOME, records | {"tax.clearance": []}, TODAY).owes_no_taxes is None


# The deposit


@pytest.mark.parametrize(
    ("deposit", "value", "at_risk"),
    [(100_000_000, 430_000_000, False), (100_000_001, 430_000_000, True), (100_000_000, 429_999_999, True)],
)
def test_a_deposit_is_at_risk_once_all_that_is_owed_is_more_than_the_home(
    deposit: int,
    value: int,
    at_risk: bool,  # noqa: FBT001 - the outcome
) -> None:
    judged = judge(
        address=ADDRESS, deposit=deposit, value=value, senior=Senior(240_000_000, 90_000_000), title=title()
    )
    assert judged.is_at_risk is at_risk
    assert judged.reasons == (("over_value",) if at_risk else ())


@pytest.mark.parametrize("kind", ["attachment", "provisional_attachment", "provisional", "auction", "trust"])
def test_what_may_take_the_home_away_is_a_risk_unless_it_was_cancelled(kind: str) -> None:
    for is_cancelled in (False, True):
        ownership = [*title()["ownership"], entry("3", kind, "누군가", is_cancelled=is_cancelled)]
        judged = judge(
            address=ADDRESS, deposit=1, value=10**9, senior=Senior(0, 0), title=title(ownership=ownership)
        )
        assert judged.is_at_risk is not is_cancelled


@pytest.mark.parametrize(
    ("address", "deposit", "value", "first"),
    [
        ("서울특별시 중구", 165_000_000, 10**9, 55_000_000),
        ("서울특별시 중구", 165_000_001, 10**9, 0),
        ("서울특별시 중구", 165_000_000, 100_000_000, 50_000_000),
        ("서울특별시 중구", 10_000_000, 10**9, 10_000_000),
        ("경기도 김포시", 145_000_000, 10**9, 48_000_000),
        ("부산광역시", 85_000_000, 10**9, 28_000_000),
        ("강원특별자치도 춘천시", 75_000_000, 10**9, 25_000_000),
    ],
)
def test_what_of_a_small_deposit_is_paid_first(address: str, deposit: int, value: int, first: int) -> None:
    judged = judge(address=address, deposit=deposit, value=value, senior=Senior(0, 0), title=title())
    assert judged.paid_first == first


def test_only_what_stands_is_owed() -> None:
    record = title(encumbrances=[mortgage(5), mortgage(7, is_cancelled=True), mortgage(11)])
    assert registered_before(record) == 16
    assert owners(title(ownership=[])) == frozenset()
    with pytest.raises(TypeError):
        registered_before(title(encumbrances=[mortgage(amount=True)]))


# The others


def tenant(income: dict[str, Any] | None) -> dict[str, Any]:
    identity = {"person.identity": [{"data": {"name": "김하늘", "birth_date": "1997-05-14"}}]}
    return identity | ({} if income is None else {"income.certificate": [{"data": income}]})


@pytest.mark.parametrize(
    ("income", "band", "is_enough"),
    [
        (None, None, None),
        ({"derivation": "income.band", "answer": {"band": "30m_to_40m", "year": 2025}}, "30m_to_40m", None),
        ({"derivation": "income.band", "answer": None}, None, None),
        ({"predicate": {"name": "income_at_least", "value": 24_000_000}, "answer": False}, None, False),
    ],
)
def test_the_landlord_sees_a_band_at_the_most(
    income: dict[str, Any] | None,
    band: str | None,
    is_enough: bool | None,  # noqa: FBT001 - an answer
) -> None:
    found = for_landlord(HOME, tenant(income))
    assert (found.name, found.birth_date, found.is_named_tenant) == ("김하늘", "1997-05-14", True)
    assert (found.income_band, found.income_is_enough) == (band, is_enough)


def test_another_name_than_the_contract_s_is_told() -> None:
    other = Home(ADDRESS, 1, 0, 1, "최영수", "김바다")
    assert not for_landlord(other, tenant(None)).is_named_tenant


def test_the_agent_sees_that_the_checks_are_there_and_nothing_of_them() -> None:
    everything = {
        "tenant": tenant(None),
        "landlord": landlord(),
        "agent": {"realestate.agent_licence": [{"data": {"answer": True}}]},
    }
    found = for_agent(everything)
    assert (found.tenant_is_checked, found.landlord_is_checked, found.agent_may_act) == (True, True, True)
    nothing = for_agent({"tenant": {}, "landlord": {}, "agent": {}})
    assert (nothing.tenant_is_checked, nothing.landlord_is_checked, nothing.agent_may_act) == (False,) * 3
