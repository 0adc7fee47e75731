"""The exports of registers, bank and bureau: what is refused, then what the demo's people have in them."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import SourceRefusedError
from connectors.sources import bank, city_hall, court_registry, credit_bureau, tax_office
from connectors.sources.base import SourceFault, SourceRecord
from connectors.sources.catalog import source_of
from connectors.sources.demo_registers import number_at, record_types_at, write_register_exports
from connectors.sources.demo_residents import DEMO_RESIDENTS, HANEUL, SERA, YOUNGSU, Resident
from vault.errors import Fault
from vault.identifiers import looks_like_rrn
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
HOLDERS = ("tax-office", "employment-office", "hanbit-bank", "credit-bureau", "court-registry", "city-hall")


def read(path: Path) -> list[SourceRecord | SourceFault]:
    return list(source_of(path).read(path, CATALOGUE))


def changed(folder: Path, name: str, changes: dict[str, Any], line: int = 1) -> Path:
    """An export with other values in one of its lines; None leaves a member off."""
    path = next(one for one in write_register_exports(folder) if one.stem == name)
    lines = [json.loads(text) for text in path.read_text("utf-8").splitlines()]
    lines[line] = {key: value for key, value in (lines[line] | changes).items() if value is not None}
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), "utf-8")
    return path


@pytest.mark.parametrize(
    "name", ["incomes", "clearances", "employments", "accounts", "loans", "registry", "identities", "agents"]
)
def test_an_export_of_another_organisation_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceRefusedError) as caught:
        read(changed(tmp_path, name, {"org_code": "XX00000009"}, line=0))
    assert list(caught.value.faults) == [Fault("$.org_code", "foreign_institution")]


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("incomes", {"GWISOK_YR": "작년"}, ("$.GWISOK_YR", "not_a_whole_number")),
        ("incomes", {"SODEUK_CD": "77"}, ("$.SODEUK_CD", "unknown_code")),
        ("incomes", {"SODEUK_AMT": "1"}, ("$.SODEUK_AMT", "amounts_add_up")),
        ("incomes", {"TXPR_NO": "970514-2000000"}, ("$.TXPR_NO", "contains_resident_registration_number")),
        ("clearances", {"CHENAP_YN": "?"}, ("$.CHENAP_YN", "unknown_code")),
        ("clearances", {"YUYE": None}, ("$.YUYE", "required")),
        ("employments", {"SAEOP": [{"CO_NM": "가"}]}, ("$.SAEOP[0].BIZ_NO", "required")),
        ("accounts", {"BAL_AMT": "--5"}, ("$.BAL_AMT", "not_a_whole_number")),
        ("accounts", {"JOINT_YN": "y"}, ("$.JOINT_YN", "unknown_code")),
        ("loans", {"YEONCHE_TOT": "1"}, ("$.YEONCHE_TOT", "overdue_adds_up")),
        ("registry", {"REAL_NO": "1"}, ("$.REAL_NO", "format")),
        ("registry", {"AREA": "넓음"}, ("$.AREA", "pattern")),
        ("identities", {"BIRTH_YMD": "19970230"}, ("$.BIRTH_YMD", "impossible_date")),
        ("fixed-dates", {"END_YMD": "20230101"}, ("$.END_YMD", "ended_after_beginning")),
        ("agents", {"BIZ_NO": "1"}, ("$.BIZ_NO", "not_a_business_number")),
    ],
)
def test_faults_are_told_in_the_holders_own_names(
    tmp_path: Path, name: str, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    results = read(changed(tmp_path, name, changes))
    found = {(one.path, one.rule) for one in results if isinstance(one, SourceFault)}
    assert expected in found
    assert {one.place for one in results if isinstance(one, SourceFault)} == {"line 2"}


@pytest.mark.parametrize(
    ("codes", "record_type", "path"),
    [
        (tax_office.INCOME_TYPES, "income.certificate", "income_type"),
        (tax_office.AUTHORITIES, "tax.clearance", "authority"),
        (bank.KINDS, "finance.account", "kind"),
        (credit_bureau.KINDS, "credit.loan_balance", "loans[].kind"),
        (court_registry.KINDS, "realestate.registry", "kind"),
        (court_registry.OWNERSHIP, "realestate.registry", "ownership[].kind"),
        (court_registry.RIGHTS, "realestate.registry", "encumbrances[].right"),
        (city_hall.NATIONALITIES, "person.identity", "nationality"),
        (city_hall.ROLES, "realestate.fixed_date", "parties[].role"),
        (city_hall.AGENT_STATUSES, "realestate.agent_licence", "status"),
    ],
)
def test_the_holders_codes_cover_ours(codes: dict[str, str], record_type: str, path: str) -> None:
    assert set(codes.values()) == set(CATALOGUE.get(record_type).value_labels[path])


def test_an_overdrawn_account_is_read(tmp_path: Path) -> None:
    record = read(changed(tmp_path, "accounts", {"BAL_AMT": "-1,250,000"}))[0]
    assert isinstance(record, SourceRecord)
    assert record.data["balance"] == -1_250_000


def test_who_has_left_every_workplace_is_not_insured(tmp_path: Path) -> None:
    left = {"CO_NM": "한빛디자인", "BIZ_NO": "105-86-00084", "CHWI_YMD": "20230302", "WK_HR": "40"}
    for workplaces, status in (
        ([], "not_insured"),
        ([left | {"SANGSIL_YMD": "20240101"}], "not_insured"),
        ([left, left | {"SANGSIL_YMD": "20240101"}], "insured"),
    ):
        record = read(changed(tmp_path, "employments", {"SAEOP": workplaces}))[0]
        assert isinstance(record, SourceRecord)
        assert record.data["status"] == status


def held(
    folder: Path, resident: Resident, today: date = date(2026, 11, 23)
) -> dict[str, list[dict[str, Any]]]:
    """Everything that the registers have of one person, by record type."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records_of(write_register_exports(folder, today=today)):
        if record.person.name == resident.name:
            found.setdefault(record.record_type, []).append(record.data)
    return found


