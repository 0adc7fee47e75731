"""The hospital's and the register's exports: refusals and faults first, then what is read."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import SourceRefusedError
from connectors.services.indemnity.claim import compute
from connectors.sources import hospital
from connectors.sources.base import SourceFault, SourceRecord
from connectors.sources.catalog import all_sources, source_of
from connectors.sources.demo_hospital import main, moved, write_exports
from connectors.sources.demo_people import DEMO_PEOPLE
from vault.errors import Fault
from vault.identifiers import looks_like_rrn
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
Lines = list[dict[str, Any]]


@pytest.fixture
def bills(tmp_path: Path) -> Lines:
    """The lines of the hospital's export, the header first."""
    return [json.loads(line) for line in write_exports(tmp_path).hospital.read_text().splitlines()]


@pytest.fixture
def policies(tmp_path: Path) -> Lines:
    return [json.loads(line) for line in write_exports(tmp_path).policies.read_text().splitlines()]


def read(path: Path) -> list[SourceRecord | SourceFault]:
    return list(source_of(path).read(path, CATALOGUE))


def saved(folder: Path, lines: Lines) -> Path:
    path = folder / "edited.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def faults(folder: Path, lines: Lines) -> set[tuple[str, str]]:
    """(path, rule) of the faults of the one bad line, which stands right after the header."""
    results = read(saved(folder, lines))
    found = [result for result in results if isinstance(result, SourceFault)]
    assert {(fault.file, fault.place) for fault in found} == {("edited.jsonl", "line 2")}
    assert len(results) == len(found) + len(lines) - 2, "the good lines are kept"
    assert len(set(found)) == len(found), "no fault twice"
    return {(fault.path, fault.rule) for fault in found}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("", "header_missing"),
        ("\n\n", "header_missing"),
        ('\n{"format":"seoul-hospital-export"}', "header_missing"),
        ("not json\n", "header_not_json"),
        ("[]\n", "header_not_an_object"),
        ('{"format":"a","format":"b"}', "header_member_twice"),
        ('{"RCPT_NO":"1"}\n', "unknown_format"),
        ('{"format":"other-export","version":1}\n', "unknown_format"),
        ('{"format":null}', "unknown_format"),
    ],
)
def test_files_without_a_header_of_ours(tmp_path: Path, content: str, rule: str) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(content)
    with pytest.raises(SourceRefusedError) as caught:
        read(path)
    assert [fault.rule for fault in caught.value.faults] == [rule]
    assert str(caught.value).startswith("file.jsonl: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceRefusedError) as caught:
        source_of(tmp_path / "nothing.jsonl")
    assert [fault.rule for fault in caught.value.faults] == ["cannot_be_read"]
    with pytest.raises(SourceRefusedError):
        source_of(tmp_path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": 2}, [Fault("$.version", "wrong_version")]),
        ({"version": "1"}, [Fault("$.version", "wrong_version")]),
        ({"version": True}, [Fault("$.version", "wrong_version")]),
        ({"version": None}, [Fault("$.version", "wrong_version")]),
        ({"hira_code": "31100079"}, [Fault("$.hira_code", "foreign_institution")]),
        ({"jong_cd": "99"}, [Fault("$.jong_cd", "unknown_code")]),
        ({"biz_no": "2208210073"}, [Fault("$.biz_no", "not_a_business_number")]),
        ({"exported_on": "20260230"}, [Fault("$.exported_on", "impossible_date")]),
        ({"surprise": "1"}, [Fault("$.surprise", "unknown_member")]),
        ({"hosp_nm": 1, "tel": 2}, [Fault("$.hosp_nm", "not_text"), Fault("$.tel", "not_text")]),
    ],
)
def test_headers_that_refuse_the_file(
    tmp_path: Path, bills: Lines, changes: dict[str, Any], expected: list[Fault]
) -> None:
    with pytest.raises(SourceRefusedError) as caught:
        read(saved(tmp_path, [bills[0] | changes, *bills[1:]]))
    assert list(caught.value.faults) == expected


def test_a_header_that_lacks_something(tmp_path: Path, bills: Lines) -> None:
    del bills[0]["hira_code"], bills[0]["tel"]  # the telephone number may be missing
    with pytest.raises(SourceRefusedError) as caught:
        read(saved(tmp_path, bills))
    assert list(caught.value.faults) == [Fault("$.hira_code", "required")]


