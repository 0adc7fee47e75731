"""The five people of the demo, all invented: their names, and their numbers at the demo holders."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class DemoPerson:
    """One invented person: number at the hospital, number at the insurance register, policy, visits.

    `departments` are the two that the person goes to; `november_visits` of the visits are in November 2026,
    and one of the others is a stay in hospital if the person has one.
    """

    name: str
    patient_no: str
    member_no: str
    policy_no: str
    contract_date: str
    visits: int
    november_visits: int
    departments: tuple[str, ...]
    has_stay: bool = False


_STAYS: Final = True

DEMO_PEOPLE: Final = (
    DemoPerson("김하늘", "P-0001", "M-0001", "HB-4-000001", "20230110", 12, 3, ("내과", "이비인후과")),
    DemoPerson(
        "이정숙", "P-0002", "M-0002", "HB-4-000002", "20220105", 10, 2, ("정형외과", "내과"), has_stay=True
    ),
    DemoPerson("박도윤", "P-0003", "M-0003", "HB-4-000003", "20240115", 6, 1, ("소아청소년과", "응급의학과")),
    DemoPerson("최민서", "P-0004", "M-0004", "HB-4-000004", "20230120", 6, 1, ("재활의학과", "피부과")),
    DemoPerson("정가람", "P-0005", "M-0005", "HB-4-000005", "20250103", 6, 1, ("안과", "내과")),
)
