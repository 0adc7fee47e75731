"""Korean identifier rules: the forms of numbers and codes, and the check digits that some of them have.

A form can refuse; a check digit only ever warns, because numbers without a true one are in lawful use.
A resident registration number (RRN) is recognised only to be refused (PIPA article 24-2).
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Final

INSTITUTION_GRADES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "01": "상급종합병원",
        "11": "종합병원",
        "21": "병원",
        "28": "요양병원",
        "29": "정신병원",
        "31": "의원",
        "41": "치과병원",
        "51": "치과의원",
        "61": "조산원",
        "71": "보건소",
        "72": "보건지소",
        "73": "보건진료소",
        "75": "보건의료원",
        "81": "약국",
        "92": "한방병원",
        "93": "한의원",
    }
)
"""요양기관 종별코드: the two-digit grade of a care institution and its Korean name."""

BANKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "002": "산업은행",
        "003": "기업은행",
        "004": "국민은행",
        "007": "수협은행",
        "011": "농협은행",
        "012": "지역농축협",
        "020": "우리은행",
        "023": "SC제일은행",
        "027": "한국씨티은행",
        "031": "iM뱅크",
        "032": "부산은행",
        "034": "광주은행",
        "035": "제주은행",
        "037": "전북은행",
        "039": "경남은행",
        "045": "새마을금고",
        "048": "신협",
        "050": "저축은행",
        "071": "우체국",
        "081": "하나은행",
        "088": "신한은행",
        "089": "케이뱅크",
        "090": "카카오뱅크",
        "092": "토스뱅크",
    }
)
"""은행코드: the banks that we know by name; the list is not all there are."""

_SHAPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "account-number": r"[0-9]{10,16}",  # 계좌번호, without dashes; no bank publishes a check digit
        "bank-code": r"[0-9]{3}",  # 은행코드
        "brn": r"[0-9]{3}-[0-9]{2}-[0-9]{5}",  # 사업자등록번호
        "building-number": r"[0-9]{25}",  # 건물관리번호
        "ci": r"[A-Za-z0-9+/]{86}==",  # 연계정보: 64 bytes in base64
        "corporate-number": r"[0-9]{6}-?[0-9]{7}",  # 법인등록번호
        "customs-code": r"[A-Z0-9가-힣]{15}",  # 통관고유부호 of a business
        "di": r"[A-Za-z0-9+/]{62}[A-Za-z0-9+/=]{2}",  # 중복가입확인정보, one site's own
        "drug-code": r"[0-9]{9}",  # 약제 표준코드
        "e-payment-number": r"[0-9]{19}",  # 전자납부번호
        "edi-code": r"[A-Z0-9]{5,8}",  # 수가코드, of a service
        "export-declaration": r"[A-Z0-9]{14}[A-Z0-9]",  # 수출신고번호 and its last mark
        "hira-code": r"[0-9]{8}",  # 요양기관기호
        "hs-code": r"[0-9]{10}",  # 품목분류번호
        "kcd-code": r"[A-Z][0-9]{2}(?:\.?[0-9]{1,3}[A-Z]?)?",  # 한국표준질병사인분류
        "legal-dong-code": r"[0-9]{10}",  # 법정동코드
        "material-code": r"[A-Z0-9]{8}",  # 치료재료코드
        "pnu": r"[0-9]{19}",  # 필지: 법정동 10, 산 구분 1, 본번 4, 부번 4
        "postal-code": r"[0-9]{5}",  # 우편번호
        "property-number": r"[0-9]{4}-?[0-9]{4}-?[0-9]{6}",  # 부동산고유번호
        "road-code": r"[0-9]{12}",  # 도로명코드: 시군구 5, 도로 7
    }
)
_PRESCRIPTION_NUMBER: Final = re.compile(r"([0-9]{8})-?[0-9]{5}")
_COMPACT_DAY: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_COMPACT_INSTANT: Final = re.compile(r"[0-9]{14}")
_BRN_WEIGHTS: Final = (1, 3, 7, 1, 3, 7, 1, 3, 5)
_CORPORATE_WEIGHTS: Final = (1, 2) * 6
_RRN_WEIGHTS: Final = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_CENTURIES: Final = MappingProxyType(
    {"9": 1800, "0": 1800}
    | dict.fromkeys("1256", 1900)  # 5 to 8: foreigners
    | dict.fromkeys("3478", 2000)
)
_FOREIGNER_DIGITS: Final = frozenset("5678")
# The two middle digits of a business registration number.
_CORPORATE_BUSINESSES: Final = MappingProxyType(
    {
        "81": "corporation",
        "86": "corporation",
        "87": "corporation",
        "88": "corporation",
        "82": "non_profit",
        "83": "state",
        "84": "foreign",
        "85": "branch",
        "89": "religious",
    }
)
_LAST_INDIVIDUAL: Final = 79
_FIRST_TAX_EXEMPT: Final = 90

_RRN: Final = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})-?([0-9])[0-9]{6}")
# Six digits of a birth date, a separator or none, the digit for sex and century, six more (or masks).
_RRN_IN_TEXT: Final = re.compile(
    r"(?<![0-9])([0-9]{2})([0-9]{2})([0-9]{2})"
    r"(?:[\s\-‐-―−/._·~]{1,3}[0-9](?:[0-9]{6}|[*xX●○•]{6})|[0-9]{7})"
    r"(?![0-9])"
)
_RRN_LENGTH: Final = 13
_CENTURY_WITH_LEAP_DAYS: Final = 2000


def is_hira_code(text: str) -> bool:
    """True for the form of a 요양기관기호: eight digits. Whether it was ever issued, only HIRA knows."""
    return FORMATS["hira-code"](text)


def is_rrn(text: str) -> bool:
    """True for the form of a 주민등록번호, whose birth date exists in the century that its digit names."""
    return _is_person_number(text, frozenset(_CENTURIES) - _FOREIGNER_DIGITS)


def is_foreigner_number(text: str) -> bool:
    """True for the form of a 외국인등록번호: as a resident's, the seventh digit 5 to 8."""
    return _is_person_number(text, _FOREIGNER_DIGITS)


