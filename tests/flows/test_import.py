"""`mydata source import` on a demo's installation: bad records, mended files, repeats, sudden ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from broker.db import Database
from broker.demo.installing import DemoPlan, install
from broker.jobs.importing import BATCH_RECORDS
from connectors.sources.demo_hospital import write_exports
from consent.ledger.verify import verify_export
from tests.cli.conftest import Ran, run
from tests.flows.demos import PATIENCE, environment
from tests.postgres import Cluster

RRN = "900101-1234568"  # a resident registration number by its form; it is nobody's
KILLED_RECORDS = 12 * BATCH_RECORDS
Bill = dict[str, Any]


@dataclass(frozen=True)
class Installed:
    """A demo's installation, with its records in it. `fresh` is a bill that it does not have."""

    directory: Path
    database_url: str

    def mydata(self, *arguments: str) -> Ran:
        return run({}, "--config", str(self.directory / "config.toml"), *arguments)

    def imported(self, *files: Path) -> tuple[int, dict[str, Any]]:
        ran = self.mydata("source", "import", *map(str, files), "-o", "json")
        assert "Traceback" not in ran.err
        return ran.code, ran.json()

    def exported(self) -> list[Bill]:
        """What the hospital exported: a header, then its bills."""
        lines = (self.directory / "exports" / "hospital.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def count(self, query: str) -> int:
        database = Database(self.database_url, pool_size=1)
        try:
            with database.read() as session:
                return int(session.connection().execute(text(query)).scalar_one())
        finally:
            database.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("import") / "demo"
    install(plan(directory, f"sqlite:///{directory / 'data.db'}"), lambda: datetime.now(UTC))
    return directory


@pytest.fixture
def installed(template: Path, tmp_path: Path) -> Installed:
    """A copy for each test."""
    directory = tmp_path / "demo"
    shutil.copytree(template, directory)
    for name, file in (("database", "data.db"), ("keyring", "keyring.db")):
        (directory / "secrets" / f"{name}.url").write_text(f"sqlite:///{directory / file}")
    return Installed(directory, f"sqlite:///{directory / 'data.db'}")


@pytest.fixture
def installed_on_postgresql(postgres: Cluster, tmp_path: Path) -> Iterator[Installed]:
    url = postgres.create_database("imports")
    install(plan(tmp_path / "demo", url), lambda: datetime.now(UTC))
    yield Installed(tmp_path / "demo", url)
    postgres.drop_database("imports")


def plan(directory: Path, database_url: str) -> DemoPlan:
    return DemoPlan(
        directory=directory,
        database_url=database_url,
        keyring_url=f"sqlite:///{directory / 'keyring.db'}",
        port=1,
        insurer_port=2,
        client_port=3,
        acknowledge="at_once",
    )


def write(path: Path, lines: Sequence[Bill | str]) -> Path:
    written = (one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in lines)
    path.write_text("".join(f"{line}\n" for line in written), encoding="utf-8")
    return path


def numbered(bill: Bill, number: int) -> Bill:
    return {**bill, "RCPT_NO": f"NEW-{number:06}"}


def with_line(bill: Bill, **changes: str) -> Bill:
    return {**bill, "HANG": [{**bill["HANG"][0], **changes}, *bill["HANG"][1:]]}


# Each breaks one rule: how, and the fields and rules that are to be named for it.
BROKEN: list[tuple[Callable[[Bill], Bill | str], set[tuple[str, str]]]] = [
    (lambda bill: json.dumps(bill)[:-9], {("$", "not_json")}),
    (lambda _: '["a", "list"]', {("$", "not_an_object")}),
    (lambda bill: bill | {"TOT_AMT": "1"}, {("$.TOT_AMT", "total_adds_up")}),
    (lambda bill: bill | {"ISS_YMD": "20261131"}, {("$.ISS_YMD", "impossible_date")}),
    (lambda bill: bill | {"FR_YMD": "2026-11-02"}, {("$.FR_YMD", "not_a_date")}),
    (lambda bill: bill | {"PT_NO": "P-9999"}, {("$", "person_not_linked")}),
    (lambda bill: bill | {"PT_TOT": "-100"}, {("$.PT_TOT", "not_a_whole_number")}),
    (lambda bill: with_line(bill, BON_AMT="-1"), {("$.HANG[0].BON_AMT", "not_a_whole_number")}),
    (lambda bill: with_line(bill, HANG_CD="77"), {("$.HANG[0].HANG_CD", "unknown_code")}),
    (lambda bill: bill | {"MEMO": "call back"}, {("$.MEMO", "unknown_member")}),
    (lambda bill: {name: bill[name] for name in bill if name != "TRT_GB"}, {("$.TRT_GB", "required")}),
    (lambda bill: bill | {"DEPT_NM": RRN}, {("$.DEPT_NM", "contains_resident_registration_number")}),
    (lambda bill: bill | {"RCPT_NO": RRN}, {("$.RCPT_NO", "contains_resident_registration_number")}),
]


def test_each_bad_record_is_named_and_the_good_ones_kept(installed: Installed, tmp_path: Path) -> None:
    header, bill, *_ = installed.exported()
    good = [numbered(bill, number) for number in range(5)]
    bad = [broken(numbered(bill, 100 + at)) for at, (broken, _) in enumerate(BROKEN)]
    file = write(tmp_path / "november.jsonl", [header, *good[:3], *bad, *good[3:]])
    code, report = installed.imported(file)
    assert (code, report["added"], report["corrected"], report["unchanged"]) == (1, 5, 0, 0)
    assert {fault["file"] for fault in report["faults"]} == {"november.jsonl"}
    for at, (_, expected) in enumerate(BROKEN):
        place = f"line {at + 5}"  # after the header and three good ones
        found = {
            (fault["path"], fault["rule"])
            for fault in report["faults"]
            if fault["place"].partition(",")[0] == place
        }
        assert expected <= found, (place, found)
    places = {fault["place"].partition(",")[0] for fault in report["faults"]}
    assert places == {f"line {at + 5}" for at in range(len(BROKEN))}
    kept = installed.mydata("source", "pending", "list", "-o", "json").json()
    stood = {
        one["place"].removeprefix("november.jsonl: ").partition(" $")[0].partition(",")[0] for one in kept
    }
    assert stood >= places  # none is dropped: each waits for a person


def test_a_check_digit_that_does_not_hold_is_a_warning(installed: Installed, tmp_path: Path) -> None:
    header, bill, *_ = installed.exported()
    lines = [header | {"biz_no": "220-82-10074"}, numbered(bill, 1), numbered(bill, 2)]
    code, report = installed.imported(write(tmp_path / "mistyped.jsonl", lines))
    expected = {"file": "mistyped.jsonl", "path": "$.institution.brn", "rule": "business_number_checksum"}
    assert (code, report["added"], report["faults"]) == (0, 2, [])
    assert report["warnings"] == [{**expected, "records": 2}]
    ran = installed.mydata("source", "import", str(tmp_path / "mistyped.jsonl"))
    assert (ran.code, "business_number_checksum (warning, 2 records)" in ran.err) == (0, True)


def test_lines_that_contradict_each_other_all_wait(installed: Installed, tmp_path: Path) -> None:
    header, bill, *_ = installed.exported()
    one, other = numbered(bill, 1), numbered(bill, 2)
    file = write(tmp_path / "twice.jsonl", [header, one, other, one | {"DEPT_NM": "가정의학과"}])
    for added in (1, 0):
        code, report = installed.imported(file)
        assert (code, report["added"], report["corrected"]) == (1, added, 0)
        assert [(one["place"], one["rule"]) for one in report["faults"]] == [
            ("line 2", "contradicts_another"),
            ("line 4", "contradicts_another"),
        ]
    waiting = installed.mydata("source", "pending", "list", "-o", "json").json()
    (right,) = [one for one in waiting if one["place"] == "twice.jsonl: line 4"]
    accepted = installed.mydata("source", "pending", "accept", right["pending_id"], "--reason", "call 9")
    assert accepted.code == 0
    code, report = installed.imported(file)
    assert (report["added"], report["corrected"], [one["place"] for one in report["faults"]]) == (
        0,
        0,
        ["line 2"],
    )


def test_what_is_wrong_is_told_without_the_value(installed: Installed, tmp_path: Path) -> None:
    header, bill, *_ = installed.exported()
    bad = [broken(numbered(bill, at)) for at, (broken, _) in enumerate(BROKEN)]
    file = write(tmp_path / "november.jsonl", [header, *bad])
    ran = installed.mydata("source", "import", str(file))
    assert (ran.code, len(ran.err.splitlines()) >= len(BROKEN)) == (1, True)
    assert "november.jsonl:line 4 $.TOT_AMT " in ran.err
    for value in (RRN, "call back", "P-9999", bill["PT_NM"], "20261131", "NEW-"):
        assert value not in ran.err + ran.out


def test_after_the_mend_only_what_was_missing_is_added(installed: Installed, tmp_path: Path) -> None:
    header, bill, *_ = installed.exported()
    bills = [numbered(bill, number) for number in range(20)]
    broken = [one | {"TOT_AMT": "1"} if at in {3, 7} else one for at, one in enumerate(bills)]
    code, report = installed.imported(write(tmp_path / "first.jsonl", [header, *broken]))
    assert (code, report["added"], len({fault["place"] for fault in report["faults"]})) == (1, 18, 2)
    entries = installed.count("SELECT count(*) FROM ledger_entry")
    mended = write(tmp_path / "mended.jsonl", [header, *bills])
    assert installed.imported(mended) == (
        0,
        {"added": 2, "corrected": 0, "unchanged": 18, "faults": [], "warnings": []},
    )
    assert installed.count("SELECT count(*) FROM ledger_entry") == entries + 1
    assert installed.imported(mended) == (
        0,
        {"added": 0, "corrected": 0, "unchanged": 20, "faults": [], "warnings": []},
    )
    assert installed.count("SELECT count(*) FROM ledger_entry") == entries + 1


def test_the_demos_own_files_again_double_nothing(installed: Installed) -> None:
    exports = installed.directory / "exports"
    before = _everything(installed)
    code, report = installed.imported(exports / "hospital.jsonl", exports / "policies.jsonl")
    assert (code, report) == (0, {"added": 0, "corrected": 0, "unchanged": 45, "faults": [], "warnings": []})
    assert _everything(installed) == before


def test_the_same_bill_twice_in_one_file_is_one_record(installed: Installed, tmp_path: Path) -> None:
    header, bill, *_ = installed.exported()
    file = write(tmp_path / "twice.jsonl", [header, numbered(bill, 1), numbered(bill, 1)])
    assert installed.imported(file) == (
        0,
        {"added": 1, "corrected": 0, "unchanged": 1, "faults": [], "warnings": []},
    )


def test_a_corrected_export_makes_a_version(installed: Installed, tmp_path: Path) -> None:
    # An installation's export is moved to its own weeks: the corrected one must speak of the same days.
    exported_on = datetime.strptime(installed.exported()[0]["exported_on"], "%Y%m%d").date()  # noqa: DTZ007 - a day
    corrected = write_exports(tmp_path / "exports", corrected=True, today=exported_on).hospital
    records = installed.count("SELECT count(*) FROM record")
    assert installed.imported(corrected) == (
        0,
        {"added": 0, "corrected": 1, "unchanged": 39, "faults": [], "warnings": []},
    )
    assert installed.count("SELECT count(*) FROM record") == records
    assert installed.count("SELECT count(*) FROM record WHERE current_version = 2") == 1
    assert installed.count("SELECT count(*) FROM record_version WHERE version = 2") == 1
    assert installed.imported(corrected)[1]["unchanged"] == 40


def test_one_bad_file_does_not_stop_the_others(installed: Installed, tmp_path: Path) -> None:
    header, bill, *_ = installed.exported()
    foreign = write(tmp_path / "foreign.jsonl", [header | {"hira_code": "99999999"}, numbered(bill, 1)])
    unknown = write(tmp_path / "unknown.jsonl", [{"format": "something"}, numbered(bill, 2)])
    empty = write(tmp_path / "empty.jsonl", [])
    good = write(tmp_path / "good.jsonl", [header, numbered(bill, 3)])
    code, report = installed.imported(foreign, unknown, empty, good)
    assert (code, report["added"]) == (1, 1)
    found = {(fault["file"], fault["path"], fault["rule"]) for fault in report["faults"]}
    assert found == {
        ("foreign.jsonl", "$.hira_code", "foreign_institution"),
        ("unknown.jsonl", "$.format", "unknown_format"),
        ("empty.jsonl", "$", "header_missing"),
    }


@pytest.mark.parametrize("where", ["installed", "installed_on_postgresql"])
def test_an_import_that_is_killed_loses_and_doubles_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, where: str
) -> None:
    installed: Installed = request.getfixturevalue(where)
    header, *bills = installed.exported()
    many: list[Bill | str] = [
        numbered(bills[number % len(bills)], number) for number in range(KILLED_RECORDS)
    ]
    file = write(tmp_path / "many.jsonl", [header, *many])
    before = installed.count("SELECT count(*) FROM record")

    killed = _kill_in_the_middle(installed, file, before + BATCH_RECORDS)
    there = installed.count("SELECT count(*) FROM record") - before
    assert (killed, BATCH_RECORDS <= there < KILLED_RECORDS) == (-signal.SIGKILL, True)
    assert there % BATCH_RECORDS == 0
    assert installed.count("SELECT count(*) FROM record_version") - before == there
    assert _collected(installed) - before == there  # what is in the vault is in the log, and nothing else

    code, report = installed.imported(file)
    assert (code, report["added"], report["unchanged"]) == (0, KILLED_RECORDS - there, there)
    assert installed.count("SELECT count(*) FROM record") == before + KILLED_RECORDS
    assert installed.count("SELECT count(DISTINCT source_key) FROM record") == before + KILLED_RECORDS
    assert installed.count("SELECT count(*) FROM record_version") == before + KILLED_RECORDS
    assert _collected(installed) == before + KILLED_RECORDS
    assert installed.mydata("audit", "export", str(tmp_path / "log")).code == 0
    assert verify_export(tmp_path / "log").outcome == "verified"