def test_a_file_of_another_kind_is_refused_by_a_source_that_is_asked_directly(tmp_path: Path) -> None:
    exports = write_exports(tmp_path)
    with pytest.raises(SourceRefusedError) as caught:
        source_of(exports.hospital).read(exports.policies, CATALOGUE)
    assert list(caught.value.faults) == [Fault("$.format", "wrong_format")]


def test_a_register_of_another_organisation(tmp_path: Path, policies: Lines) -> None:
    with pytest.raises(SourceRefusedError) as caught:
        read(saved(tmp_path, [policies[0] | {"org_code": "IR00000002"}]))
    assert list(caught.value.faults) == [Fault("$.org_code", "foreign_institution")]


RRN = "contains_resident_registration_number"
Edit = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda bill: bill.pop("RCPT_NO"), {("$.RCPT_NO", "required")}),
        (lambda bill: bill.update(RCPT_NO="a b"), {("$.RCPT_NO", "not_an_identifier")}),
        (lambda bill: bill.update(ISS_YMD="20260230"), {("$.ISS_YMD", "impossible_date")}),
        (lambda bill: bill.update(ISS_YMD="2026-02-03"), {("$.ISS_YMD", "not_a_date")}),
        (lambda bill: bill.update(ISS_YMD=20260203), {("$.ISS_YMD", "not_text")}),
        (lambda bill: bill.update(TRT_GB="X"), {("$.TRT_GB", "unknown_code")}),
        (lambda bill: bill.update(TO_YMD="20250101"), {("$.TO_YMD", "period_in_order")}),
        (lambda bill: bill.update(DEPT_NM=""), {("$.DEPT_NM", "minLength")}),
        (lambda bill: bill.update(NOTE="x"), {("$.NOTE", "unknown_member")}),
        (lambda bill: bill.pop("HANG"), {("$.HANG", "required")}),
        (lambda bill: bill.update(HANG="x"), {("$.HANG", "not_a_list")}),
        (lambda bill: bill.update(HANG=[]), {("$.HANG", "minItems")}),
        (lambda bill: bill["HANG"].append([]), {("$.HANG[4]", "not_an_object")}),
        (lambda bill: bill["HANG"][1].pop("HANG_CD"), {("$.HANG[1].HANG_CD", "required")}),
        (lambda bill: bill["HANG"][1].update(HANG_CD="00"), {("$.HANG[1].HANG_CD", "unknown_code")}),
        (lambda bill: bill["HANG"][2].update(X="1"), {("$.HANG[2].X", "unknown_member")}),
        (lambda bill: bill.update(PT_NM="000101-3000000"), {("$.PT_NM", RRN)}),
        (lambda bill: bill.update(PT_NO="0001013000000"), {("$.PT_NO", RRN)}),
    ],
)
def test_a_bad_bill_is_named_in_the_hospitals_own_words(
    tmp_path: Path, bills: Lines, edit: Edit, expected: set[tuple[str, str]]
) -> None:
    bills[1]["HANG"] = [dict(bills[1]["HANG"][0]) for _ in range(4)]
    total = {"TOT_AMT": "73,600", "GONG_TOT": "36,800", "PT_TOT": "36,800", "CARD_AMT": "36,800"}
    bills[1] |= total | {"CASHR_AMT": "0"}
    edit(bills[1])
    found = faults(tmp_path, bills)
    assert {fault for fault in found if not fault[1].endswith("_adds_up")} == expected


@pytest.mark.parametrize(
    "amount", ["12.5", "-5", "1,00", "1,0000", "", " 5", "5원", "1e3", "１２", "9" * 16, 5, None]
)
def test_amounts_are_whole_won(tmp_path: Path, bills: Lines, amount: object) -> None:
    bills[1]["MINAP_AMT"] = amount
    rule = "not_a_whole_number" if isinstance(amount, str) else "not_text"
    assert faults(tmp_path, bills) == {("$.MINAP_AMT", rule)}


@pytest.mark.parametrize("amount", ["1234567", "1,234,567"])
def test_commas_may_stand_or_not(tmp_path: Path, bills: Lines, amount: str) -> None:
    bills[1]["GINAP_AMT"] = amount
    assert faults(tmp_path, bills) == {("$.MINAP_AMT", "payments_add_up")}


def test_what_comes_from_the_header_is_named_by_our_path(tmp_path: Path, bills: Lines) -> None:
    results = read(saved(tmp_path, [bills[0] | {"addr": "x" * 201}, bills[1]]))
    assert results == [SourceFault("edited.jsonl", "line 2", "$.institution.address", "maxLength")]


