"""A clinic's CSV export, written as its spreadsheet would."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

BILL: Final[Mapping[str, str]] = {
    "요양기관기호": "31100023",
    "영수증번호": "C-0001",
    "발급일": "2026-11-02",
    "진료구분": "외래",
    "환자번호": "K-0001",
    "환자명": "김하늘",
    "생년월일": "1997-03-02",
    "진료과": "내과",
    "진료시작일": "2026-11-02",
    "진료종료일": "2026-11-02",
    "야간공휴": "해당없음",
    "보험유형": "건강보험",
    "진찰료_본인부담": "5,400",
    "진찰료_공단부담": "12,600",
    "초음파_비급여": "60,000",
    "진료비총액": "78,000",
    "공단부담총액": "12,600",
    "환자부담총액": "65,400",
    "상한액초과금": "0",
    "카드": "65,400",
    "현금영수증": "0",
    "현금": "0",
    "미납금": "0",
}


def bill(number: int = 1, **changes: str) -> dict[str, str]:
    return {**BILL, "영수증번호": f"C-{number:04}", **changes}


def text_of(rows: Sequence[Mapping[str, str]], columns: Sequence[str] = tuple(BILL)) -> str:
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([[row.get(column, "") for column in columns] for row in rows])
    return written.getvalue()


def saved(
    folder: Path, rows: Sequence[Mapping[str, str]], *, encoding: str = "utf-8", name: str = "clinic.csv"
) -> Path:
    path = folder / name
    path.write_bytes(text_of(rows).encode(encoding))
    return path
