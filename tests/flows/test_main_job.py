"""The main job from end to end, as processes: what it refuses, prints and leaves, and how it ends."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import inspect, text
from sqlmodel import col, select

from broker.cli import demo as demo_command
from broker.db import Database
from broker.demo.citizen import Citizen, UnexpectedPageError
from broker.demo.installing import DemoRefusedError
from broker.demo.processes import free_port
from consent.ledger.models import LedgerEntry
from consent.ledger.verify.__main__ import main as verify_log
from tests.cli.conftest import run
from tests.faults.searching import sqlite_rows
from tests.flows.demos import (
    PATIENCE,
    RunningDemo,
    Told,
    descendants,
    edit_one_bit,
    environment,
    interrupt,
    mydata,
    run_module,
    started,
    wait_until_gone,
)

PERSONAS = ["haneul", "jeongsuk", "doyun", "minseo", "garam", "youngsu", "sera"]
# A token's or code's 32 bytes: the last of their characters holds four bits of them.
TOKEN = re.compile(rb"(?=(md[arc]_)[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])")
ID = re.compile(rb"[A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{43}")
LINE = {"bill_no", "part", "billed", "deductible", "over_limit", "paid", "rule_id", "explanation"}


# What it refuses.


def test_a_directory_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "somebody's").write_text("own")
    ran = run({}, "demo", "--once", "--json", "--dir", str(tmp_path))
    assert (ran.code, ran.out) == (1, "")
    assert "is not empty" in ran.err
    assert [file.name for file in tmp_path.iterdir()] == ["somebody's"]


def test_a_database_with_a_broker_in_it_is_refused(told: Told, tmp_path: Path) -> None:
    directory = tmp_path / "new"
    before = _rows(told.database)
    for option in ("--database", "--keyring"):
        ran = run({}, "demo", "--once", "--dir", str(directory), option, told.database)
        assert (ran.code, ran.out) == (1, "")
        assert "holds a broker already" in ran.err
        assert "empty database" in ran.err
        assert not directory.exists()
    assert _rows(told.database) == before


def test_a_database_that_is_away_could_not_be_checked(tmp_path: Path) -> None:
    away = "postgresql://nobody:secret-word@127.0.0.1:1/none"
    ran = run({}, "demo", "--once", "--dir", str(tmp_path / "new"), "--database", away)
    assert (ran.code, ran.out) == (3, "")
    assert "secret-word" not in ran.err


def test_a_service_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    ran = run({}, "demo", "--once", "--dir", str(tmp_path / "new"), "--service", "horoscopes")
    assert (ran.code, "no service horoscopes" in ran.err) == (2, True)
    assert run({}, "demo", "--port", "70000").code == 2


# What it prints.


def test_the_object_is_the_one_that_was_promised(told: Told) -> None:
    job = told.object
    assert job.keys() == {
        "issuer",
        "subject",
        "consent",
        "pull",
        "claim",
        "redelivery_same_payload",
        "second_pull_refused",
        "withdrawn",
        "pull_after_withdrawal",
        "receipt",
        "ledger",
    }
    assert job["issuer"].startswith("http://127.0.0.1:")
    assert job["subject"] == "haneul"
    assert job["consent"].keys() == {"grant_id", "state"}
    assert job["consent"]["state"] == "WITHDRAWN"
    assert job["pull"].keys() == {"records", "delivery_id"}
    assert job["redelivery_same_payload"] is True
    assert job["second_pull_refused"] == "no_place_left"
    assert job["withdrawn"] is True
    assert job["pull_after_withdrawal"] == 401
    assert job["receipt"].keys() == {"path", "verified"}
    assert job["receipt"]["verified"] is True
    assert job["ledger"].keys() == {"size", "root", "verified", "export"}
    assert job["ledger"]["verified"] is True
    assert len(bytes.fromhex(job["ledger"]["root"])) == 32


def test_the_claim_is_filed_over_what_was_pulled(told: Told) -> None:
    pulled, claim = told.object["pull"]["records"], told.object["claim"]
    assert pulled.keys() == {
        "health.medical_bill",
        "health.medical_bill_detail",
        "insurance.indemnity_policy",
    }
    assert pulled["health.medical_bill"] == pulled["health.medical_bill_detail"] > 0
    assert pulled["insurance.indemnity_policy"] == 1
    assert claim.keys() == {"lines", "payable", "status"}
    assert len({line["bill_no"] for line in claim["lines"]}) == pulled["health.medical_bill"]
    assert all(line.keys() == LINE for line in claim["lines"])
    assert claim["payable"] == sum(line["paid"] for line in claim["lines"])
    assert all(type(line["paid"]) is int and line["rule_id"] for line in claim["lines"])
    assert claim["status"] == "approved"


def happened_to_the_consent(told: Told) -> list[str]:
    """What the log has of consents, whenever: not what a worker told, nor an answer asked for once more."""
    database = Database(told.database)
    try:
        with database.read() as session:
            leaves = session.exec(select(LedgerEntry.leaf).order_by(col(LedgerEntry.idx))).all()
    finally:
        database.close()
    kinds = [str(orjson.loads(leaf)["type"]) for leaf in leaves]
    once = {"delivery.released", "delivery.acknowledged", "decision.received"}
    return sorted(kind for kind in kinds if kind in once or kind.startswith("consent."))


def test_both_databases_tell_the_same_story(told_on_sqlite: Told, told_on_postgresql: Told) -> None:
    for member in ("claim", "second_pull_refused", "pull_after_withdrawal"):
        assert told_on_sqlite.object[member] == told_on_postgresql.object[member]
    pulled = [told.object["pull"]["records"] for told in (told_on_sqlite, told_on_postgresql)]
    assert pulled[0] == pulled[1]
    happened = [happened_to_the_consent(told) for told in (told_on_sqlite, told_on_postgresql)]
    assert happened[0] == happened[1] != []


# What it leaves: proofs that hold, and in which one changed bit is found.


def test_the_receipt_verifies_again(told: Told) -> None:
    ran = mydata("receipt", "verify", told.object["receipt"]["path"], "-o", "json")
    assert ran.code == 0, ran.err
    claims = json.loads(ran.out)["receipt"]
    assert claims["grant_id"] == told.object["consent"]["grant_id"]
    assert claims["iss"] == told.object["issuer"]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_edited_receipt_is_found(told_on_sqlite: Told, tmp_path: Path, part: int) -> None:
    original = Path(told_on_sqlite.object["receipt"]["path"])
    shutil.copy(original.with_name("jwks.json"), tmp_path)
    parts = original.read_text().strip().split(".")
    for at in (0, len(parts[part]) // 2, len(parts[part]) - 2):
        other = "A" if parts[part][at] != "A" else "B"
        edited = [*parts]
        edited[part] = parts[part][:at] + other + parts[part][at + 1 :]
        (tmp_path / "receipt.jws").write_text(".".join(edited))
        ran = run({}, "receipt", "verify", str(tmp_path / "receipt.jws"))
        assert (ran.code, ran.out, "does not hold" in ran.err) == (1, "", True)


def test_a_receipt_under_anothers_key_is_found(told_on_sqlite: Told, told_on_postgresql: Told) -> None:
    receipt = told_on_sqlite.object["receipt"]["path"]
    others = Path(told_on_postgresql.object["receipt"]["path"]).with_name("jwks.json")
    assert mydata("receipt", "verify", receipt, "--jwks", others).code == 1


def test_the_export_verifies_by_both_programs(told: Told) -> None:
    ledger = told.object["ledger"]
    ran = mydata("audit", "verify", ledger["export"], "-o", "json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert (report["outcome"], report["size"], report["root"]) == ("verified", ledger["size"], ledger["root"])
    vkey = Path(ledger["export"], "log.vkey").read_text().strip()
    alone = run_module("consent.ledger.verify", ledger["export"], "--vkey", vkey)
    assert (alone.code, ledger["root"] in alone.out) == (0, True)


def test_one_changed_bit_in_the_export_is_found(told_on_sqlite: Told, tmp_path: Path) -> None:
    export = Path(told_on_sqlite.object["ledger"]["export"])
    vkey = (export / "log.vkey").read_text().strip()
    files = [file.relative_to(export) for file in export.rglob("*") if file.is_file()]
    assert len(files) >= 5
    for number, file in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(export, copy)
        edit_one_bit(copy / file)
        assert verify_log([str(copy), "--vkey", vkey]) == 1, file
    edit_one_bit(tmp_path / "0" / files[0])  # back again
    assert verify_log([str(tmp_path / "0"), "--vkey", vkey]) == 0


def test_one_changed_byte_in_the_export_is_found_by_the_command(told: Told, tmp_path: Path) -> None:
    copy = tmp_path / "edited"
    shutil.copytree(told.object["ledger"]["export"], copy)
    edit_one_bit(_bundle(copy))
    ran = mydata("audit", "verify", copy, "-o", "json")
    assert (ran.code, json.loads(ran.out)["outcome"]) == (1, "falsified")


def test_nobody_finds_the_person_in_what_lies_on_the_disk(told_on_sqlite: Told) -> None:
    secret = ["김하늘", "haneul", "P-0001", "HB-4-000001", "이비인후과"]
    secret += [line["bill_no"] for line in told_on_sqlite.object["claim"]["lines"]]
    left = [*told_on_sqlite.directory.glob("*.db*"), told_on_sqlite.directory / "demo.log"]
    left += [file for file in (told_on_sqlite.directory / "log-export").rglob("*") if file.is_file()]
    assert {"data.db", "keyring.db", "demo.log", "checkpoint"} <= {file.name for file in left}
    found = [(file.name, word) for file in left for word in secret if word.encode() in file.read_bytes()]
    # Four characters of a prefix stand among random ones now and then: a whole token or code does not.
    rows = b"\n".join(sqlite_rows(told_on_sqlite.directory / name) for name in ("data.db", "keyring.db"))
    ids = {value for value in rows.split(b"\n") if ID.fullmatch(value)}
    assert len(ids) > 50
    found += [(file.name, prefix) for file in left for prefix in tokens_in(file.read_bytes(), ids)]
    assert found == []


def tokens_in(content: bytes, ids: set[bytes]) -> list[str]:
    """The prefixes of tokens and codes.

    What begins within an id is none, but that id and what a file of rows has right behind it: columns follow
    each other without anything in between, and one run in two thousand has such a pair.
    """
    within = {
        at
        for one in re.finditer(b"|".join(map(re.escape, ids)) or b"$^", content)
        for at in range(one.start(), one.end())
    }
    return [one[1].decode() for one in TOKEN.finditer(content) if one.start() not in within]


def test_a_token_is_found_wherever_it_stands_and_an_id_is_none() -> None:
    digits = "0123456789abcdef" * 2
    token, own = f"mda_{'x-_' * 14}A", "Abc-md" + "a_" + "x" * 14
    assert TOKEN.search(f"{own}{digits}{own}".encode()) is not None
    assert tokens_in(f"{own}{digits}{own}".encode(), {own.encode()}) == []
    for held in (token, f"{own}{token}", f"{digits}{token}{own}", f"{token}{token}"):
        assert set(tokens_in(held.encode(), {own.encode()})) == {"mda_"}, held


def test_what_is_left_is_for_the_owner_alone(told_on_sqlite: Told) -> None:
    left = [told_on_sqlite.directory, *told_on_sqlite.directory.rglob("*")]
    names = {file.name for file in left}
    assert {"root.key", "data.db", "keyring.passphrase", "private.jwks.json", "insurer.db"} <= names
    assert [str(file) for file in left if file.stat().st_mode & 0o077] == []


# The demo that stays.


def test_what_it_announces(demo: RunningDemo) -> None:
    told = demo.announced
    assert told.keys() == {"issuer", "pages", "personas", "operators", "auditors", "clients", "deals"}
    assert [persona["username"] for persona in told["personas"]] == PERSONAS
    assert all(person.keys() == {"username", "password", "name", "story"} for person in told["personas"])
    for staff in (*told["operators"], *told["auditors"]):
        assert staff.keys() == {"username", "password"}
    client = demo.client
    assert client.keys() == {
        "client_id",
        "organisation",
        "private_jwks",
        "redirect_uris",
        "scope",
        "authorization_details",
    }
    (key,) = json.loads(Path(client["private_jwks"]).read_text())["keys"]
    assert (key["kty"], "d" in key) == ("EC", True)
    assert [detail["type"] for detail in client["authorization_details"]] == ["mydata_consent"]
    assert all(uri.startswith("http://127.0.0.1:") for uri in client["redirect_uris"])


def test_its_pages_answer(demo: RunningDemo) -> None:
    for address in demo.announced["pages"].values():
        answer = httpx.get(address, follow_redirects=True, timeout=PATIENCE)
        assert (answer.status_code, "text/html" in answer.headers["content-type"]) == (200, True)
    assert httpx.get(f"{demo.issuer}/readyz", timeout=PATIENCE).json()["status"] == "ok"
    metadata = httpx.get(f"{demo.issuer}/.well-known/oauth-authorization-server", timeout=PATIENCE).json()
    assert metadata["issuer"] == demo.issuer


def test_its_people_can_sign_in(demo: RunningDemo) -> None:
    first, auditor = demo.announced["personas"][0], demo.announced["auditors"][0]
    assert first["name"] in _page(demo, first, "/ko")
    # On whichever page it is by now: other tests add events to the same log.
    assert "records.collected" in _whole_log(demo, auditor)
    with pytest.raises(UnexpectedPageError, match="403"):
        _page(demo, first, "/ko/audit")


def test_a_port_is_given_once() -> None:
    ports = [free_port() for _ in range(1000)]  # the system names some of so many again
    assert len(set(ports)) == len(ports)


def test_an_interrupt_ends_all_of_it(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path / "demo", "--port", str(port)) as running:
        assert running.issuer == f"http://127.0.0.1:{port}"
        children = descendants(running.process.pid)
        assert len(children) >= 3  # broker, worker, insurer
        interrupt(running.process)
        assert running.process.wait(PATIENCE) == 0
        assert wait_until_gone(children) == []
    assert (tmp_path / "demo.stderr").read_text() == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez", timeout=PATIENCE)


def test_a_process_that_ends_by_itself_ends_the_demo(tmp_path: Path) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", ""]) as ended,
        pytest.raises(DemoRefusedError, match=r"demo\.log"),
    ):
        demo_command._wait_for(Event(), [ended], log=tmp_path / "demo.log")


def test_a_headless_run_that_is_told_to_end_leaves_nobody_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "broker", "demo", "--once", "--json", "--dir", str(tmp_path / "demo")]
    log = tmp_path / "demo" / "demo.log"
    with subprocess.Popen(command, cwd="/", env=environment(), stdout=subprocess.PIPE) as running:
        children: list[int] = []
        while running.poll() is None and not (log.exists() and len(children) >= 3):
            children = descendants(running.pid)
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=PATIENCE)
        assert (running.returncode != 0, out) == (True, b"")
        assert wait_until_gone(children) == []


def _page(demo: RunningDemo, who: dict[str, Any], path: str) -> str:
    citizen = Citizen(demo.issuer, who["username"], who["password"])
    try:
        return citizen.download(path)
    finally:
        citizen.close()


def _whole_log(demo: RunningDemo, auditor: dict[str, Any]) -> str:
    """Every page of the auditor's list, from the newest event to the first."""
    pages = [_page(demo, auditor, "/ko/audit")]
    while (older := re.search(r'rel="next" href="([^"]+)"', pages[-1])) is not None:
        pages.append(_page(demo, auditor, older[1]))
    return "".join(pages)


def _bundle(export: Path) -> Path:
    return next(file for file in (export / "tile" / "entries").rglob("*") if file.is_file())


def _rows(url: str) -> dict[str, int]:
    """How many rows each table has."""
    database = Database(url, pool_size=1)
    try:
        with database.read() as session:
            connection = session.connection()
            tables = inspect(connection).get_table_names()
            return {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in tables}
    finally:
        database.close()
