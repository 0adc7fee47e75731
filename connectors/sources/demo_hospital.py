"""Writes the export files of the demo hospital, pharmacy and insurance register: 40 visits of five people.

The same seed gives the same bytes. Everything in them is invented; no resident registration number.
`python -m connectors.sources.demo_hospital DIRECTORY [--seed N] [--corrected]`
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random  # noqa: TID251 - repeatable invented data: the seed is an argument
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from connectors.sources import demo_documents, hospital, insurance_register
from connectors.sources.base import ExportSource
from connectors.sources.catalog import (
    HANBIT_PHARMACY,
    INSURANCE_REGISTER,
    SEOUL_HOSPITAL,
    SEOUL_HOSPITAL_DETAILS,
    SEOUL_HOSPITAL_PRESCRIPTIONS,
)
from connectors.sources.demo_people import DEMO_PEOPLE, DemoPerson

DEFAULT_SEED: Final = 20261123

_EXPORT_DAY: Final = date(2026, 11, 23)
_EXPORTED_ON: Final = "20261123"
_DAY_IN_TEXT: Final = re.compile(
    r"(?P<day>20[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))(?P<rest>(?:-[0-9]*)?)"
)
_CORRECTED_ON: Final = "20261124"
_FIRST_DAY: Final = date(2026, 2, 2)
_LAST_DAY: Final = date(2026, 10, 16)
_NOVEMBER: Final = date(2026, 11, 2)
_LAST_NOVEMBER_DAY: Final = date(2026, 11, 20)
_STAY: Final = timedelta(days=4)
_STAY_ORDINAL: Final = 2
_CORRECTED_PATIENT: Final = "P-0002"

_CODES: Final = {name: code for code, name in hospital.CATEGORIES.items()}
# Category, smallest and largest charge in hundreds of won, chance out of 10, is it non-covered.
_OUTPATIENT_CARE: Final = (
    ("medication_service", 20, 60, 5, False),
    ("medication_drug", 60, 400, 5, False),
    ("procedure", 150, 900, 3, False),
    ("laboratory", 180, 1600, 7, False),
    ("imaging", 140, 700, 4, False),
    ("ultrasound", 600, 1500, 3, True),
    ("materials", 80, 600, 2, True),
    ("certificate", 10, 200, 2, True),
)
_MANUAL_THERAPY: Final = ("rehabilitation", 800, 1500, 6, True)
_WARD_CARE: Final = (
    ("room_ward", 2400, 3600, False),
    ("meal", 500, 900, False),
    ("procedure", 9000, 24000, False),
    ("anaesthesia", 1500, 3000, False),
    ("laboratory", 900, 2600, False),
    ("materials", 1200, 5200, True),
)
_OUTPATIENT_SHARE: Final = 50  # per cent of covered care that a patient pays at a general hospital
_INPATIENT_SHARE: Final = 20
_IN_FULL: Final = 100


_HOSPITAL: Final = MappingProxyType(
    {
        "hira_code": "11100079",
        "hosp_nm": "서울한빛병원",
        "jong_cd": "11",
        "biz_no": "220-82-10073",
        "addr": "서울특별시 중구 한빛로 1",
        "tel": "02-555-0100",
    }
)
_REGISTER: Final = MappingProxyType({"org_code": "IR00000001"})
_PHARMACY: Final = MappingProxyType(
    {
        "hira_code": "11810023",
        "yak_nm": "한빛약국",
        "biz_no": "104-05-00006",
        "addr": "서울특별시 중구 한빛로 3",
        "tel": "02-555-0300",
    }
)


class Exports(NamedTuple):
    """The files that were written."""

    hospital: Path
    policies: Path
    details: Path
    prescriptions: Path
    pharmacy: Path


def write_exports(
    directory: Path, seed: int = DEFAULT_SEED, *, corrected: bool = False, today: date | None = None
) -> Exports:
    """Write the exports into `directory`, which is made if need be.

    `today` moves every day in them by whole weeks, so that the newest visits lie just before it; without it
    the exports are of 23 November 2026. `corrected`: the files of bills and details have `-corrected` in
    their names, are of a day
    later, and one bill in them has changed under its old number.
    """
    directory.mkdir(parents=True, exist_ok=True)
    names = ("hospital", "policies", "hospital-details", "hospital-prescriptions", "pharmacy")
    changed = {"hospital", "hospital-details"} if corrected else set()
    files = [f"{name}-corrected.jsonl" if name in changed else f"{name}.jsonl" for name in names]
    exports = Exports(*(directory / file for file in files))
    bills = sorted(_bills(Random(seed)), key=lambda bill: bill["RCPT_NO"])  # noqa: S311 - not a secret
    if corrected:
        bill = next(bill for bill in bills if bill["PT_NO"] == _CORRECTED_PATIENT and bill["TRT_GB"] == "O")
        bills[bills.index(bill)] = _correct(bill)
    exported_on = _CORRECTED_ON if corrected else _EXPORTED_ON
    weeks = 0 if today is None else (today - _EXPORT_DAY).days // 7
    write_lines(exports.hospital, [_header(SEOUL_HOSPITAL, exported_on, _HOSPITAL), *bills], weeks)
    policies = map(_policy, DEMO_PEOPLE)
    write_lines(exports.policies, [_header(INSURANCE_REGISTER, _EXPORTED_ON, _REGISTER), *policies], weeks)
    details = (demo_documents.detail(bill, seed) for bill in bills)
    write_lines(exports.details, [_header(SEOUL_HOSPITAL_DETAILS, exported_on, _HOSPITAL), *details], weeks)
    prescribed = list(demo_documents.prescriptions(bills, seed))
    header = _header(SEOUL_HOSPITAL_PRESCRIPTIONS, _EXPORTED_ON, _HOSPITAL)
    write_lines(exports.prescriptions, [header, *prescribed], weeks)
    institution = (_HOSPITAL["hira_code"], _HOSPITAL["hosp_nm"])
    dispensed = demo_documents.pharmacy_bills(prescribed, institution, seed)
    write_lines(exports.pharmacy, [_header(HANBIT_PHARMACY, _EXPORTED_ON, _PHARMACY), *dispensed], weeks)
    return exports


def _header(source: ExportSource, exported_on: str, told: Mapping[str, str]) -> dict[str, Any]:
    head = {"format": source.format, "version": source.version}
    name = next(iter(told))  # who it is from stands before the day
    return {**head, name: told[name], "exported_on": exported_on, **told}


def new_visit(random: Random, person: DemoPerson, ordinal: int, day: date) -> dict[str, Any]:
    """One more outpatient visit's bill, in the hospital's own field names; `ordinal` tells it from others."""
    return _bill(random, (person, ordinal), (day, day), _visit_lines(random, person))


def moved(told: Any, weeks: int) -> Any:  # noqa: ANN401 - a JSON value
    """A JSON value with every day in it moved: `YYYYMMDD`, alone or before a dash, as in these exports."""
    match told:
        case dict():
            return {name: moved(value, weeks) for name, value in told.items()}
        case list():
            return [moved(value, weeks) for value in told]
        case str() if (found := _DAY_IN_TEXT.fullmatch(told)) is not None:
            day = date.fromisoformat(found["day"]) + timedelta(weeks=weeks)
            return f"{day:%Y%m%d}{found['rest']}"
        case _:
            return told


def write_lines(path: Path, objects: Iterable[Mapping[str, Any]], weeks: int = 0) -> None:
    """JSON Lines, every day in them moved by whole weeks."""
    dated = (moved(dict(one), weeks) if weeks else one for one in objects)
    lines = (json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in dated)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def _bills(random: Random) -> Iterator[dict[str, Any]]:
    for person in DEMO_PEOPLE:
        early = random.sample(_weekdays(_FIRST_DAY, _LAST_DAY), person.visits - person.november_visits)
        november = random.sample(_weekdays(_NOVEMBER, _LAST_NOVEMBER_DAY), person.november_visits)
        for ordinal, day in enumerate([*sorted(early), *sorted(november)], start=1):
            is_stay = person.has_stay and ordinal == _STAY_ORDINAL
            period = (day, day + _STAY if is_stay else day)
            lines = _stay_lines(random) if is_stay else _visit_lines(random, person)
            yield _bill(random, (person, ordinal), period, lines)


def _weekdays(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [day for day in days if day.isoweekday() <= 5]  # noqa: PLR2004 - Friday


def _visit_lines(random: Random, person: DemoPerson) -> list[dict[str, Any]]:
    has_manual_therapy = "재활의학과" in person.departments
    care = (*_OUTPATIENT_CARE, _MANUAL_THERAPY) if has_manual_therapy else _OUTPATIENT_CARE
    lines = [_line("consultation", 18_400, _OUTPATIENT_SHARE)]
    for category, least, most, chance, is_noncovered in care:
        amount = random.randint(least, most) * 100
        if random.randint(1, 10) <= chance:
            lines.append(_line(category, amount, None if is_noncovered else _OUTPATIENT_SHARE))
    if random.randint(1, 10) == 1:  # now and then a test that the patient pays in full
        lines.append(_line("laboratory", 12_000, _IN_FULL))
    return lines


def _stay_lines(random: Random) -> list[dict[str, Any]]:
    return [
        _line(category, random.randint(least, most) * 100, None if is_noncovered else _INPATIENT_SHARE)
        for category, least, most, is_noncovered in _WARD_CARE
    ]


def _line(category: str, amount: int, share: int | None) -> dict[str, int | str]:
    """One category; `share` is the patient's part in per cent, 100 is paid in full, None is non-covered."""
    line: dict[str, int | str] = {
        "HANG_CD": _CODES[category],
        "BON_AMT": 0,
        "GONG_AMT": 0,
        "JEON_AMT": 0,
        "BIGUB_AMT": 0,
    }
    if share is None:
        return line | {"BIGUB_AMT": amount}
    if share == _IN_FULL:
        return line | {"JEON_AMT": amount}
    copay = amount * share // 100 // 100 * 100  # to whole hundreds of won
    return line | {"BON_AMT": copay, "GONG_AMT": amount - copay}