def test_totals_that_do_not_add_up(tmp_path: Path, bills: Lines) -> None:
    bills[1]["TOT_AMT"] = "1"
    assert faults(tmp_path, bills) == {("$.TOT_AMT", "total_adds_up")}


def test_every_fault_of_a_line_is_named(tmp_path: Path, bills: Lines) -> None:
    bills[1] = {"RCPT_NO": "", "PT_NM": ["x"], "이름": 1}
    found = faults(tmp_path, bills)
    assert {("$.RCPT_NO", "not_an_identifier"), ("$.PT_NM", "not_text"), ("$.?", "unknown_member")} < found
    assert {path for path, rule in found if rule == "required"} > {"$.PT_NO", "$.HANG", "$.TOT_AMT"}


def test_a_line_that_is_no_json_is_lost_alone(tmp_path: Path) -> None:
    path = write_exports(tmp_path).hospital
    text = path.read_text().splitlines()
    text[3] = text[3][:40]
    path.write_text("\n".join(text))
    results = read(path)
    (fault,) = [result for result in results if isinstance(result, SourceFault)]
    assert (fault.file, fault.path, fault.rule) == ("hospital.jsonl", "$", "not_json")
    assert fault.place.startswith("line 4, column ")
    assert len(results) == 40


def test_a_mistyped_business_number_is_a_doubt(tmp_path: Path, bills: Lines) -> None:
    bills[0]["biz_no"] = "220-82-10074"
    results = read(saved(tmp_path, bills))
    doubt = (Fault("$.institution.brn", "business_number_checksum"),)
    assert all(isinstance(result, SourceRecord) and result.doubts == doubt for result in results)


def test_a_register_line_that_is_wrong(tmp_path: Path, policies: Lines) -> None:
    policies[1] |= {"GEN_GB": "6", "COV_CDS": "11,99", "END_YMD": "20200101"}
    del policies[1]["MBR_NO"]
    assert faults(tmp_path, policies) == {
        ("$.MBR_NO", "required"),
        ("$.GEN_GB", "maximum"),
        ("$.COV_CDS", "unknown_code"),
        ("$.END_YMD", "contract_in_order"),
    }


def test_what_is_read_shows_no_personal_data_in_its_text(tmp_path: Path) -> None:
    (first, *_) = read(write_exports(tmp_path).hospital)
    assert isinstance(first, SourceRecord)
    assert not any(part in repr(first) for part in (first.patient_no, first.natural_key, "정가람"))


