"""Who is in the demo's public registers and banks, all invented: people, their work, money and homes."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Work:
    """One workplace: name, business number, first and last day (`YYYYMMDD`; None: still there), hours."""

    name: str
    brn: str
    began: str
    ended: str | None = None
    hours: int = 40


@dataclass(frozen=True)
class Income:
    """What the tax office knows of each of the last two years: the kind, and the latest amount first."""

    kind: str
    amounts: tuple[int, int]
    payer: tuple[str, str]


@dataclass(frozen=True)
class Loan:
    """One loan: lender, kind (the bureau's code), amounts lent, left and overdue, first and last day."""

    lender: str
    kind: str
    principal: int
    balance: int
    began: str
    ends: str
    overdue: int = 0


@dataclass(frozen=True)
class Lease:
    """One lease of a home: number, tenant, part, deposit, rent, fixed date, first and last day."""

    number: str
    tenant: str
    part: str
    deposit: int
    rent: int
    granted: str
    period: tuple[str, str]


@dataclass(frozen=True)
class Home:
    """One property: number, kind (the registry's code), address, area, since when, mortgage, leases."""

    number: str
    kind: str
    address: str
    area: str
    bought: str
    mortgage: int = 0
    leases: tuple[Lease, ...] = ()


@dataclass(frozen=True)
class Agent:
    """An estate agent's licence and office."""

    licence: str
    office: str
    registration: str
    brn: str
    registered: str


@dataclass(frozen=True)
class Resident:
    """One invented person. `number` is part of every number that the registers have for the person.

    `balances` are in current account and savings; `owes_taxes` is what a tax clearance says.
    """

    number: str
    name: str
    born: str
    address: str
    balances: tuple[int, int]
    work: tuple[Work, ...] = ()
    income: Income | None = None
    loans: tuple[Loan, ...] = ()
    home: Home | None = None
    agent: Agent | None = None
    owes_taxes: bool = False


_DESIGN: Final = ("한빛디자인", "105-86-00084")
_BOOKS: Final = ("바다서점", "107-81-00106")
_PENSION: Final = ("한빛연금", "106-83-00091")

HANEUL: Final = Resident(
    "0001",
    "김하늘",
    "19970514",
    "서울특별시 중구 한빛로 12, 301호",
    (4_820_000, 12_000_000),
    work=(Work(*_DESIGN, "20230302"), Work(*_BOOKS, "20210701", "20230228", 20)),
    income=Income("10", (34_120_000, 31_560_000), _DESIGN),
    loans=(Loan("한빛장학회", "400", 9_000_000, 3_600_000, "20180305", "20290305"),),
)
"""Twenty-nine, a tenant with a job: borrows, and looks for a home."""

YOUNGSU: Final = Resident(
    "0006",
    "최영수",
    "19680822",
    "서울특별시 마포구 바람길 7, 301호",
    (21_400_000, 60_000_000),
    income=Income("40", (52_300_000, 50_900_000), ("바람임대", "108-12-00118")),
    loans=(Loan("한빛저축은행", "200", 200_000_000, 124_000_000, "20150911", "20350911"),),
    home=Home(
        "1101-2008-000206",
        "2",
        "서울특별시 마포구 바람길 7",
        "198.42",
        "20150911",
        mortgage=240_000_000,
        leases=(
            Lease(
                "FD-2024-000731",
                "윤이슬",
                "2층 201호",
                90_000_000,
                300_000,
                "20240219",
                ("20240301", "20280229"),
            ),
        ),
    ),
)
"""Lets rooms of one house, with one deposit before the next; owes no taxes."""

SERA: Final = Resident(
    "0007",
    "오세라",
    "19800130",
    "서울특별시 마포구 바람길 3, 2층",
    (8_900_000, 15_000_000),
    income=Income("20", (61_200_000, 58_000_000), ("바람공인중개사사무소", "109-90-00123")),
    agent=Agent("HB-2016-000308", "바람공인중개사사무소", "11440-2018-00308", "109-90-00123", "20180402"),
)
"""A licensed estate agent."""

DEMO_RESIDENTS: Final = (
    HANEUL,
    Resident(
        "0002",
        "이정숙",
        "19550311",
        "서울특별시 중구 한빛로 40",
        (2_300_000, 31_000_000),
        income=Income("30", (9_600_000, 9_400_000), _PENSION),
        home=Home("1101-1998-004411", "3", "서울특별시 중구 한빛로 40, 502호", "59.96", "20030417"),
    ),
    Resident("0003", "박도윤", "20100609", "서울특별시 중구 한빛로 51", (310_000, 900_000)),
    Resident(
        "0004",
        "최민서",
        "19931127",
        "서울특별시 중구 한빛로 8, 1204호",
        (640_000, 0),
        work=(Work("민들레카페", "120-92-00032", "20240108", hours=32),),
        income=Income("10", (27_400_000, 25_200_000), ("민들레카페", "120-92-00032")),
        loans=(Loan("한빛저축은행", "100", 10_000_000, 8_000_000, "20250210", "20280210", 412_000),),
    ),
    Resident(
        "0005",
        "정가람",
        "19900718",
        "서울특별시 중구 한빛로 77, 602호",
        (9_120_000, 24_000_000),
        work=(Work(*_BOOKS, "20190401"),),
        income=Income("10", (45_300_000, 44_100_000), _BOOKS),
        loans=(Loan("한빛저축은행", "300", 80_000_000, 72_000_000, "20240605", "20290605"),),
    ),
    YOUNGSU,
    SERA,
)
"""The personas of the demo; everything about them is linked to their accounts."""


def _stranger(number: str, name: str, born: str, house: int) -> Resident:
    lease = Lease(
        f"FD-2025-0010{house:02}",
        "문솔비",
        "1층",
        house * 5_000_000,
        200_000,
        "20250310",
        ("20250401", "20270331"),
    )
    address = f"서울특별시 마포구 바람길 {house}"
    return Resident(
        number,
        name,
        born,
        address,
        (house * 100_000, 0),
        work=(Work(*_DESIGN, "20200302", "20230630"),),
        income=Income("90", (18_000_000, 17_000_000), _DESIGN),
        home=Home(f"1101-2001-0030{house:02}", "3", address, "84.91", "20120130", 50_000_000, (lease,)),
        agent=Agent(
            f"HB-2014-0009{house:02}", "마을공인중개사", f"11440-2015-009{house:02}", _BOOKS[1], "20150302"
        ),
        owes_taxes=house % 2 == 0,
    )


OTHER_RESIDENTS: Final = (
    _stranger("0091", "한소담", "19790204", 21),
    _stranger("0092", "서다온", "19841019", 22),
    _stranger("0093", "임누리", "19761230", 23),
    _stranger("0094", "배라온", "19890501", 24),
)
"""Others who stand in the registers beside them, and are nobody at the broker."""
