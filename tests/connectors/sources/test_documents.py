"""What belongs to bills: detailed bills, prescriptions, pharmacy bills. Faults first, then the demo."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import SourceRefusedError
from connectors.services.indemnity.claim import Claim, compute
from connectors.sources import hospital_documents
from connectors.sources.base import SourceFault, SourceRecord
from connectors.sources.catalog import source_of
from connectors.sources.demo_documents import customer_no
from connectors.sources.demo_hospital import Exports, write_exports
from connectors.sources.demo_people import DEMO_PEOPLE, DemoPerson
from vault.errors import Fault
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
KINDS = ("details", "prescriptions", "pharmacy")
Line = dict[str, Any]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return write_exports(tmp_path_factory.mktemp("exports"))


def read(path: Path) -> list[SourceRecord | SourceFault]:
    return list(source_of(path).read(path, CATALOGUE))


def records(path: Path) -> list[SourceRecord]:
    return [one for one in read(path) if isinstance(one, SourceRecord)]


def faults(folder: Path, path: Path, edit: Callable[[Line], object]) -> set[tuple[str, str]]:
    """(path, rule) of the faults of the first line after the header, once it is edited."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    edit(lines[1])
    edited = folder / "edited.jsonl"
    edited.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    results = read(edited)
    found = [one for one in results if isinstance(one, SourceFault)]
    assert {fault.place for fault in found} == {"line 2"}
    assert len(results) - len(found) == len(lines) - 2
    return {(fault.path, fault.rule) for fault in found}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_institution_is_refused(tmp_path: Path, exports: Exports, kind: str) -> None:
    path: Path = getattr(exports, kind)
    header, *lines = path.read_text().splitlines()
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text("\n".join([json.dumps(json.loads(header) | {"hira_code": "31100079"}), *lines]))
    with pytest.raises(SourceRefusedError) as caught:
        read(foreign)
    assert list(caught.value.faults) == [Fault("$.hira_code", "foreign_institution")]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda one: one.pop("RCPT_NO"), {("$.RCPT_NO", "required")}),
        (lambda one: one.update(BIGO="\x07"), {("$.BIGO", "pattern")}),
        (lambda one: one["SEBU"][0].update(HOISU="1/2"), {("$.SEBU[0].HOISU", "not_a_quantity")}),
        (lambda one: one["SEBU"][0].update(ILSU="0"), {("$.SEBU[0].ILSU", "minimum")}),
        (lambda one: one["SEBU"][0].update(SP_GB="9"), {("$.SEBU[0].SP_GB", "unknown_code")}),
        (lambda one: one["SEBU"][0].update(TOT_AMT="-1"), {("$.SEBU[0].TOT_AMT", "not_a_whole_number")}),
        (lambda one: one["SEBU"][0].update(SIL_YMD="20200101"), {("$.SEBU", "rows_within_period")}),
        (lambda one: one.update(TOT_AMT="1"), {("$.TOT_AMT", "amounts_add_up")}),
        (lambda one: one.update(BIGUB_TOT="999,999"), {("$.BIGUB_TOT", "noncovered_adds_up")}),
    ],
)
def test_a_bad_detailed_bill(
    tmp_path: Path, exports: Exports, edit: Callable[[Line], object], expected: set[tuple[str, str]]
) -> None:
    assert faults(tmp_path, exports.details, edit) == expected


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda one: one.update(RX_NO="2026"), {("$.RX_NO", "not_a_prescription_number")}),
        (lambda one: one.update(RX_NO="2026023000001"), {("$.RX_NO", "not_a_prescription_number")}),
        (lambda one: one.update(DX_CDS="기침"), {("$.kcd_codes[0]", "format")}),
        (lambda one: one.update(DR_GB="9"), {("$.DR_GB", "unknown_code")}),
        (lambda one: one.update(DR_NO="면허"), {("$.DR_NO", "pattern")}),
        (lambda one: one["YAK"][0].update(YAK_CD="12"), {("$.YAK[0].YAK_CD", "format")}),
        (lambda one: one["YAK"][0].update(DOSE="half"), {("$.YAK[0].DOSE", "not_a_quantity")}),
        (lambda one: one.update(PHM_NM="한빛약국", PHM_DR="유정아"), {("$.PHM_YMD", "required")}),
        (
            lambda one: one.update(PHM_NM="한빛약국", PHM_DR="유정아", PHM_YMD="20200101"),
            {("$.PHM_YMD", "dispensed_after_issue")},
        ),
    ],
)
def test_a_bad_prescription(
    tmp_path: Path, exports: Exports, edit: Callable[[Line], object], expected: set[tuple[str, str]]
) -> None:
    assert faults(tmp_path, exports.prescriptions, edit) == expected


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda one: one.pop("JOJE_YMD"), {("$.JOJE_YMD", "required")}),
        (lambda one: one.update(RX_NO="?"), {("$.RX_NO", "not_a_prescription_number")}),
        (lambda one: one.update(RX_HSP_CD="1"), {("$.RX_HSP_CD", "format")}),
        (
            lambda one: (one.pop("RX_HSP_CD", None), one.update(RX_HSP_NM="서울한빛병원")),
            {("$.RX_HSP_CD", "required")},
        ),
        (lambda one: one.update(TOT_AMT="1"), {("$.TOT_AMT", "total_adds_up")}),
        (lambda one: one.update(MINAP_AMT="1"), {("$.MINAP_AMT", "payments_add_up")}),
    ],
)
def test_a_bad_pharmacy_bill(
    tmp_path: Path, exports: Exports, edit: Callable[[Line], object], expected: set[tuple[str, str]]
) -> None:
    assert faults(tmp_path, exports.pharmacy, edit) == expected


