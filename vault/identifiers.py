"""Korean identifier rules: 요양기관기호, 종별코드, 사업자등록번호, and how a 주민등록번호 is told.

A resident registration number (RRN) is recognised only to be refused: nothing here reads or keeps one
(PIPA article 24-2).
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
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

_HIRA_CODE: Final = re.compile(r"[0-9]{8}", re.ASCII)
_BRN: Final = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{5}", re.ASCII)
_BRN_WEIGHTS: Final = (1, 3, 7, 1, 3, 7, 1, 3, 5)

# Six digits of a birth date, a separator or none, the digit for sex and century, six more (or masks).
_RRN: Final = re.compile(
    r"(?<![0-9])([0-9]{2})([0-9]{2})([0-9]{2})"
    r"(?:[\s\-‐-―−/._·~]{1,3}[0-9](?:[0-9]{6}|[*xX●○•]{6})|[0-9]{7})"
    r"(?![0-9])"
)
_CENTURY_WITH_LEAP_DAYS: Final = 2000


def is_hira_code(text: str) -> bool:
    """True for the form of a 요양기관기호: eight digits. Whether it was ever issued, only HIRA knows."""
    return _HIRA_CODE.fullmatch(text) is not None


def brn_checksum_holds(brn: str) -> bool:
    """True when a business registration number `NNN-NN-NNNNN` has a true check digit.

    A failing one is worth a warning and never a refusal: holders mistype their own number.
    """
    if _BRN.fullmatch(brn) is None:
        return False
    digits = [int(digit) for digit in brn if digit != "-"]
    weighted = sum(weight * digit for weight, digit in zip(_BRN_WEIGHTS, digits[:9], strict=True))
    weighted += digits[8] * 5 // 10
    return (10 - weighted % 10) % 10 == digits[9]


def looks_like_rrn(text: str) -> bool:
    """True when `text` holds something shaped like a resident or foreigner registration number.

    Judged by shape and a birth date that exists. The check digit says nothing: numbers issued since
    October 2020 have none. A number whose last six digits are masked counts too. Full-width digits,
    odd dashes and invisible characters do not hide one.
    """
    visible = "".join(
        char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf"
    )
    return any(_is_birth_date(*map(int, found.groups())) for found in _RRN.finditer(visible))


def _is_birth_date(year: int, month: int, day: int) -> bool:
    # Two digits leave the century open. Leap years fall alike in both, but for 1900: judged kindly.
    try:
        date(_CENTURY_WITH_LEAP_DAYS + year, month, day)
    except ValueError:
        return False
    return True
