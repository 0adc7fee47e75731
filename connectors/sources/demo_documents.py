"""Invents what belongs to the demo hospital's bills: detailed bills, prescriptions, and the pharmacy's bills.

Each is made from its bill and a randomness of its own, so that adding one changes no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from random import Random  # noqa: TID251 - repeatable invented data: the seed is an argument
from types import MappingProxyType
from typing import Any, Final

from connectors.sources import hospital

_SPECIAL_CATEGORY: Final = "rehabilitation"
_AMOUNTS: Final = ("BON_AMT", "GONG_AMT", "JEON_AMT", "BIGUB_AMT")
# Code and name of a row, by the category of its line.
_ROWS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "consultation": ("AA256", "재진진찰료(종합병원)"),
        "room_ward": ("AB260", "일반병실 입원료"),
        "meal": ("ZB010", "일반식"),
        "medication_service": ("J1010", "외래환자 조제료"),
        "medication_drug": ("645900010", "한빛소염제정"),
        "anaesthesia": ("L1211", "전신마취"),
        "procedure": ("M0111", "단순처치"),
        "laboratory": ("D2280", "일반혈액검사"),
        "imaging": ("G2101", "흉부 단순촬영"),
        "materials": ("BM1001HB", "치료재료"),
        "rehabilitation": ("MX122", "도수치료"),
        "ultrasound": ("EB414", "복부 초음파"),
        "certificate": ("PDZ09", "진단서"),
    }
)
_KCD: Final = MappingProxyType(
    {
        "내과": "J20.9",
        "이비인후과": "J30.4",
        "정형외과": "M54.5",
        "소아청소년과": "J06.9",
        "응급의학과": "R10.4",
        "재활의학과": "M75.1",
        "피부과": "L20.9",
        "안과": "H10.1",
    }
)
_DRUGS: Final = (
    ("645900010", "한빛소염제정", "1", "3"),
    ("645900020", "한빛기침약시럽", "0.5", "3"),
    ("645900030", "한빛위장약정", "1", "2"),
    ("645900040", "한빛항히스타민정", "1", "1"),
)
_DOCTORS: Final = (("오세진", "90017"), ("문가온", "90031"), ("류한솔", "90052"))
_DISPENSED_SHARE: Final = 30  # per cent of covered drugs that a patient pays


def detail(bill: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The detailed bill of a bill, both as the hospital's system writes them. The sums agree."""
    random = _random(seed, "detail", bill)
    first, last = _day(bill["FR_YMD"]), _day(bill["TO_YMD"])
    rows = [row for line in bill["HANG"] for row in _rows(random, line, (first, last))]
    sums = {name: sum(row[name] for row in rows) for name in _AMOUNTS}
    return {
        "RCPT_NO": bill["RCPT_NO"],
        "ISS_YMD": bill["ISS_YMD"],
        "PT_NO": bill["PT_NO"],
        "PT_NM": bill["PT_NM"],
        "FR_YMD": bill["FR_YMD"],
        "TO_YMD": bill["TO_YMD"],
        "WARD_NM": "외래" if first == last else "6인실 501호",
        "INS_GB": bill["INS_GB"],
        "SEBU": [_as_text(row) for row in rows],
        **_as_text(
            {
                "TOT_AMT": sum(sums.values()),
                "BON_TOT": sums["BON_AMT"],
                "GONG_TOT": sums["GONG_AMT"],
                "JEON_TOT": sums["JEON_AMT"],
                "BIGUB_TOT": sums["BIGUB_AMT"],
            }
        ),
    }


def prescriptions(bills: Sequence[Mapping[str, Any]], seed: int) -> Iterator[dict[str, Any]]:
    """Prescriptions of about two in three visits, in the order of the bills. A stay has none."""
    for bill in bills:
        random = _random(seed, "prescription", bill)
        if bill["TRT_GB"] != "O" or random.randint(1, 3) == 1:
            continue
        doctor, licence = random.choice(_DOCTORS)
        yield {
            "RX_NO": bill["FR_YMD"] + "0" + bill["RCPT_NO"][-4:],
            "RX_YMD": bill["FR_YMD"],
            "PT_NO": bill["PT_NO"],
            "PT_NM": bill["PT_NM"],
            "DX_CDS": _KCD[bill["DEPT_NM"]],
            "DR_NM": doctor,
            "DR_GB": "1",
            "DR_NO": licence,
            "YAK": [
                {
                    "YAK_CD": code,
                    "YAK_NM": name,
                    "DOSE": dose,
                    "TIMES": times,
                    "DAYS": str(random.randint(3, 7)),
                    "USAGE": "식후 30분",
                    "PAY_GB": "1",
                }
                for code, name, dose, times in random.sample(_DRUGS, random.randint(1, 3))
            ],
            "VALID_DAYS": "3",
        }


