"""서울한빛병원: detailed bills and prescriptions from the exports of its hospital system, in its names."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.hospital import CATEGORIES, HEADER, PATIENT_CLASSES, only_of
from connectors.sources.mapping import (
    Column,
    RefusedValueError,
    Rows,
    Table,
    coded,
    day,
    identifier,
    text,
    whole,
)
from vault.identifiers import prescription_day

DETAILS_FORMAT: Final = "seoul-hospital-details-export"
PRESCRIPTIONS_FORMAT: Final = "seoul-hospital-prescriptions-export"
VERSION: Final = 1

SPECIAL: Final = MappingProxyType({"0": "none", "1": "manual_therapy", "2": "injection", "3": "mri"})
LICENCES: Final = MappingProxyType({"1": "doctor", "2": "dentist", "3": "korean_medicine"})
BENEFITS: Final = MappingProxyType({"1": "covered", "2": "full_self", "3": "noncovered"})

_QUANTITY: Final = re.compile(r"(?:0|[1-9][0-9]{0,3})(?:\.[0-9]{1,4})?")
_INSTITUTION: Final = ("hira_code", "name", "grade", "brn")


def quantity(value: str) -> str:
    """A quantity such as 1 or 0.5. It stays text: nothing is rounded."""
    if _QUANTITY.fullmatch(value) is None:
        raise RefusedValueError("not_a_quantity")
    return value


def codes(value: str) -> list[str]:
    """Codes with commas between them; none at all is an empty list."""
    return [code.strip() for code in value.split(",")] if value.strip() else []


def prescription_number(value: str) -> str:
    """`YYYYMMDDNNNNN`, with or without a dash, to `YYYYMMDD-NNNNN`.

    The dash stays: thirteen digits in a row could be taken for a resident registration number.
    """
    if prescription_day(value) is None:
        raise RefusedValueError("not_a_prescription_number")
    digits = value.replace("-", "")
    return f"{digits[:8]}-{digits[8:]}"


_DETAIL: Final = (
    Column("RCPT_NO", "bill_no", identifier),
    Column("ISS_YMD", "issue_date", day),
    Column("PT_NO", "patient.patient_no", identifier),
    Column("PT_NM", "patient.name", text),
    Column("FR_YMD", "period.from", day),
    Column("TO_YMD", "period.to", day),
    Column("WARD_NM", "room", text, is_required=False),
    Column("INS_GB", "patient_class", coded(PATIENT_CLASSES)),
    Rows(
        "SEBU",
        "rows",
        (
            Column("HANG_CD", "category", coded(CATEGORIES)),
            Column("SIL_YMD", "date", day),
            Column("EDI_CD", "code", text, is_required=False),
            Column("EDI_NM", "name", text),
            Column("DANGA", "unit_price", whole),
            Column("HOISU", "count", quantity),
            Column("ILSU", "days", whole),
            Column("TOT_AMT", "amount", whole),
            Column("BON_AMT", "covered_copay", whole),
            Column("GONG_AMT", "covered_nhis", whole),
            Column("JEON_AMT", "covered_full_self", whole),
            Column("BIGUB_AMT", "noncovered", whole),
            Column("SP_GB", "special", coded(SPECIAL), is_required=False),
        ),
    ),
    Column("TOT_AMT", "totals.amount", whole),
    Column("BON_TOT", "totals.covered_copay", whole),
    Column("GONG_TOT", "totals.covered_nhis", whole),
    Column("JEON_TOT", "totals.covered_full_self", whole),
    Column("BIGUB_TOT", "totals.noncovered", whole),
    Column("BIGO", "remarks", text, is_required=False),
)

_PRESCRIPTION: Final = (
    Column("RX_NO", "issue_no", prescription_number),
    Column("RX_YMD", "issue_date", day),
    Column("PT_NO", "patient.patient_no", identifier),
    Column("PT_NM", "patient.name", text),
    Column("DX_CDS", "kcd_codes", codes),
    Column("DR_NM", "prescriber.name", text),
    Column("DR_GB", "prescriber.licence_type", coded(LICENCES)),
    Column("DR_NO", "prescriber.licence_no", text),
    Rows(
        "YAK",
        "drugs",
        (
            Column("YAK_CD", "code", text),
            Column("YAK_NM", "name", text),
            Column("DOSE", "dose", quantity),
            Column("TIMES", "times_per_day", whole),
            Column("DAYS", "days", whole),
            Column("USAGE", "usage", text, is_required=False),
            Column("PAY_GB", "benefit_type", coded(BENEFITS)),
        ),
    ),
    Column("VALID_DAYS", "valid_days", whole),
    Column("PHM_NM", "dispensing.pharmacy", text, is_required=False),
    Column("PHM_DR", "dispensing.pharmacist", text, is_required=False),
    Column("PHM_YMD", "dispensing.dispensed_on", day, is_required=False),
)


def details_source(holder_id: str, hira_code: str) -> ExportSource:
    """The detailed bills of one hospital with this system; a file of another hospital is refused."""
    return _source(
        holder_id, hira_code, DETAILS_FORMAT, record_type="health.medical_bill_detail", table=_DETAIL
    )


def prescriptions_source(holder_id: str, hira_code: str) -> ExportSource:
    """The prescriptions of one hospital with this system; a file of another hospital is refused."""
    record_type = "health.prescription"
    return _source(holder_id, hira_code, PRESCRIPTIONS_FORMAT, record_type=record_type, table=_PRESCRIPTION)


def _source(
    holder_id: str, hira_code: str, export_format: str, *, record_type: str, table: Table
) -> ExportSource:
    return ExportSource(
        format=export_format,
        version=VERSION,
        holder_id=holder_id,
        record_type=record_type,
        header_table=HEADER,
        table=table,
        check_header=only_of(hira_code),
        assemble=_assemble,
        institution_no=hira_code,
    )


def _assemble(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    told = header["institution"]
    data = {**mapped, "institution": {name: told[name] for name in _INSTITUTION}}
    if not data.get("dispensing"):  # not dispensed yet, as far as the hospital knows
        data.pop("dispensing", None)
    patient = mapped["patient"]
    return Person(patient.get("patient_no", ""), patient.get("name")), data
