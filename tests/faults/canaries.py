"""What the canary test plants: values that stand nowhere else, and the records that carry them.

All of it is invented. The resident registration number has the shape of one of somebody born in 1888.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from connectors.sources import demo_documents, demo_hospital, hospital, hospital_documents, insurance_register
from connectors.sources.demo_people import DemoPerson

NAME: Final = "제갈뽀미"
LATIN_NAME: Final = "Jegal-Bbomi-Quenzelwick"
USERNAME: Final = "Bbomi.Quenzel.9173"
PASSWORD: Final = "곰솔-qx-Wort-6604"
RRN: Final = "880229-9740193"
BARE_RRN: Final = "8802299740193"
ACCOUNT: Final = "302-7719-846501"
BARE_ACCOUNT: Final = "3027719846501"
PHONE: Final = "010-9173-8264"
BARE_PHONE: Final = "01091738264"
CLINIC: Final = "샛별뜰곰솔의원"
CLINIC_PHONE: Final = "044-9173-5528"
ADDRESS: Final = "세종특별자치시 곰솔뜰로 918번길 27"
DEPARTMENT: Final = "곰솔신경외과"
KCD: Final = "Z97.846Q"
DOCTOR: Final = "독고쌍철"
DRUG: Final = "뽀미솔정 이십오밀리그램"
TREATMENT: Final = "곰솔뜰 도수치료"
PATIENT_NO: Final = "PZ-QX7741902"
CLINIC_NO: Final = "KZ-QX5508317"
MEMBER_NO: Final = "MZ-QX3347120"
POLICY_NO: Final = "HBZ-QX-60418"
PRODUCT: Final = "뽀미안심실손보험"
STRANGER: Final = "남궁쌔롬"
STRANGER_NO: Final = "PZ-QX9990001"
FIELD: Final = "QXFIELD_뽀미메모"
REASON: Final = "뽀미 님이 전화로 물으심"
KEY: Final = "QXKEY-9173-Quenzelwick"

TEXTS: Final[Mapping[str, str]] = {
    "name": NAME,
    "Latin name": LATIN_NAME,
    "username": USERNAME,
    "password": PASSWORD,
    "RRN": RRN,
    "RRN without hyphen": BARE_RRN,
    "account": ACCOUNT,
    "account without hyphens": BARE_ACCOUNT,
    "phone": PHONE,
    "phone without hyphens": BARE_PHONE,
    "clinic": CLINIC,
    "clinic's phone": CLINIC_PHONE,
    "address": ADDRESS,
    "department": DEPARTMENT,
    "KCD code": KCD,
    "doctor": DOCTOR,
    "drug": DRUG,
    "treatment": TREATMENT,
    "patient number": PATIENT_NO,
    "clinic's number": CLINIC_NO,
    "member number": MEMBER_NO,
    "policy number": POLICY_NO,
    "product": PRODUCT,
    "stranger's name": STRANGER,
    "stranger's number": STRANGER_NO,
    "unknown field": FIELD,
    "reason of the staff": REASON,
    "idempotency key": KEY,
}


class Visit(NamedTuple):
    """One bill: its number, and its only amount in won."""

    bill_no: str
    won: int

    @property
    def amount(self) -> str:
        """As the hospital's system writes it."""
        return f"{self.won:,}"


ASKED: Final = Visit("QXB-ASKED-4471", 918_273_645)
PUSHED: Final = Visit("QXB-PUSHED-4472", 827_364_519)
FILED: Final = Visit("QXB-FILED-4473", 736_451_928)
IN_CSV: Final = Visit("QXB-CSV-4474", 645_192_837)
WRONG_TOTAL: Final = Visit("QXB-TOTAL-4475", 591_827_364)
OTHER_NAME: Final = Visit("QXB-NAME-4476", 482_736_915)
UNLINKED: Final = Visit("QXB-STRANGE-4477", 376_491_825)
WITH_RRN: Final = Visit("QXB-RRN-4478", 264_918_375)
WITH_FIELD: Final = Visit("QXB-FIELD-4479", 195_837_264)
CONTRADICTED: Final = Visit("QXB-TWICE-4480", 718_264_593)
BROKEN: Final = Visit("QXB-BROKEN-4481", 853_719_264)
VISITS: Final = (
    ASKED,
    PUSHED,
    FILED,
    IN_CSV,
    WRONG_TOTAL,
    OTHER_NAME,
    UNLINKED,
    WITH_RRN,
    WITH_FIELD,
    CONTRADICTED,
    BROKEN,
)

# Everything at once, for requests that nobody can understand.
EVERYTHING: Final = " ".join([*TEXTS.values(), *(f"{one.bill_no} {one.won}" for one in VISITS)])


def planted() -> dict[str, str]:
    """Every planted value by what a report calls it; amounts with and without commas."""
    values = dict(TEXTS)
    for visit in VISITS:
        values[visit.bill_no.split("-")[1].lower() + " bill"] = visit.bill_no
        values[visit.bill_no.split("-")[1].lower() + " amount"] = str(visit.won)
        values[visit.bill_no.split("-")[1].lower() + " amount with commas"] = visit.amount
    return values


def day() -> date:
    """The day of every visit: five days ago in Korea."""
    return (datetime.now(UTC) + timedelta(hours=9)).date() - timedelta(days=5)


def header(document_format: str = hospital.FORMAT) -> dict[str, Any]:
    """What stands above the hospital's documents."""
    return {
        "format": document_format,
        "version": 1,
        "hira_code": "11100079",
        "exported_on": f"{day():%Y%m%d}",
        "hosp_nm": CLINIC,
        "jong_cd": "11",
        "biz_no": "220-82-10073",
        "addr": ADDRESS,
        "tel": CLINIC_PHONE,
    }


