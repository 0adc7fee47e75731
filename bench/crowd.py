"""Many people of the demo hospital, and an export of their bills: for the bench, and for tests of size."""

from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson
from sqlalchemy import insert

from broker.db import transaction
from broker.demo.people import HOSPITAL
from broker.installation import Installation
from connectors.sources.demo_hospital import write_exports
from consent.collection import NewLink, link_all
from consent.models import Subject
from vault.schema import random_id

_LINKS_A_COMMIT: Final = 1000
_RECORD_TYPE: Final = "health.medical_bill"


def link_people(installation: Installation, people: int) -> None:
    """People with a link to the hospital each, as a citizen makes it, but many in one commit."""
    now = installation.clock()
    for start in range(0, people, _LINKS_A_COMMIT):
        numbers = range(start, min(start + _LINKS_A_COMMIT, people))
        subjects = {random_id(): _patient_no(number) for number in numbers}
        installation.keyring.ensure_subjects(subjects, now)
        links = [
            NewLink(subject_id, HOSPITAL, patient_no, (_RECORD_TYPE,), "ko")
            for subject_id, patient_no in subjects.items()
        ]
        with transaction(installation.data) as work:
            rows = [{"subject_id": subject_id, "created_at": now} for subject_id in subjects]
            work.session.connection().execute(insert(Subject), rows)
            link_all(work, installation.keyring, links, now)


def write_bills(path: Path, *, people: int, numbers: range) -> None:
    """An export of the demo hospital's bills under these numbers, as of `people` patients in turn."""
    header, bills = _templates()
    with path.open("wb") as file:
        file.write(orjson.dumps(header) + b"\n")
        for number, bill in zip(numbers, cycle(bills), strict=False):
            changes = {"RCPT_NO": f"{bill['TO_YMD']}-B{number:07}", "PT_NO": _patient_no(number % people)}
            file.write(orjson.dumps(bill | changes) + b"\n")


def _templates() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header and the bills of the demo hospital's own export."""
    with TemporaryDirectory() as folder:
        lines = write_exports(Path(folder)).hospital.read_text(encoding="utf-8").splitlines()
    header, *bills = map(orjson.loads, lines)
    return header, bills


def _patient_no(person: int) -> str:
    return f"B-{person:06}"