def rrn_checksum_holds(rrn: str) -> bool:
    """True when the old check digit holds. Numbers since 2020-10-05 have none: a failing one says little."""
    return is_rrn(rrn) and _person_checksum(rrn, 11)


def foreigner_checksum_holds(number: str) -> bool:
    """The same for a foreigner registration number."""
    return is_foreigner_number(number) and _person_checksum(number, 13)


def brn_checksum_holds(brn: str) -> bool:
    """True when a business registration number `NNN-NN-NNNNN` has a true check digit.

    A failing one is worth a warning and never a refusal: holders mistype their own number.
    """
    if not FORMATS["brn"](brn):
        return False
    digits = _digits(brn)
    weighted = _weighted(digits, _BRN_WEIGHTS) + digits[8] * 5 // 10
    return (10 - weighted % 10) % 10 == digits[9]


def brn_kind(brn: str) -> str | None:
    """Who has a business registration number, such as `individual` or `corporation`; None if unknown."""
    if not FORMATS["brn"](brn):
        return None
    middle = brn[4:6]
    if 1 <= int(middle) <= _LAST_INDIVIDUAL:
        return "individual"
    if int(middle) >= _FIRST_TAX_EXEMPT:
        return "tax_exempt_individual"
    return _CORPORATE_BUSINESSES.get(middle)


def corporate_checksum_holds(number: str) -> bool:
    """True when a 법인등록번호 has a true check digit; numbers since 2025 are said to have none."""
    if not FORMATS["corporate-number"](number):
        return False
    digits = _digits(number)
    return (10 - _weighted(digits, _CORPORATE_WEIGHTS) % 10) % 10 == digits[12]