def records_of(paths: list[Path]) -> Iterator[SourceRecord]:
    for path in paths:
        for one in read(path):
            assert isinstance(one, SourceRecord), one
            yield one


def test_haneul_works_and_has_an_income_and_a_loan_without_arrears(tmp_path: Path) -> None:
    has = held(tmp_path, HANEUL)
    assert [one["amount"] for one in has["income.certificate"]] == [34_120_000, 31_560_000]
    assert [one["year"] for one in has["income.certificate"]] == [2025, 2024]
    assert [one["status"] for one in has["employment.history"]] == ["insured"]
    assert [one["overdue_amount"] for one in has["credit.loan_balance"]] == [0]
    assert has["person.identity"][0]["birth_date"] == "1997-05-14"
    assert "realestate.registry" not in has


def test_the_landlord_has_one_house_one_deposit_and_no_arrears(tmp_path: Path) -> None:
    has = held(tmp_path, YOUNGSU)
    assert len(has["realestate.registry"]) == 1
    assert [one["deposit"] for one in has["realestate.fixed_date"]] == [90_000_000]
    assert {one["arrears_exist"] for one in has["tax.clearance"]} == {False}
    assert {one["authority"] for one in has["tax.clearance"]} == {"national", "local"}


def test_the_agent_is_licensed(tmp_path: Path) -> None:
    (licence,) = held(tmp_path, SERA)["realestate.agent_licence"]
    assert (licence["name"], licence["status"]) == ("오세라", "open")


@pytest.mark.parametrize("today", [date(2026, 11, 23), date(2027, 1, 1), date(2031, 2, 28), date(2026, 3, 2)])
def test_the_exports_can_be_of_another_day(tmp_path: Path, today: date) -> None:
    for record in records_of(write_register_exports(tmp_path, today=today)):
        assert timedelta(0) <= today - date.fromisoformat(record.as_of or "") < timedelta(weeks=1)
        assert record.doubts == ()
    assert held(tmp_path, HANEUL, today)["income.certificate"][0]["amount"] == 34_120_000


def test_only_whom_it_is_asked_for_stands_in_an_export(tmp_path: Path) -> None:
    for record in records_of(write_register_exports(tmp_path, people=DEMO_RESIDENTS)):
        assert record.person.name in {one.name for one in DEMO_RESIDENTS}


def test_each_holder_has_a_number_of_its_own_for_a_person() -> None:
    numbers = {number_at(holder_id, HANEUL) for holder_id in HOLDERS}
    assert len(numbers) == len(HOLDERS)
    assert not any(map(looks_like_rrn, numbers))
    assert record_types_at("city-hall") == (
        "person.identity",
        "realestate.fixed_date",
        "realestate.agent_licence",
    )
    assert all(record_types_at(holder_id) for holder_id in HOLDERS)
