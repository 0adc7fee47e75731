"""서울한빛병원: medical bills from the export of its hospital system, in that system's own field names."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.mapping import Column, Rows, business_number, coded, day, identifier, text, whole
from vault.errors import Fault
from vault.identifiers import INSTITUTION_GRADES

FORMAT: Final = "seoul-hospital-export"
VERSION: Final = 1

CARE_TYPES: Final = MappingProxyType({"O": "outpatient", "I": "inpatient", "D": "discharge", "M": "interim"})
NIGHT_HOLIDAY: Final = MappingProxyType({"0": "none", "1": "night", "2": "holiday"})
PATIENT_CLASSES: Final = MappingProxyType(
    {"10": "national_health", "20": "medical_aid", "30": "motor", "40": "work_accident", "50": "uninsured"}
)
CATEGORIES: Final = MappingProxyType(
    {
        "01": "consultation",
        "02": "room_single",
        "03": "room_double",
        "04": "room_ward",
        "05": "meal",
        "06": "medication_service",
        "07": "medication_drug",
        "08": "injection_service",
        "09": "injection_drug",
        "10": "anaesthesia",
        "11": "procedure",
        "12": "laboratory",
        "13": "imaging",
        "14": "radiotherapy",
        "15": "materials",
        "16": "rehabilitation",
        "17": "psychotherapy",
        "18": "blood",
        "19": "ct",
        "20": "mri",
        "21": "pet",
        "22": "ultrasound",
        "23": "prosthetics",
        "24": "certificate",
        "25": "selective_benefit",
        "26": "fixed_fee",
        "27": "bundled_fee",
        "99": "other",
    }
)

HEADER: Final = (
    Column("exported_on", "exported_on", day),
    Column("hira_code", "institution.hira_code", text),
    Column("hosp_nm", "institution.name", text),
    Column("jong_cd", "institution.grade", coded({grade: grade for grade in INSTITUTION_GRADES})),
    Column("biz_no", "institution.brn", business_number),
    Column("addr", "institution.address", text, is_required=False),
    Column("tel", "institution.tel", text, is_required=False),
)

_BILL: Final = (
    Column("RCPT_NO", "bill_no", identifier),
    Column("ISS_YMD", "issue_date", day),
    Column("TRT_GB", "care_type", coded(CARE_TYPES)),
    Column("PT_NO", "patient.patient_no", identifier),
    Column("PT_NM", "patient.name", text),
    Column("DEPT_NM", "department", text),
    Column("FR_YMD", "period.from", day),
    Column("TO_YMD", "period.to", day),
    Column("NGHT_GB", "night_holiday", coded(NIGHT_HOLIDAY)),
    Column("INS_GB", "patient_class", coded(PATIENT_CLASSES)),
    Rows(
        "HANG",
        "lines",
        (
            Column("HANG_CD", "category", coded(CATEGORIES)),
            Column("BON_AMT", "covered_copay", whole),
            Column("GONG_AMT", "covered_nhis", whole),
            Column("JEON_AMT", "covered_full_self", whole),
            Column("BIGUB_AMT", "noncovered", whole),
        ),
    ),
    Column("TOT_AMT", "totals.total", whole),
    Column("GONG_TOT", "totals.nhis_total", whole),
    Column("PT_TOT", "totals.patient_total", whole),
    Column("SANGHAN_AMT", "totals.over_cap", whole),
    Column("GINAP_AMT", "totals.paid_before", whole, is_required=False),
    Column("CARD_AMT", "totals.paid.card", whole),
    Column("CASHR_AMT", "totals.paid.cash_receipt", whole),
    Column("CASH_AMT", "totals.paid.cash", whole),
    Column("MINAP_AMT", "totals.unpaid", whole),
)


def hospital_source(holder_id: str, hira_code: str) -> ExportSource:
    """The source of one hospital with this system; a file of another hospital is refused."""
    return ExportSource(
        format=FORMAT,
        version=VERSION,
        holder_id=holder_id,
        record_type="health.medical_bill",
        header_table=HEADER,
        table=_BILL,
        check_header=only_of(hira_code),
        assemble=_assemble,
        institution_no=hira_code,
    )


def only_of(hira_code: str) -> Callable[[Mapping[str, Any]], list[Fault]]:
    """The check of a header that a file is of this institution."""

    def check(header: Mapping[str, Any]) -> list[Fault]:
        is_own = header["institution"]["hira_code"] == hira_code
        return [] if is_own else [Fault("$.hira_code", "foreign_institution")]

    return check


def _assemble(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    data = {**mapped, "institution": dict(header["institution"])}
    patient = mapped["patient"]
    return Person(patient.get("patient_no", ""), patient.get("name")), data