def prescription_day(number: str) -> str | None:
    """The day of issue in a 처방전 교부번호, as `YYYY-MM-DD`; None if the number is none."""
    found = _PRESCRIPTION_NUMBER.fullmatch(number)
    if found is None or not is_compact_day(found[1]):
        return None
    return f"{found[1][:4]}-{found[1][4:6]}-{found[1][6:]}"


def is_prescription_number(text: str) -> bool:
    """True for a day that exists and five more digits: `YYYYMMDD-NNNNN`, or without the dash."""
    return prescription_day(text) is not None


def is_compact_day(text: str) -> bool:
    """True for a day that exists, as `YYYYMMDD`."""
    found = _COMPACT_DAY.fullmatch(text)
    return found is not None and _exists(*map(int, found.groups()))


def is_compact_instant(text: str) -> bool:
    """True for a moment that exists, as `YYYYMMDDHHMMSS` (Korean time)."""
    if _COMPACT_INSTANT.fullmatch(text) is None:
        return False
    try:
        datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - only whether it exists
    except ValueError:
        return False
    return True


def is_billing_code(text: str) -> bool:
    """True for the form of any code on a detailed bill: of a service, a drug or a material."""
    return any(FORMATS[name](text) for name in ("edi-code", "drug-code", "material-code"))


def kcd_without_dot(code: str) -> str:
    """A KCD code as it is compared: M54.5 and M545 are one."""
    return code.replace(".", "")


def looks_like_rrn(text: str) -> bool:
    """True when `text` holds something shaped like a resident or foreigner registration number.

    Judged by shape and a birth date that exists. The check digit says nothing: numbers issued since
    October 2020 have none. A number whose last six digits are masked counts too. Full-width digits,
    odd dashes and invisible characters do not hide one.
    """
    visible = text
    if not text.isascii():
        visible = unicodedata.normalize("NFKC", text)
        if len(visible) >= _RRN_LENGTH:
            visible = "".join(char for char in visible if unicodedata.category(char) != "Cf")
    if len(visible) < _RRN_LENGTH:  # nearly every text of a record ends here
        return False
    # Two digits leave the century open. Leap years fall alike in both, but for 1900: judged kindly.
    return any(
        _exists(_CENTURY_WITH_LEAP_DAYS + int(found[1]), int(found[2]), int(found[3]))
        for found in _RRN_IN_TEXT.finditer(visible)
    )


def _shaped(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {name: _shaped(pattern) for name, pattern in _SHAPES.items()}
    | {
        "compact-day": is_compact_day,
        "compact-instant": is_compact_instant,
        "foreigner-number": is_foreigner_number,
        "institution-grade": INSTITUTION_GRADES.__contains__,
        "prescription-number": is_prescription_number,
        "rrn": is_rrn,
    }
)
"""Every form by its name. Record types use these names as JSON Schema formats."""

CHECKS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "bank_is_known": BANKS.__contains__,
        "billing_code": is_billing_code,
        "brn_checksum": brn_checksum_holds,
        "corporate_checksum": corporate_checksum_holds,
        "foreigner_checksum": foreigner_checksum_holds,
        "no_rrn": lambda text: not looks_like_rrn(text),
        "rrn_checksum": rrn_checksum_holds,
    }
)
"""What may fail in a true record, by the name that record types use. A failing check is a doubt."""


def _is_person_number(text: str, century_digits: frozenset[str]) -> bool:
    found = _RRN.fullmatch(text)
    if found is None or found[4] not in century_digits:
        return False
    return _exists(_CENTURIES[found[4]] + int(found[1]), int(found[2]), int(found[3]))


def _person_checksum(number: str, base: int) -> bool:
    digits = _digits(number)
    return (base - _weighted(digits, _RRN_WEIGHTS) % 11) % 10 == digits[12]


def _digits(number: str) -> list[int]:
    return [int(digit) for digit in number if digit != "-"]


def _weighted(digits: Sequence[int], weights: Sequence[int]) -> int:
    return sum(weight * digit for weight, digit in zip(weights, digits, strict=False))


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
