"""Writes the exports of the demo's public registers, bank and credit bureau (`demo_residents`).

Everything in them is invented. Every day moves with `today`, but for births before 2000: people grow older.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from connectors.sources import catalog
from connectors.sources.base import ExportSource
from connectors.sources.demo_hospital import write_lines
from connectors.sources.demo_residents import DEMO_RESIDENTS, OTHER_RESIDENTS, Home, Lease, Resident

_EXPORT_DAY: Final = date(2026, 11, 23)
_VALID: Final = timedelta(days=30)  # how long a tax clearance counts
_BANK: Final = ("050", "한빛저축은행")
_TAX_SHARE: Final = 40  # one part in so many of an income, the demo's only rule
_EVERYBODY: Final = (*DEMO_RESIDENTS, *OTHER_RESIDENTS)

Lines = Callable[[Resident], Iterator[dict[str, Any]]]


def write_register_exports(
    directory: Path, *, today: date = _EXPORT_DAY, people: Sequence[Resident] = _EVERYBODY
) -> list[Path]:
    """Write the exports of what the registers know of these people into `directory`, one file each.

    They are of the last Monday up to `today`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weeks = (today - _EXPORT_DAY).days // 7
    last_year = (_EXPORT_DAY + timedelta(weeks=weeks)).year - 1
    files: list[tuple[str, ExportSource, str, Lines]] = [
        ("incomes", catalog.INCOME_CERTIFICATES, "NT00000001", lambda one: _incomes(one, last_year)),
        ("clearances", catalog.TAX_CLEARANCES, "NT00000001", _clearances),
        ("employments", catalog.EMPLOYMENT_HISTORIES, "EI00000001", _employments),
        ("accounts", catalog.HANBIT_BANK, "BK00000001", _accounts),
        ("loans", catalog.CREDIT_REPORTS, "CB00000001", _reports),
        ("registry", catalog.PROPERTY_REGISTRY, "RG00000001", _properties),
        ("identities", catalog.IDENTITIES, "CH00000001", _identities),
        ("fixed-dates", catalog.FIXED_DATES, "CH00000001", _fixed_dates),
        ("agents", catalog.AGENT_LICENCES, "CH00000001", _licences),
    ]
    written = []
    for name, source, org_code, lines in files:
        header = {
            "format": source.format,
            "version": source.version,
            "org_code": org_code,
            "exported_on": f"{_EXPORT_DAY:%Y%m%d}",
        }
        path = directory / f"{name}.jsonl"
        write_lines(path, [header, *(line for one in people for line in lines(one))], weeks)
        written.append(path)
    return written


def number_at(holder_id: str, resident: Resident) -> str:
    """By which number a holder knows a person; each has its own."""
    letter = {
        "tax-office": "T",
        "employment-office": "E",
        "hanbit-bank": "B",
        "credit-bureau": "K",
        "court-registry": "G",
        "city-hall": "C",
    }[holder_id]
    return f"{letter}-{resident.number}"


def record_types_at(holder_id: str) -> tuple[str, ...]:
    """What one of these holders knows of a person."""
    return tuple(one.record_type for one in catalog.export_sources() if one.holder_id == holder_id)