def _bill(
    random: Random,
    visit: tuple[DemoPerson, int],
    period: tuple[date, date],
    lines: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    person, ordinal = visit
    first, last = period
    is_stay = first != last
    department = person.departments[0 if is_stay else random.randint(0, 1)]
    told = {
        "RCPT_NO": f"{last:%Y%m%d}-{person.patient_no[-2:]}{ordinal:02}",
        "ISS_YMD": f"{last:%Y%m%d}",
        "TRT_GB": "D" if is_stay else "O",
        "PT_NO": person.patient_no,
        "PT_NM": person.name,
        "DEPT_NM": department,
        "FR_YMD": f"{first:%Y%m%d}",
        "TO_YMD": f"{last:%Y%m%d}",
        "NGHT_GB": "1" if department == "응급의학과" else "0",
        "INS_GB": "10",
        "HANG": lines,
    }
    return _with_totals(told, by_card=random.randint(1, 4) > 1)


def _with_totals(bill: Mapping[str, Any], *, by_card: bool) -> dict[str, Any]:
    """The bill with its totals, and all amounts as the hospital's system writes them: text with commas."""
    lines = bill["HANG"]
    copay, nhis, full, outside = (
        sum(line[name] for line in lines) for name in ("BON_AMT", "GONG_AMT", "JEON_AMT", "BIGUB_AMT")
    )
    patient_total = copay + full + outside
    totals = {
        "TOT_AMT": patient_total + nhis,
        "GONG_TOT": nhis,
        "PT_TOT": patient_total,
        "SANGHAN_AMT": 0,
        "GINAP_AMT": 0,
        "CARD_AMT": patient_total if by_card else 0,
        "CASHR_AMT": 0 if by_card else patient_total,
        "CASH_AMT": 0,
        "MINAP_AMT": 0,
    }
    return {**bill, "HANG": [_as_text(line) for line in lines], **_as_text(totals)}


def _as_text(amounts: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{value:,}" if isinstance(value, int) else value for name, value in amounts.items()}


def _correct(bill: Mapping[str, Any]) -> dict[str, Any]:
    """The same bill after the hospital found that it had left out an X-ray."""
    lines = [
        {name: value if name == "HANG_CD" else int(value.replace(",", "")) for name, value in line.items()}
        for line in bill["HANG"]
    ]
    lines.append(_line("imaging", 24_600, _OUTPATIENT_SHARE))
    return _with_totals({**bill, "HANG": lines}, by_card=bill["CARD_AMT"] != "0")


def _policy(person: DemoPerson) -> dict[str, str]:
    began = date.fromisoformat(person.contract_date)
    year_from = began.replace(year=2026)
    return {
        "MBR_NO": person.member_no,
        "INSR_CD": "HB01",
        "INSR_NM": "한빛손해보험",
        "POL_NO": person.policy_no,
        "GDS_NM": "한빛 실손의료비보험(4세대)",
        "GEN_GB": "4",
        "CTR_YMD": person.contract_date,
        "END_YMD": f"{began.replace(year=began.year + 5) - timedelta(days=1):%Y%m%d}",
        "COV_CDS": ",".join(insurance_register.COVERAGES),
        "LMT_COV_ONCE": "200,000",
        "LMT_NC_ONCE": "200,000",
        "LMT_COV_YR": "50,000,000",
        "LMT_NC_YR": "50,000,000",
        "LMT_NC_CNT": "100",
        "YR_FR_YMD": f"{year_from:%Y%m%d}",
        "YR_TO_YMD": f"{year_from.replace(year=2027) - timedelta(days=1):%Y%m%d}",
        "USE_COV_AMT": "0",
        "USE_NC_AMT": "0",
        "USE_NC_CNT": "0",
        "USE_OWN_AMT": "0",
        "USE_MT_AMT": "0",
        "USE_MT_CNT": "0",
        "USE_INJ_AMT": "0",
        "USE_INJ_CNT": "0",
        "USE_MRI_AMT": "0",
        "USE_MRI_CNT": "0",
        "INSD_NM": person.name,
        "ST_CD": "1",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the generator."""
    parser = argparse.ArgumentParser(description="Write the exports of the demo's holders.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--corrected", action="store_true")
    told = parser.parse_args(arguments)
    for path in write_exports(told.directory, told.seed, corrected=told.corrected):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
