"""The log for anybody, and its entries for auditors: what is served is what an export holds."""

import hashlib
from pathlib import Path

from sqlalchemy import text

from broker.db import transaction
from broker.jobs.publishing import log_key, publish
from consent.ledger.entries import Entry
from consent.ledger.export import export_log
from consent.ledger.verify import verify_export
from tests.api.conftest import Office
from vault.schema import random_id


def fill(office: Office, count: int) -> None:
    now = office.world.clock()
    with transaction(office.world.installation.data) as work:
        for _ in range(count):
            work.record(Entry("source.linked", now, random_id(), None, None, {}, bytes(32), b"sealed"))


# Who may read what.


def test_entries_are_for_auditors(small_office: Office) -> None:
    fill(small_office, 1)
    strangers = [
        {},
        {"Cookie": "sid=unknown"},
        {"Authorization": f"DPoP {small_office.own_token()}"},
        small_office.sign_in("citizen"),
        small_office.sign_in("operator"),
    ]
    auditor = small_office.sign_in("auditor")
    for path in ("/log/tile/entries/000.p/1", "/v1/audit/events", "/v1/audit/head"):
        for headers in strangers:
            answer = small_office.http.get(path, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert answer.headers["content-type"] == "application/problem+json"
            assert "source.linked" not in answer.text
        assert small_office.http.get(path, headers=auditor).status_code == 200


NO_TILE = [
    "0/001",
    "0/000.p/0",
    "0/000.p/4",
    "0/000.p/256",
    "0/0",
    "0/000.p/01",
    "1/000.p/1",
    "00/000",
    "x/000",
    "0/x000/000",
    "0/999999999999999999999",
    "0/x999/x999/x999/x999/x999/x999/999",
    "0/%2e%2e/%2e%2e/key",
    "entries",
    "",
]


def test_a_tile_that_is_not_there_is_not_found(office: Office) -> None:
    fill(office, 3)
    for path in NO_TILE:
        answer = office.http.get(f"/log/tile/{path}")
        assert (answer.status_code, answer.json()["code"]) in {(404, "not_in_log"), (404, "not_found")}, path
    assert office.http.get("/log/tile/0/000.p/3").status_code == 200


def test_a_page_that_cannot_be_is_refused(office: Office) -> None:
    fill(office, 2)
    auditor = office.sign_in("auditor")
    for query in ("before=x", "before=-1", f"before={10**30}", "limit=x", "limit="):
        answer = office.http.get(f"/v1/audit/events?{query}", headers=auditor)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), query
    last = office.http.get(f"/v1/audit/events?before={2**63 - 1}&limit={10**30}", headers=auditor)
    assert len(last.json()["events"]) == 2


# What they read.


def test_what_is_served_is_what_is_exported_and_it_verifies(office: Office, tmp_path: Path) -> None:
    fill(office, 260)  # one full tile, and a partial one
    installation, http = office.world.installation, office.http
    publish(installation, office.world.clock())
    with installation.data.read() as session:
        export_log(session, tmp_path / "export", vkey=log_key(installation).vkey)
    auditor = office.sign_in("auditor")
    served = tmp_path / "served"
    for file in (tmp_path / "export").rglob("*"):
        name = str(file.relative_to(tmp_path / "export"))
        if file.is_dir() or name == "manifest.json":
            continue
        address = "/log/key" if name == "log.vkey" else f"/log/{name}"
        answer = http.get(address, headers=auditor if "entries" in name else {})
        assert (name, answer.status_code, answer.content) == (name, 200, file.read_bytes())
        (served / name).parent.mkdir(parents=True, exist_ok=True)
        (served / name).write_bytes(answer.content)
    (served / "manifest.json").write_bytes((tmp_path / "export" / "manifest.json").read_bytes())
    vkey = http.get("/log/key").text.strip()
    assert verify_export(served, vkey).outcome == "verified"
    note = http.get("/log/checkpoint")
    assert note.text.splitlines()[:2] == [installation.settings.ledger.origin, "260"]
    assert note.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_log_without_a_checkpoint_gets_one_when_it_is_asked_for(office: Office) -> None:
    fill(office, 2)
    first = office.http.get("/log/checkpoint").text
    assert first.splitlines()[1] == "2"
    fill(office, 1)
    assert office.http.get("/log/checkpoint").text == first  # the worker signs the next


def test_events_come_in_pages_newest_first(office: Office) -> None:
    fill(office, 7)
    auditor = office.sign_in("auditor")
    seen: list[int] = []
    before = ""
    for _ in range(4):
        page = office.http.get(f"/v1/audit/events?limit=3{before}", headers=auditor).json()
        seen += [event["index"] for event in page["events"]]
        before = f"&before={page['next_before']}"
    assert seen == [6, 5, 4, 3, 2, 1, 0]
    assert page == {"events": [], "next_before": None}
    whole = office.http.get("/v1/audit/events?limit=100000", headers=auditor).json()
    assert len(whole["events"]) == 7
    assert len(office.http.get("/v1/audit/events?limit=0", headers=auditor).json()["events"]) == 1


def test_an_event_is_its_leaf_and_no_detail(office: Office) -> None:
    delivery_id, grant_id = office.delivery()
    auditor = office.sign_in("auditor")
    text_of_page = office.http.get("/v1/audit/events", headers=auditor)
    events = {event["type"]: event for event in text_of_page.json()["events"]}
    assert list(events) == ["delivery.released", "consent.given", "consent.requested"]
    assert events["delivery.released"]["recipient"] == "insurer"
    assert events["delivery.released"]["purpose"] == "test.claim"
    for told in (office.world.subject_id, grant_id, delivery_id, "health.medical_bill"):
        assert told not in text_of_page.text
    with office.world.installation.data.read() as session:
        statement = text("SELECT leaf FROM ledger_entry ORDER BY idx")
        leaves = [bytes(leaf) for leaf in session.connection().execute(statement).scalars()]
    hashes = [hashlib.sha256(b"\x00" + leaf).hexdigest() for leaf in leaves]
    assert [event["leaf_hash"] for event in events.values()] == hashes[::-1]


def test_the_head_is_the_committed_one(office: Office) -> None:
    auditor = office.sign_in("auditor")
    empty = office.http.get("/v1/audit/head", headers=auditor).json()
    assert (empty["size"], empty["root"]) == (0, hashlib.sha256(b"").hexdigest())
    assert empty["checkpoint"] is None
    fill(office, 3)
    checkpoint = publish(office.world.installation, office.world.clock())
    told = office.http.get("/v1/audit/head", headers=auditor).json()
    assert told == {"size": 3, "root": checkpoint.root.hex(), "checkpoint": checkpoint.note}