def _incomes(one: Resident, last_year: int) -> Iterator[dict[str, Any]]:
    if one.income is None:
        return
    for back, amount in enumerate(one.income.amounts):
        name, brn = one.income.payer
        yield {
            "TXPR_NO": number_at("tax-office", one),
            "TXPR_NM": one.name,
            "CERT_NO": f"TX-{last_year - back}-{one.number}",
            "GWISOK_YR": str(last_year - back),
            "SODEUK_CD": one.income.kind,
            "SODEUK_AMT": _won(amount),
            "TAX_AMT": _won(amount // _TAX_SHARE),
            "JIGEUP": [{"CO_NM": name, "BIZ_NO": brn, "AMT": _won(amount)}],
            "ISS_YMD": _day(_EXPORT_DAY),
        }


def _clearances(one: Resident) -> Iterator[dict[str, Any]]:
    for code, name in (("1", "N"), ("2", "L")):
        yield {
            "TXPR_NO": number_at("tax-office", one),
            "TXPR_NM": one.name,
            "CERT_NO": f"TC-{name}-{one.number}",
            "TAX_GB": code,
            "CHENAP_YN": _yes(one.owes_taxes),
            "YUYE": [],
            "ISS_YMD": _day(_EXPORT_DAY),
            "VALID_YMD": _day(_EXPORT_DAY + _VALID),
        }


def _employments(one: Resident) -> Iterator[dict[str, Any]]:
    yield {
        "INSD_NO": number_at("employment-office", one),
        "INSD_NM": one.name,
        "SAEOP": [
            {
                "CO_NM": work.name,
                "BIZ_NO": work.brn,
                "CHWI_YMD": work.began,
                **({} if work.ended is None else {"SANGSIL_YMD": work.ended}),
                "WK_HR": str(work.hours),
            }
            for work in one.work
        ],
        "ISS_YMD": _day(_EXPORT_DAY),
    }


def _accounts(one: Resident) -> Iterator[dict[str, Any]]:
    for kind, balance in zip(("1", "3"), one.balances, strict=True):
        yield {
            "CUST_NO": number_at("hanbit-bank", one),
            "BANK_CD": _BANK[0],
            "BANK_NM": _BANK[1],
            "ACCT_NO": f"50{kind}00000{one.number}",
            "ACCT_NM": one.name,
            "ACCT_GB": kind,
            "CUR_CD": "KRW",
            "BAL_AMT": _won(balance),
            "JOINT_YN": "N",
            "BASE_YMD": _day(_EXPORT_DAY),
        }


def _reports(one: Resident) -> Iterator[dict[str, Any]]:
    yield {
        "CB_NO": number_at("credit-bureau", one),
        "CB_NM": one.name,
        "BASE_YMD": _day(_EXPORT_DAY),
        "DAECHUL": [
            {
                "ORG_NM": loan.lender,
                "LN_CD": loan.kind,
                "LN_AMT": _won(loan.principal),
                "BAL_AMT": _won(loan.balance),
                "OPEN_YMD": loan.began,
                "DUE_YMD": loan.ends,
                "YEONCHE_AMT": _won(loan.overdue),
            }
            for loan in one.loans
        ],
        "YEONCHE_TOT": _won(sum(loan.overdue for loan in one.loans)),
    }


def _properties(one: Resident) -> Iterator[dict[str, Any]]:
    home = one.home
    if home is None:
        return
    mortgage = {
        "SUNWI": "1",
        "GWONRI_GB": "1",
        "CHAEGWON_AMT": _won(home.mortgage),
        "GWONRI": _BANK[1],
        "REG_YMD": home.bought,
        "MALSO_YN": "N",
    }
    yield {
        "OWNR_NO": number_at("court-registry", one),
        "OWNR_NM": one.name,
        "REAL_NO": home.number,
        "REAL_GB": home.kind,
        "ADDR": home.address,
        "AREA": home.area,
        "GUJO": "철근콘크리트구조",
        "YONGDO": "다가구주택" if home.kind == "2" else "아파트",
        "GAPGU": [
            {
                "SUNWI": "1",
                "MOKJEOK": "02",
                "WONIN": "매매",
                "REG_YMD": home.bought,
                "GWONRI": one.name,
                "JIBUN": "1/1",
                "MALSO_YN": "N",
            }
        ],
        "EULGU": [mortgage] if home.mortgage else [],
        "ISS_YMD": _day(_EXPORT_DAY),
    }


def _identities(one: Resident) -> Iterator[dict[str, Any]]:
    yield {
        "REG_NO": number_at("city-hall", one),
        "NM": one.name,
        "BIRTH_YMD": one.born,
        "GUKJEOK_GB": "1",
        "ZIP": "04524",
        "ADDR": one.address,
        "ISS_YMD": _day(_EXPORT_DAY),
    }


def _fixed_dates(one: Resident) -> Iterator[dict[str, Any]]:
    if one.home is not None:
        yield from (_fixed_date(one, one.home, lease) for lease in one.home.leases)


def _fixed_date(one: Resident, home: Home, lease: Lease) -> dict[str, Any]:
    first, last = lease.period
    return {
        "OWNR_NO": number_at("city-hall", one),
        "OWNR_NM": one.name,
        "HWAKJEONG_NO": lease.number,
        "HWAKJEONG_YMD": lease.granted,
        "ADDR": home.address,
        "BUBUN": lease.part,
        "REAL_NO": home.number,
        "BOJEUNG_AMT": _won(lease.deposit),
        "WOLSE_AMT": _won(lease.rent),
        "FR_YMD": first,
        "TO_YMD": last,
        "DANGSAJA": [{"GB": "1", "NM": one.name}, {"GB": "2", "NM": lease.tenant}],
        "GIGWAN_NM": "한빛시청",
    }


def _licences(one: Resident) -> Iterator[dict[str, Any]]:
    agent = one.agent
    if agent is None:
        return
    yield {
        "AGENT_NO": number_at("city-hall", one),
        "LIC_NO": agent.licence,
        "NM": one.name,
        "OFFICE_NM": agent.office,
        "OFFICE_NO": agent.registration,
        "BIZ_NO": agent.brn,
        "ADDR": one.address,
        "ST_CD": "1",
        "REG_YMD": agent.registered,
        "BOJEUNG_YMD": "20270401",
    }


def _won(amount: int) -> str:
    return f"{amount:,}"


def _yes(is_so: bool) -> str:  # noqa: FBT001 - the one thing it writes
    return "Y" if is_so else "N"


def _day(day: date) -> str:
    return f"{day:%Y%m%d}"