class TestTheDemo:
    def test_forty_visits_of_five_people_all_valid(self, tmp_path: Path) -> None:
        exports = write_exports(tmp_path)
        records = [result for result in read(exports.hospital) if isinstance(result, SourceRecord)]
        assert len(records) == len(read(exports.hospital)) == 40
        assert len({record.natural_key for record in records}) == 40
        visits = Counter(record.patient_no for record in records)
        assert visits == {person.patient_no: person.visits for person in DEMO_PEOPLE}
        assert not any(record.doubts for record in records)
        assert {record.record_type for record in records} == {"health.medical_bill"}
        assert Counter(record.data["care_type"] for record in records) == {"outpatient": 39, "discharge": 1}

    def test_each_person_has_a_policy_of_the_fourth_generation(self, tmp_path: Path) -> None:
        records = [one for one in read(write_exports(tmp_path).policies) if isinstance(one, SourceRecord)]
        assert [record.patient_no for record in records] == [person.member_no for person in DEMO_PEOPLE]
        assert [record.data["insured"]["name"] for record in records] == [p.name for p in DEMO_PEOPLE]
        assert {record.data["generation"] for record in records} == {4}
        assert {record.data["insurer_name"] for record in records} == {"한빛손해보험"}
        assert "member_no" not in records[0].data

    def test_the_first_person_has_three_outpatient_visits_in_november(self, tmp_path: Path) -> None:
        records = [one for one in read(write_exports(tmp_path).hospital) if isinstance(one, SourceRecord)]
        own = [record.data for record in records if record.patient_no == "P-0001"]
        november = [bill for bill in own if bill["period"]["from"].startswith("2026-11")]
        assert len(november) == 3
        assert {bill["institution"]["hira_code"] for bill in november} == {"11100079"}
        assert {bill["care_type"] for bill in november} == {"outpatient"}

    def test_the_first_persons_claim_needs_nobody_to_look_at_it(self, tmp_path: Path) -> None:
        exports = write_exports(tmp_path)
        paths = (exports.hospital, exports.policies)
        records = [one for path in paths for one in read(path) if isinstance(one, SourceRecord)]
        own = [record.data for record in records if record.patient_no in {"P-0001", "M-0001"}]
        *bills, policy = own
        claim = compute(policy, bills)
        assert (claim.status, len(bills)) == ("approved", 12)
        assert claim.payable > 0

    def test_the_same_seed_gives_the_same_bytes_and_another_another(self, tmp_path: Path) -> None:
        one, two, other = (
            write_exports(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
        )
        assert one.hospital.read_bytes() == two.hospital.read_bytes() != other.hospital.read_bytes()
        assert one.policies.read_bytes() == two.policies.read_bytes()

    @pytest.mark.parametrize("seed", range(25))
    def test_every_seed_gives_valid_bills(self, tmp_path: Path, seed: int) -> None:
        results = read(write_exports(tmp_path, seed).hospital)
        assert Counter(type(result) for result in results) == {SourceRecord: 40}

    def test_the_corrected_export_differs_in_one_bill_under_its_old_number(self, tmp_path: Path) -> None:
        path = write_exports(tmp_path, corrected=True).hospital
        first, second = (
            {one.natural_key: one.data for one in read(export) if isinstance(one, SourceRecord)}
            for export in (write_exports(tmp_path).hospital, path)
        )
        assert path.name == "hospital-corrected.jsonl"
        assert first.keys() == second.keys()
        (changed,) = [key for key in first if first[key] != second[key]]
        assert second[changed]["totals"]["total"] == first[changed]["totals"]["total"] + 24_600

    def test_no_resident_registration_number_is_in_it(self, tmp_path: Path) -> None:
        for path in write_exports(tmp_path):
            for line in path.read_text().splitlines():
                strings = [line, *map(str, json.loads(line).values())]
                assert not any(map(looks_like_rrn, strings))

    def test_the_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(tmp_path), "--seed", "5", "--corrected"]) == 0
        assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [
            "hospital-corrected.jsonl",
            "policies.jsonl",
            "hospital-details-corrected.jsonl",
            "hospital-prescriptions.jsonl",
            "pharmacy.jsonl",
        ]


def test_every_source_has_a_format_and_a_record_type_of_the_catalogue() -> None:
    sources = all_sources()
    holders = {"seoul-hospital", "hanbit-pharmacy", "hanbit-clinic", "insurance-register"}
    holders |= {
        "tax-office",
        "employment-office",
        "hanbit-bank",
        "credit-bureau",
        "court-registry",
        "city-hall",
    }
    assert {source.holder_id for source in sources} == holders
    assert len({source.format for source in sources}) == len(sources)
    assert all(source.record_type in CATALOGUE.codes() for source in sources)


@pytest.mark.parametrize(
    ("codes", "path"),
    [
        (hospital.CATEGORIES, "lines[].category"),
        (hospital.CARE_TYPES, "care_type"),
        (hospital.PATIENT_CLASSES, "patient_class"),
        (hospital.NIGHT_HOLIDAY, "night_holiday"),
    ],
)
def test_the_hospitals_codes_cover_ours(codes: dict[str, str], path: str) -> None:
    assert set(codes.values()) == set(CATALOGUE.get("health.medical_bill").value_labels[path])


@pytest.mark.parametrize("today", [date(2026, 11, 23), date(2027, 6, 1), date(2031, 2, 28), date(2026, 3, 2)])
def test_the_exports_can_be_of_another_day(tmp_path: Path, today: date) -> None:
    """A demo in another year has visits of its own last weeks, and every record in it holds."""
    for path in write_exports(tmp_path, today=today):
        lines = list(source_of(path).read(path, CATALOGUE))
        assert [line for line in lines if not isinstance(line, SourceRecord)] == []
        days = [date.fromisoformat(line.as_of or "") for line in lines if isinstance(line, SourceRecord)]
        assert all(timedelta(0) <= today - day < timedelta(weeks=1) for day in days)


def test_a_moved_export_is_the_same_but_for_its_days() -> None:
    told = {"RCPT_NO": "20261110-0031", "FR_YMD": "20261110", "AMT": "20,261,110", "HANG": ["2026-11-10", 7]}
    assert moved(told, 1) == told | {"RCPT_NO": "20261117-0031", "FR_YMD": "20261117"}