def _kill_in_the_middle(installed: Installed, file: Path, enough: int) -> int:
    command = [sys.executable, "-m", "broker", "--config", str(installed.directory / "config.toml")]
    command += ["source", "import", str(file)]
    devnull = subprocess.DEVNULL
    with subprocess.Popen(command, cwd="/", env=environment(), stdout=devnull, stderr=devnull) as importing:
        deadline = time.monotonic() + PATIENCE
        while installed.count("SELECT count(*) FROM record") < enough:
            assert importing.poll() is None, "it was done before it could be killed"
            assert time.monotonic() < deadline
        os.kill(importing.pid, signal.SIGKILL)
        return importing.wait(PATIENCE)


def _everything(installed: Installed) -> list[int]:
    tables = ("record", "record_version", "ledger_entry", "source_link", "subject")
    return [installed.count(f"SELECT count(*) FROM {table}") for table in tables]


def _collected(installed: Installed) -> int:
    """How many records the log says were collected."""
    database = Database(installed.database_url, pool_size=1)
    try:
        with database.read() as session:
            leaves = session.connection().execute(text("SELECT leaf FROM ledger_entry")).scalars().all()
    finally:
        database.close()
    read = [orjson.loads(bytes(leaf)) for leaf in leaves]
    return sum(leaf["facts"]["records"] for leaf in read if leaf["type"] == "records.collected")
