"""한빛약국: pharmacy bills from the export of its dispensing system, in that system's own field names."""

from collections.abc import Mapping
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.hospital import PATIENT_CLASSES, only_of
from connectors.sources.hospital_documents import prescription_number
from connectors.sources.mapping import Column, business_number, coded, day, identifier, text, whole

FORMAT: Final = "hanbit-pharmacy-export"
VERSION: Final = 1

_PHARMACY_GRADE: Final = "81"

_HEADER: Final = (
    Column("exported_on", "exported_on", day),
    Column("hira_code", "institution.hira_code", text),
    Column("yak_nm", "institution.name", text),
    Column("biz_no", "institution.brn", business_number),
    Column("addr", "institution.address", text, is_required=False),
    Column("tel", "institution.tel", text, is_required=False),
)

_BILL: Final = (
    Column("RCPT_NO", "receipt_no", identifier),
    Column("JOJE_YMD", "dispense_date", day),
    Column("CUST_NO", "patient.patient_no", identifier),
    Column("CUST_NM", "patient.name", text),
    Column("RX_NO", "prescription_no", prescription_number, is_required=False),
    Column("RX_HSP_CD", "prescribed_by.hira_code", text, is_required=False),
    Column("RX_HSP_NM", "prescribed_by.name", text, is_required=False),
    Column("INS_GB", "patient_class", coded(PATIENT_CLASSES)),
    Column("BON_AMT", "amounts.covered_copay", whole),
    Column("GONG_AMT", "amounts.covered_nhis", whole),
    Column("JEON_AMT", "amounts.covered_full_self", whole),
    Column("BIGUB_AMT", "amounts.noncovered", whole),
    Column("TOT_AMT", "totals.total", whole),
    Column("PT_TOT", "totals.patient_total", whole),
    Column("CARD_AMT", "totals.paid.card", whole),
    Column("CASHR_AMT", "totals.paid.cash_receipt", whole),
    Column("CASH_AMT", "totals.paid.cash", whole),
    Column("MINAP_AMT", "totals.unpaid", whole),
)


def pharmacy_source(holder_id: str, hira_code: str) -> ExportSource:
    """The source of one pharmacy with this system; a file of another pharmacy is refused."""
    return ExportSource(
        format=FORMAT,
        version=VERSION,
        holder_id=holder_id,
        record_type="health.pharmacy_bill",
        header_table=_HEADER,
        table=_BILL,
        check_header=only_of(hira_code),
        assemble=_assemble,
        institution_no=hira_code,
    )


def _assemble(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    data = {**mapped, "institution": {**header["institution"], "grade": _PHARMACY_GRADE}}
    if not data["prescribed_by"]:  # the pharmacy did not note who prescribed
        del data["prescribed_by"]
    patient = mapped["patient"]
    return Person(patient.get("patient_no", ""), patient.get("name")), data