def bill(visit: Visit, **changes: str) -> dict[str, Any]:
    """A bill in the hospital's own field names."""
    nothing = dict.fromkeys(("GONG_TOT", "SANGHAN_AMT", "CASHR_AMT", "CASH_AMT", "MINAP_AMT"), "0")
    return {
        "RCPT_NO": visit.bill_no,
        "ISS_YMD": f"{day():%Y%m%d}",
        "TRT_GB": "O",
        "PT_NO": PATIENT_NO,
        "PT_NM": NAME,
        "DEPT_NM": DEPARTMENT,
        "FR_YMD": f"{day():%Y%m%d}",
        "TO_YMD": f"{day():%Y%m%d}",
        "NGHT_GB": "0",
        "INS_GB": "10",
        "HANG": [
            {"HANG_CD": "01", "BON_AMT": "0", "GONG_AMT": "0", "JEON_AMT": "0", "BIGUB_AMT": visit.amount}
        ],
        "TOT_AMT": visit.amount,
        "PT_TOT": visit.amount,
        "CARD_AMT": visit.amount,
        **nothing,
        **changes,
    }


def doubtful_bills() -> list[dict[str, Any]]:
    """Bills that are refused or kept apart, each for its own reason."""
    return [
        bill(WRONG_TOTAL, TOT_AMT="1"),
        bill(OTHER_NAME, PT_NM=STRANGER),
        bill(UNLINKED, PT_NO=STRANGER_NO, PT_NM=LATIN_NAME),
        bill(WITH_RRN, DEPT_NM=f"{RRN} {BARE_RRN}", RCPT_NO=BARE_RRN),
        bill(WITH_FIELD, **{FIELD: PHONE}),
        bill(CONTRADICTED),
        bill(CONTRADICTED, DEPT_NM=DOCTOR),
    ]


def documents(visit: Visit) -> dict[str, dict[str, Any]]:
    """A visit's bill, detailed bill and prescription, by format."""
    detail = demo_documents.detail(bill(visit), 1)
    remarks = f"{LATIN_NAME} {ACCOUNT} {BARE_ACCOUNT} {PHONE} {BARE_PHONE}"
    drug = {"YAK_CD": "645900010", "YAK_NM": DRUG, "DOSE": "1", "TIMES": "3", "DAYS": "3", "PAY_GB": "1"}
    return {
        hospital.FORMAT: bill(visit),
        hospital_documents.DETAILS_FORMAT: {
            **detail,
            "SEBU": [{**row, "EDI_NM": TREATMENT} for row in detail["SEBU"]],
            "BIGO": remarks,
        },
        hospital_documents.PRESCRIPTIONS_FORMAT: {
            "RX_NO": f"{day():%Y%m%d}00918",
            "RX_YMD": f"{day():%Y%m%d}",
            "PT_NO": PATIENT_NO,
            "PT_NM": NAME,
            "DX_CDS": KCD,
            "DR_NM": DOCTOR,
            "DR_GB": "1",
            "DR_NO": "90017",
            "YAK": [drug],
            "VALID_DAYS": "3",
        },
    }


def write_files(folder: Path) -> list[Path]:
    """The files of hospital, register and clinic: good, bad, doubtful and broken lines, in both encodings."""
    folder.mkdir()
    person = DemoPerson(NAME, PATIENT_NO, MEMBER_NO, POLICY_NO, "20240110", 1, 0, (DEPARTMENT, DEPARTMENT))
    register = {
        "format": insurance_register.FORMAT,
        "version": 1,
        "exported_on": f"{day():%Y%m%d}",
        "org_code": "IR00000001",
    }
    policy = {**demo_hospital._policy(person), "GDS_NM": PRODUCT}
    broken = json.dumps(bill(BROKEN), ensure_ascii=False)[:-2]
    return [
        _lines(folder / "hospital.jsonl", [header(), bill(FILED), *doubtful_bills(), broken]),
        _lines(folder / "policies.jsonl", [register, policy]),
        _csv(
            folder / "clinic.csv", [_row(IN_CSV), _row(WRONG_TOTAL, 진료비총액="1"), _broken_row()], "cp949"
        ),
        _csv(folder / "strangers.csv", [_row(UNLINKED, 환자번호=STRANGER_NO, 환자명=STRANGER)], "utf-8"),
        _csv(folder / "columns.csv", [_row(BROKEN, **{FIELD: PHONE})], "cp949"),
    ]


def _row(visit: Visit, **changes: str) -> dict[str, str]:
    """A bill in the clinic's columns."""
    when = day().isoformat()
    nothing = dict.fromkeys(("공단부담총액", "상한액초과금", "현금영수증", "현금", "미납금"), "0")
    return {
        "요양기관기호": "31100023",
        "영수증번호": visit.bill_no,
        "발급일": when,
        "진료구분": "외래",
        "환자번호": CLINIC_NO,
        "환자명": NAME,
        "진료과": DEPARTMENT,
        "진료시작일": when,
        "진료종료일": when,
        "야간공휴": "해당없음",
        "보험유형": "건강보험",
        "초음파_비급여": visit.amount,
        "진료비총액": visit.amount,
        "환자부담총액": visit.amount,
        "카드": visit.amount,
        **nothing,
        **changes,
    }


def _broken_row() -> dict[str, str]:
    return _row(BROKEN, 진료시작일=RRN, 진료구분=PHONE, 카드=BARE_ACCOUNT, 진료과=BARE_RRN)


def _lines(path: Path, lines: Sequence[Mapping[str, Any] | str]) -> Path:
    texts = (one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in lines)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def _csv(path: Path, rows: Sequence[Mapping[str, str]], encoding: str) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path
