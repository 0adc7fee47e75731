"""Codes in plain Korean, as the service's pages say them."""

from datetime import timedelta, timezone
from typing import Final

KST: Final = timezone(timedelta(hours=9), "KST")

ROLES: Final = {"tenant": "세입자", "landlord": "집주인", "agent": "공인중개사"}

BANDS: Final = {
    "under_20m": "2천만 원 미만",
    "20m_to_30m": "2천만 원 이상 3천만 원 미만",
    "30m_to_40m": "3천만 원 이상 4천만 원 미만",
    "40m_to_60m": "4천만 원 이상 6천만 원 미만",
    "60m_to_80m": "6천만 원 이상 8천만 원 미만",
    "80m_to_100m": "8천만 원 이상 1억 원 미만",
    "100m_and_more": "1억 원 이상",
}
"""The bands of `income.band@1`."""

_ENDED: Final = {
    "refused": "함께하는 분 가운데 한 분이 동의하지 않으셔서 계약을 진행하지 않습니다.",
    "expired": "정해진 날까지 모두 동의하지 않으셔서 계약을 진행하지 않습니다.",
    "not_believed": "받은 확인에 서명이 맞지 않아 계약을 진행하지 않습니다.",
}


def ended_in_words(ended_by: str) -> str:
    """Why a lease came to nothing, as a sentence; never which of the others it was."""
    return _ENDED.get(ended_by, "확인을 마치지 못해 계약을 진행하지 않습니다.")