def pharmacy_bills(
    prescribed: Sequence[Mapping[str, Any]], institution: tuple[str, str], seed: int
) -> Iterator[dict[str, Any]]:
    """The pharmacy's bills for most prescriptions, on their day or the next.

    `institution`: code and name of the hospital, which the pharmacy notes three times in four.
    """
    for number, one in enumerate(prescribed, start=1):
        random = Random(f"{seed}/pharmacy/{one['RX_NO']}")  # noqa: S311 - not a secret
        if random.randint(1, 10) == 1:  # the drugs were never fetched
            continue
        dispensed = _day(one["RX_YMD"]) + timedelta(days=random.randint(1, 5) // 5)
        covered = random.randint(60, 260) * 100
        copay = covered * _DISPENSED_SHARE // 100 // 100 * 100
        outside = random.randint(10, 60) * 100 if random.randint(1, 5) == 1 else 0
        own = copay + outside
        prescriber = {"RX_HSP_CD": institution[0], "RX_HSP_NM": institution[1]}
        yield {
            "RCPT_NO": f"R-{dispensed:%Y%m%d}-{number:03}",
            "JOJE_YMD": f"{dispensed:%Y%m%d}",
            "CUST_NO": customer_no(one["PT_NO"]),
            "CUST_NM": one["PT_NM"],
            "RX_NO": one["RX_NO"],
            **(prescriber if random.randint(1, 4) > 1 else {}),
            "INS_GB": "10",
            **_as_text(
                {
                    "BON_AMT": copay,
                    "GONG_AMT": covered - copay,
                    "JEON_AMT": 0,
                    "BIGUB_AMT": outside,
                    "TOT_AMT": covered + outside,
                    "PT_TOT": own,
                    "CARD_AMT": own,
                    "CASHR_AMT": 0,
                    "CASH_AMT": 0,
                    "MINAP_AMT": 0,
                }
            ),
        }


def customer_no(patient_no: str) -> str:
    """The number that the pharmacy knows a person by, from the hospital's number."""
    return patient_no.replace("P-", "C-")


def _rows(random: Random, line: Mapping[str, str], period: tuple[date, date]) -> Iterator[dict[str, Any]]:
    """One row, or two of them for what was done twice; their sums are those of the line."""
    category = hospital.CATEGORIES[line["HANG_CD"]]
    code, name = _ROWS[category]
    whole = {column: int(line[column].replace(",", "")) for column in _AMOUNTS}
    is_special = category == _SPECIAL_CATEGORY and whole["BIGUB_AMT"] > 0
    halves = [{column: amount // 2 for column, amount in whole.items()}]
    halves.append({column: whole[column] - halves[0][column] for column in _AMOUNTS})
    is_twice = category in {"laboratory", "materials"} and random.randint(1, 2) == 1
    first, last = period
    for amounts in halves if is_twice else [whole]:
        amount = sum(amounts.values())
        yield {
            "HANG_CD": line["HANG_CD"],
            "SIL_YMD": f"{first + timedelta(days=random.randint(0, (last - first).days)):%Y%m%d}",
            "EDI_CD": code,
            "EDI_NM": name,
            "DANGA": amount,
            "HOISU": "1",
            "ILSU": "1",
            "TOT_AMT": amount,
            **amounts,
            "SP_GB": "1" if is_special else "0",
        }


def _random(seed: int, kind: str, bill: Mapping[str, Any]) -> Random:
    return Random(f"{seed}/{kind}/{bill['RCPT_NO']}")  # noqa: S311 - not a secret


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _as_text(amounts: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{value:,}" if isinstance(value, int) else value for name, value in amounts.items()}
