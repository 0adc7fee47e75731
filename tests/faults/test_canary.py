"""The canary test: what is planted in the data stands in nothing that the broker's processes wrote.

Names, numbers shaped like resident registration numbers, amounts, clinics and the like go every way in and
out, on both databases, and into requests that fail. Then every file is searched: databases and their rows,
write-ahead logs, logs, temporary files, configuration, the exported log. Only what belongs to the recipient
and to the holders, whose data it is too, is not; there they must be found, or the search shows nothing.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg
import pytest

from broker.demo.processes import running
from tests.faults.canaries import TEXTS, planted
from tests.faults.canary_stage import PATIENCE, WATCHING, Stage, staged
from tests.faults.canary_story import arrive, claim, decide, disturb, look_for_a_hospital
from tests.faults.searching import Hit, Search, digest_of, files_in, names, postgresql_rows, sqlite_rows
from tests.postgres import Cluster, running_cluster

# What reached the recipient with the consent, and what lies in the vault or was shown to the staff.
PULLED: Final = {"clinic", "clinic's phone", "address", "treatment", "policy number", "product"}
IN_NO_RECORD: Final = {"username", "password", "idempotency key", "reason of the staff", "member number"}
REFUSED: Final = {"RRN", "RRN without hyphen", "unknown field"}


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_nothing_that_the_broker_wrote_holds_a_canary(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(fsync=True)) if backend == "postgresql" else None
        made = {digest_of(file) for file in files_in(cluster.data_folder)} if cluster else set()
        log_statements(cluster, "all")
        stage = stack.enter_context(staged(tmp_path, cluster, monkeypatch))
        with running(stage.demo):
            arrive(stage)
            case = claim(stage)
            disturb(stage)
            shown = decide(stage)
            log_statements(cluster, "mod")  # no queries: what is looked for next stands in one as it is
            look_for_a_hospital(stage)
            search = Search(planted() | {name: case[name] for name in ("access token", "session cookie")})
            hits, searched = search_everything(search, stage)
        hits |= search_everything(search, stage)[0]
        if cluster:
            hits |= search_cluster(search, cluster, made)
        assert sorted(hits) == []
        assert_all_is_searched(stage, searched)
        assert_it_happened(search, stage, shown, case["held"])


def log_statements(cluster: Cluster | None, which: str) -> None:
    """Have PostgreSQL log statements with all of their parameters."""
    if cluster is not None:
        cluster.execute(f"ALTER SYSTEM SET log_statement = '{which}'")
        cluster.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + PATIENCE
        while statements_logged(cluster) != which:  # on a busy machine the server reads it later than asked
            assert time.monotonic() < deadline, "the server did not read its configuration"
            time.sleep(0.05)
        time.sleep(0.5)  # then it tells each of its processes by a signal


def statements_logged(cluster: Cluster) -> str:
    """As a new connection has it, which is as the server itself has it."""
    with psycopg.connect(cluster.url("postgres")) as connection:
        (which,) = connection.execute("SHOW log_statement").fetchone() or ("",)
    return str(which)


def search_everything(search: Search, stage: Stage) -> tuple[set[Hit], set[str]]:
    """Every file of the broker's, and every row; hits, and the files that were there."""
    folders = stage.folders
    hits, searched = search.in_folder(folders.broker, but=folders.of_others)
    for folder in (folders.temporary, folders.printed):
        hits |= search.in_folder(folder)[0]
    for which, url in (("data", stage.demo.plan.database_url), ("keyring", stage.demo.plan.keyring_url)):
        is_sqlite = url.startswith("sqlite")
        rows = sqlite_rows(Path(url.removeprefix("sqlite:///"))) if is_sqlite else postgresql_rows(url)
        assert len(rows) > 1000, which
        hits |= search.in_bytes(rows, f"rows of {which}")
    return hits, searched


def search_cluster(search: Search, cluster: Cluster, made: set[bytes]) -> set[Hit]:
    """Every file of the PostgreSQL server, its log too, but for what was there before the broker was."""
    cluster.execute("CHECKPOINT")
    hits, searched = search.in_folder(cluster.data_folder.parent, known=made)
    assert {"base", "pg_wal", "pg_xact"} <= {Path(place).parts[1] for place in searched if "/" in place}
    log = (cluster.data_folder.parent / "log").read_text("utf-8", "replace")
    assert log.count("INSERT INTO record_version") > 1, "the statements were not logged"
    assert "DETAIL:  parameters: $1 = " in log
    return hits


def assert_all_is_searched(stage: Stage, searched: set[str]) -> None:
    """Nothing was written elsewhere, and what must be there while the broker runs was there."""
    folders = stage.folders
    places = (folders.broker, folders.temporary)
    written = {Path(line) for line in folders.written.read_text("utf-8").splitlines()}
    stray = [path for path in written if not any(path.is_relative_to(place) for place in places)]
    assert [path for path in stray if path != Path("/dev/null")] == []
    assert folders.broker / "insurer" / "insurer.db" in written, "the processes were not watched"
    expected = {"config.toml", "demo.log", "log.anchor", "log-export/checkpoint", "root.key"}
    if stage.demo.plan.database_url.startswith("sqlite"):
        expected |= {"data.db", "data.db-wal", "data.db-shm", "keyring.db", "keyring.db-wal"}
    assert expected <= searched
    log = (folders.broker / "demo.log").read_text("utf-8")
    assert '"route": "/v1/holders/records"' in log, "the log does not say all that it could"


def assert_it_happened(search: Search, stage: Stage, shown: str, held: bytes) -> None:
    """The planted data was there: in the vault, and in what recipient and holders have."""
    vault = json.dumps(stage.opened(), ensure_ascii=False)
    in_vault = names(search.in_bytes(f"{vault} {shown}".encode(), "vault"))
    assert set(TEXTS) - IN_NO_RECORD - REFUSED - in_vault == set()
    ways = ("asked", "pushed", "filed", "csv", "name")
    assert {f"{way} {what}" for way in ways for what in ("bill", "amount")} - in_vault == set()
    insurer = names(search.in_bytes(held, "insurer"))
    delivered = {f"{way} {what}" for way in ("asked", "pushed", "filed") for what in ("bill", "amount")}
    assert (PULLED | delivered | {"access token"}) - insurer == set()
    assert names(search.in_folder(stage.folders.broker / "hospital")[0]) >= {"name", "KCD code", "account"}
    inputs = names(search.in_folder(stage.folders.inputs)[0])
    assert inputs >= {"name", "RRN", "stranger's name", "unknown field", "csv bill", "csv amount with commas"}


def test_a_process_that_is_watched_tells_what_it_writes(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("only read")
    program = (
        "import os, sqlite3, tempfile; open('given').close(); open('plain', 'w').close()\n"
        "sqlite3.connect('file:rows.db?mode=rwc', uri=True).close(); sqlite3.connect('').close()\n"
        "os.rename('plain', 'renamed'); tempfile.TemporaryFile().close()\n"
    )
    watched = {
        "PYTHONPATH": str(WATCHING),
        "CANARY_WRITTEN": str(tmp_path / "written"),
        "TMPDIR": str(tmp_path / "temporary"),
    }
    (tmp_path / "temporary").mkdir()
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=os.environ | watched, check=True)
    written = {Path(line).relative_to(tmp_path) for line in (tmp_path / "written").read_text().splitlines()}
    assert {str(path) for path in written if path.parts[0] != "temporary"} == {"plain", "rows.db", "renamed"}
    assert any(path.parts[0] == "temporary" for path in written)