def test_what_may_be_missing(tmp_path: Path, exports: Exports) -> None:
    lines = [json.loads(line) for line in exports.pharmacy.read_text().splitlines()]
    for name in ("RX_NO", "RX_HSP_CD", "RX_HSP_NM"):
        lines[1].pop(name, None)
    path = tmp_path / "pharmacy.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (first, *_) = records(path)
    assert {"prescription_no", "prescribed_by"}.isdisjoint(first.data)
    lines = [json.loads(line) for line in exports.policies.read_text().splitlines()]
    for name in ("USE_OWN_AMT", "USE_MT_AMT", "USE_MT_CNT", "USE_MRI_AMT", "USE_MRI_CNT"):
        del lines[1][name]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (first, *_) = records(path)
    assert "injection" in first.data["ytd_used"]
    assert {"inpatient_own_share", "manual_therapy", "mri"}.isdisjoint(first.data["ytd_used"])


def test_a_dispensed_prescription_says_where(tmp_path: Path, exports: Exports) -> None:
    lines = [json.loads(line) for line in exports.prescriptions.read_text().splitlines()]
    lines[1] |= {"PHM_NM": "한빛약국", "PHM_DR": "유정아", "PHM_YMD": lines[1]["RX_YMD"], "DX_CDS": ""}
    path = tmp_path / "prescriptions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (first, *_) = records(path)
    assert first.data["dispensing"]["pharmacy"] == "한빛약국"
    assert first.data["kcd_codes"] == []


@pytest.mark.parametrize(
    ("codes", "record_type", "path"),
    [
        (hospital_documents.SPECIAL, "health.medical_bill_detail", "rows[].special"),
        (hospital_documents.LICENCES, "health.prescription", "prescriber.licence_type"),
        (hospital_documents.BENEFITS, "health.prescription", "drugs[].benefit_type"),
    ],
)
def test_the_hospitals_codes_cover_ours(codes: dict[str, str], record_type: str, path: str) -> None:
    assert list(codes.values()) == list(CATALOGUE.get(record_type).value_labels[path])


class TestTheDemo:
    def claim(self, exports: Exports, person: DemoPerson) -> Claim:
        own = {person.patient_no, person.member_no, customer_no(person.patient_no)}
        data = {
            kind: [one.data for one in records(getattr(exports, kind)) if one.patient_no in own]
            for kind in ("hospital", "policies", *KINDS)
        }
        (policy,) = data["policies"]
        return compute(
            policy,
            data["hospital"],
            details=data["details"],
            prescriptions=data["prescriptions"],
            pharmacy_bills=data["pharmacy"],
        )

    @pytest.mark.parametrize("person", DEMO_PEOPLE, ids=lambda one: one.member_no)
    def test_with_everything_at_hand_nobody_has_to_look(self, exports: Exports, person: DemoPerson) -> None:
        claim = self.claim(exports, person)
        assert (claim.status, claim.reasons) == ("approved", ())
        rules = {entry.rule_id for entry in claim.lines}
        assert ("gen4.covered.inpatient" in rules) == person.has_stay
        assert ("gen4.special.manual_therapy" in rules) == ("재활의학과" in person.departments)

    @pytest.mark.parametrize("seed", range(10))
    def test_every_seed_gives_valid_documents_that_fit(self, tmp_path: Path, seed: int) -> None:
        exports = write_exports(tmp_path, seed)
        assert all(isinstance(one, SourceRecord) for kind in KINDS for one in read(getattr(exports, kind)))
        assert not any(one.doubts for kind in KINDS for one in records(getattr(exports, kind)))
        numbers = [[one.natural_key for one in records(getattr(exports, kind))] for kind in KINDS]
        assert all(len(set(some)) == len(some) > 0 for some in numbers)
        bills = {one.natural_key: one.data for one in records(exports.hospital)}
        details = {one.natural_key: one.data for one in records(exports.details)}
        assert bills.keys() == details.keys()
        for number, bill in bills.items():
            assert details[number]["totals"]["amount"] == bill["totals"]["total"]
        visits = {(bill["patient"]["patient_no"], bill["period"]["from"]) for bill in bills.values()}
        for one in records(exports.prescriptions):
            assert (one.patient_no, one.data["issue_date"]) in visits
        issued = {one.natural_key for one in records(exports.prescriptions)}
        assert {one.data["prescription_no"] for one in records(exports.pharmacy)} <= issued

    def test_the_corrected_export_corrects_one_detailed_bill(self, tmp_path: Path, exports: Exports) -> None:
        corrected = write_exports(tmp_path, corrected=True)
        before = {one.natural_key: one.data for one in records(exports.details)}
        after = {one.natural_key: one.data for one in records(corrected.details)}
        (changed,) = [number for number in before if before[number] != after[number]]
        assert after[changed]["totals"]["amount"] == before[changed]["totals"]["amount"] + 24_600
        assert corrected.prescriptions.read_bytes() == exports.prescriptions.read_bytes()
        assert corrected.pharmacy.read_bytes() == exports.pharmacy.read_bytes()
