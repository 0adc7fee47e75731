"""`mydata doctor` on SQLite: one thing is broken, and that thing alone is named, with its cure."""

import shutil
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from jinja2 import DictLoader
from sqlalchemy import text

from broker.cli.diagnosis import files, registry
from broker.db import Database, transaction
from broker.installation import Installation, load_purposes
from broker.jobs.publishing import log_key
from broker.oauth import clients
from broker.oauth.clients import ClientRegistration
from broker.web import i18n
from broker.web.rendering import Pages
from broker.web.static_files import StaticFiles
from connectors.sources.base import Source
from connectors.sources.catalog import all_sources
from connectors.sources.csv_file import CsvSource
from consent.organisations import NewOrganisation, register, suspend
from consent.purposes import Purposes
from tests.cli.conftest import run
from tests.databases import Databases
from tests.installation import Clock
from tests.oauth.world import PURPOSE_DECLARATION
from vault.jose import generate_private_jwk, public_jwk
from vault.record_types.catalogue import Catalogue

Environ = dict[str, str]
HOUR = 3_600_000_000  # microseconds
LOAD_PAGES = Pages.load
COMPILED_PAGES = staticmethod(cache(LOAD_PAGES))  # compiling the templates is most of an examination


@pytest.fixture
def sound(environ: Environ, monkeypatch: pytest.MonkeyPatch) -> Environ:
    """An installation with which nothing is wrong; nobody listens at its address."""
    monkeypatch.setattr(Pages, "load", COMPILED_PAGES)
    return environ | {
        "MYDATA__SERVER__ISSUER": "http://127.0.0.1:9",
        "MYDATA__LEDGER__ORIGIN": "127.0.0.1:8000/log",
    }


def told(environ: Environ) -> tuple[int, dict[str, dict[str, str]]]:
    """The doctor's exit code, and what it says of each check."""
    ran = run(environ, "doctor", "-o", "json")
    return ran.code, {row["check"]: row for row in ran.json()}


def broken(environ: Environ) -> dict[str, dict[str, str]]:
    """What the doctor finds wrong: it says so with its exit code, and each has a cure."""
    code, rows = told(environ)
    found = {name: row for name, row in rows.items() if row["outcome"] == "failed"}
    assert code == 1
    assert all(row["detail"] and row["cure"] for row in found.values())
    return found


def change(database: Database, statement: str, **values: object) -> None:
    with database.write() as session:
        session.connection().execute(text(statement), values)


def minutes_ago(clock: Clock, minutes: int) -> int:
    at = clock() - timedelta(minutes=minutes)
    return int(at.timestamp()) * 1_000_000


# Nothing is wrong


def test_an_installation_in_order(sound: Environ) -> None:
    code, rows = told(sound)
    assert code == 0
    assert {name for name, row in rows.items() if row["outcome"] == "warning"} == {
        "anchor file",
        "issuer",
        "metadata",
        "separate keyring",
    }
    assert {row["outcome"] for row in rows.values()} == {"ok", "warning"}
    assert len(rows) >= 30
    table = run(sound, "doctor")
    assert table.out.splitlines()[0].split("\t") == ["check", "outcome", "detail", "cure"]


# Files


def test_a_wrong_configuration(sound: Environ) -> None:
    found = broken(sound | {"MYDATA__SERVER__PORT": "x", "MYDATA__SERVER__THREADS": "0"})
    assert set(found) == {"configuration"}
    assert "server.port" in found["configuration"]["detail"]
    assert "server.threads" in found["configuration"]["detail"]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
def test_a_database_file_that_others_can_read(
    sound: Environ, sqlite_databases: Databases, suffix: str
) -> None:
    path = sqlite_databases.keyring.path
    path = path.with_name(path.name + suffix)
    path.touch(mode=0o600)
    path.chmod(0o640)
    found = broken(sound)
    assert set(found) == {"SQLite files"}
    assert found["SQLite files"]["cure"] == f"chmod 600 {path}"


def test_a_database_out_of_wal_mode(sound: Environ, sqlite_databases: Databases) -> None:
    sqlite_databases.data.close()
    content = bytearray(sqlite_databases.data.path.read_bytes())
    content[18:20] = b"\x01\x01"
    sqlite_databases.data.path.write_bytes(content)
    assert set(broken(sound)) == {"data journal"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_root_key_that_others_can_read(sound: Environ, mode: int) -> None:
    Path(sound["MYDATA__KEYRING__ROOT_FILE"]).chmod(mode)
    found = broken(sound)
    assert set(found) == {"root key file", "keyring"}
    assert "chmod 600" in found["root key file"]["cure"]


def test_a_root_key_of_somebody_else(tmp_path: Path) -> None:
    file = tmp_path / "root.key"
    file.touch(mode=0o600)
    owner = file.stat().st_uid
    assert files.check_root_file(file, user=owner).outcome == "ok"
    assert files.check_root_file(file, user=owner + 1).outcome == "failed"


@pytest.mark.parametrize("kind", ["missing", "link", "folder"])
def test_a_root_key_that_is_no_plain_file(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "root.key"
    if kind == "link":
        (tmp_path / "other").touch(mode=0o600)
        file.symlink_to(tmp_path / "other")
    if kind == "folder":
        file.mkdir(mode=0o700)
    assert files.check_root_file(file, user=tmp_path.stat().st_uid).outcome == "failed"


@pytest.mark.parametrize("place", ["config.toml", "secret file"])
def test_a_secret_that_everybody_can_read(sound: Environ, elsewhere: Path, place: str) -> None:
    passphrase = sound.pop("MYDATA__KEYRING__PASSPHRASE")
    if place == "config.toml":
        file = elsewhere / "config.toml"
        file.write_text(f'[keyring]\npassphrase = "{passphrase}"\n')
    else:
        (elsewhere / "secrets").mkdir()
        file = elsewhere / "secrets" / "keyring.passphrase"
        file.write_text(passphrase)
        sound["MYDATA__SECRETS__DIRECTORY"] = str(elsewhere / "secrets")
    file.chmod(0o644)
    found = broken(sound)
    assert set(found) == {"secrets"}
    assert passphrase not in str(found)
    file.chmod(0o600)
    assert told(sound)[0] == 0


def test_a_disk_that_is_full_or_nearly_so(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    assert files.check_disk([tmp_path], too_little=2 * free).outcome == "failed"
    assert files.check_disk([tmp_path], too_little=0, little=2 * free).outcome == "warning"
    assert files.check_disk([tmp_path], too_little=0, little=0).outcome == "ok"
    assert files.check_disk([tmp_path / "nothing"]).outcome == "ok"


def test_an_anchor_that_cannot_be_written(sound: Environ, elsewhere: Path) -> None:
    anchored = sound | {"MYDATA__LEDGER__ANCHOR_FILE": str(elsewhere / "no such folder" / "anchor.txt")}
    assert set(broken(anchored)) == {"anchor file"}
    (elsewhere / "no such folder").mkdir()
    assert told(anchored)[1]["anchor file"]["outcome"] == "ok"


# Databases


@pytest.mark.parametrize("which", ["data", "keyring"])
def test_a_database_that_is_newer_older_or_gone(
    sound: Environ, sqlite_databases: Databases, which: str
) -> None:
    database: Database = getattr(sqlite_databases, which)
    for revision, said in (("9999", "newer program"), ("0000", "newer program")):
        change(database, "UPDATE alembic_version SET version_num = :to", to=revision)
        found = broken(sound)
        assert set(found) == {f"{which} database"}
        assert said in found[f"{which} database"]["detail"]
    change(database, "DELETE FROM alembic_version")
    assert "mydata migrate" in broken(sound)[f"{which} database"]["cure"]
    database.path.unlink()
    found = broken(sound)
    assert "does not exist" in found[f"{which} database"]["detail"]
    assert told(sound)[1]["keyring"]["outcome"] == "unchecked"


def test_a_database_that_does_not_answer(sound: Environ) -> None:
    code, rows = told(sound | {"MYDATA__DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none"})
    assert code == 3
    assert rows["data database"]["outcome"] == rows["keyring"]["outcome"] == "unchecked"
    assert "database.url" in rows["data database"]["cure"]


# Keys


def test_a_wrong_passphrase(sound: Environ) -> None:
    found = broken(sound | {"MYDATA__KEYRING__PASSPHRASE": "wrong"})
    assert set(found) == {"keyring"}
    assert "keyring.passphrase" in found["keyring"]["cure"]


def test_a_keyring_of_another_installation(sound: Environ, sqlite_databases: Databases) -> None:
    change(sqlite_databases.keyring, "DELETE FROM index_root")
    assert set(broken(sound)) == {"keyring"}


@pytest.mark.parametrize("name", ["oauth", "receipt", "log"])
def test_a_signing_key_that_is_missing(sound: Environ, sqlite_databases: Databases, name: str) -> None:
    change(sqlite_databases.keyring, "DELETE FROM service_key WHERE name = :name", name=name)
    found = broken(sound)
    assert set(found) == {"signing keys"}
    assert name in found["signing keys"]["detail"]
    assert run(sound, "key", "init").code == 0
    assert told(sound)[0] == 0


# The log


def test_a_checkpoint_that_was_edited(sound: Environ, sqlite_databases: Databases) -> None:
    assert run(sound, "audit", "export", "before").code == 0
    assert told(sound)[0] == 0
    larger = "UPDATE ledger_checkpoint SET size = 5, note = replace(note, :zero, :five)"
    change(sqlite_databases.data, larger, zero="\n0\n", five="\n5\n")
    assert set(broken(sound)) == {"log"}


def test_an_anchor_that_is_ahead_of_the_log(
    sound: Environ, sqlite_installation: Installation, elsewhere: Path
) -> None:
    anchored = sound | {"MYDATA__LEDGER__ANCHOR_FILE": str(elsewhere / "anchor.txt")}
    (elsewhere / "anchor.txt").write_text(log_key(sqlite_installation).sign(7, bytes(32)).note)
    found = broken(anchored)
    assert set(found) == {"log"}
    assert "restore the newest backup" in found["log"]["cure"]
    assert run(anchored, "audit", "export", "log").code == 1


# Declarations, pages, clients


def test_a_purpose_that_asks_for_what_there_is_not() -> None:
    items = PURPOSE_DECLARATION["items"]
    wrong = [
        *items,
        {**items[0], "record_type": "health.horoscope"},
        {**items[0], "fields": ["totals", "stars"]},
    ]
    purposes = Purposes.load([PURPOSE_DECLARATION | {"items": wrong}])
    finding = registry.check_declarations(Catalogue.load, lambda: purposes)
    assert finding.outcome == "failed"
    assert "health.horoscope" in finding.detail
    assert "stars" in finding.detail
    assert registry.check_declarations(Catalogue.load, load_purposes).outcome == "ok"


@pytest.mark.parametrize(
    "declarations", [[{}], [PURPOSE_DECLARATION, PURPOSE_DECLARATION], [PURPOSE_DECLARATION | {"items": []}]]
)
def test_purposes_that_cannot_be_read(declarations: list[dict[str, Any]]) -> None:
    finding = registry.check_declarations(Catalogue.load, lambda: Purposes.load(declarations))
    assert finding.outcome == "failed"


def both(*sources: Source) -> Sequence[Source]:
    return sources


def test_a_format_of_a_holder_that_is_wrong() -> None:
    mapping = CsvSource.load("hanbit_clinic.json")
    unknown = replace(mapping, format="other.csv", record_type="health.horoscope")
    for wrong in (unknown, mapping):
        found = registry.check_sources(Catalogue.load, partial(both, mapping, wrong))
        assert (found.outcome, bool(found.cure)) == ("failed", True)
    assert registry.check_sources(Catalogue.load, all_sources).outcome == "ok"


@pytest.mark.parametrize("raw", [{}, {"format": 1, "line_groups": [{"category": "x"}]}, []])
def test_a_mapping_of_a_holder_that_cannot_be_read(raw: Any) -> None:  # noqa: ANN401 - any JSON
    found = registry.check_sources(Catalogue.load, lambda: [CsvSource.from_mapping(raw)])
    assert (found.outcome, bool(found.cure)) == ("failed", True)


def pages_with(template: str) -> Pages:
    pages = LOAD_PAGES()
    pages._environments["ko"].loader = DictLoader({"one.html": template})
    return pages


BROKEN_PAGES: dict[str, Callable[[], Pages]] = {
    "a template": lambda: pages_with("{% if %}"),
    "a tag that nobody knows": lambda: pages_with("{% unknown %}"),
    "texts": lambda: Pages({"ko": i18n.Words("ko", i18n._compile(b'msgid "x'))}, StaticFiles.load()),
}


@pytest.mark.parametrize("load", BROKEN_PAGES.values(), ids=BROKEN_PAGES.keys())
def test_pages_that_cannot_be_read(load: Callable[[], Pages]) -> None:
    assert registry.check_pages(load).outcome == "failed"
    assert registry.check_pages(Pages.load).outcome == "ok"


@pytest.fixture
def registered(sqlite_installation: Installation) -> Installation:
    """An insurer with a client."""
    now = sqlite_installation.clock()
    with transaction(sqlite_installation.data) as work:
        insurer = NewOrganisation("insurer", "보험", "Insurer", "1", "x", is_recipient=True, is_holder=False)
        register(work.session, insurer, now)
        work.session.flush()
        registration = ClientRegistration(
            client_id="insurer-claims",
            organisation_id="insurer",
            name="Claims",
            jwks={"keys": [public_jwk(generate_private_jwk("ES256"))]},
            redirect_uris=("https://insurer.example/callback",),
            scope="records.read",
            purposes=("insurance.indemnity_claim",),
        )
        clients.add(work.session, registration, is_loopback_allowed=False, now=now)
    return sqlite_installation


def test_a_client_of_a_purpose_that_is_gone(sound: Environ, registered: Installation) -> None:
    assert told(sound)[1]["clients"]["outcome"] == "ok"
    change(registered.data, "UPDATE client SET purposes = '[\"horoscopes\"]'")
    found = broken(sound)
    assert set(found) == {"clients"}
    assert "insurer-claims" in found["clients"]["detail"]
    assert run(sound, "client", "suspend", "insurer-claims").code == 0
    assert told(sound)[1]["clients"]["outcome"] == "ok"


def test_a_client_of_a_suspended_organisation(sound: Environ, registered: Installation) -> None:
    with transaction(registered.data) as work:
        suspend(work.session, "insurer")
    code, rows = told(sound)
    assert (code, rows["clients"]["outcome"]) == (0, "warning")
    assert "mydata client suspend" in rows["clients"]["cure"]


# The server


def test_plain_http_in_production(sound: Environ) -> None:
    assert told(sound)[1]["issuer"]["outcome"] == "warning"
    assert told(sound | {"MYDATA__SERVER__PROFILE": "demo"})[1]["issuer"]["outcome"] == "ok"


def test_a_proxy_that_is_not_named(sound: Environ) -> None:
    behind = sound | {
        "MYDATA__SERVER__ISSUER": "https://x.invalid",
        "MYDATA__LIMITS__SIGN_IN_PER_MINUTE": "30",
    }
    assert told(sound)[1]["client addresses"]["outcome"] == "ok"
    assert told(behind)[1]["client addresses"]["outcome"] == "warning"
    named = behind | {"MYDATA__SERVER__TRUSTED_PROXIES": "127.0.0.1"}
    assert told(named)[1]["client addresses"]["outcome"] == "ok"
    assert (
        told(behind | {"MYDATA__LIMITS__SIGN_IN_PER_MINUTE": "0"})[1]["client addresses"]["outcome"] == "ok"
    )


@contextmanager
def answering(status: int, body: Callable[[str], str]) -> Iterator[str]:
    """A server on this machine that always says the same; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = body(issuer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
            del format, arguments

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        issuer = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield issuer
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body"), [(200, "it works"), (200, "[]"), (200, '{"issuer": "https://other"}'), (404, "")]
)
def test_something_else_at_the_issuers_address(sound: Environ, status: int, body: str) -> None:
    with answering(status, lambda _: body) as issuer:
        assert set(broken(sound | {"MYDATA__SERVER__ISSUER": issuer})) == {"metadata"}


def test_the_broker_at_the_issuers_address(sound: Environ) -> None:
    with answering(200, lambda issuer: f'{{"issuer": "{issuer}"}}') as issuer:
        code, rows = told(sound | {"MYDATA__SERVER__ISSUER": issuer})
    assert (code, rows["metadata"]["outcome"]) == (0, "ok")


# Time and work, as the command sees it


def test_a_clock_that_was_set_back(sound: Environ, sqlite_databases: Databases, clock: Clock) -> None:
    entry = """
        INSERT INTO ledger_entry (idx, handle, leaf, leaf_hash, detail_sealed, at)
        VALUES (9, 'h', :b, :b, :b, :at)
    """
    change(sqlite_databases.data, entry, b=b"x", at=minutes_ago(clock, 0) + HOUR)
    assert set(broken(sound)) == {"clock and log"}


def test_a_duty_that_nobody_does(sound: Environ, sqlite_databases: Databases, clock: Clock) -> None:
    duty = """
        INSERT INTO duty (duty_id, kind, target, due_at, attempts, created_at)
        VALUES ('one', 'destroy_shares', 'g', :at, 0, :at)
    """
    change(sqlite_databases.data, duty, at=minutes_ago(clock, 4))
    assert told(sound)[0] == 0
    change(sqlite_databases.data, "UPDATE duty SET due_at = :at", at=minutes_ago(clock, 135))
    found = broken(sound)
    assert set(found) == {"duties", "worker"}
    assert "2 h 15 min" in found["duties"]["detail"]
    assert "mydata worker" in found["worker"]["cure"]


@pytest.mark.parametrize(
    ("table", "checks"),
    [
        ("source_progress", {"holders"}),
        ("ledger_tile", set()),
        ("client", {"clients", "client certificates"}),
    ],
)
def test_a_table_that_somebody_took_away(
    sound: Environ, sqlite_databases: Databases, table: str, checks: set[str]
) -> None:
    change(sqlite_databases.data, f"DROP TABLE {table}")
    assert set(broken(sound)) == {"schema"} | checks


def test_an_index_of_somebodys_own_is_no_fault(sound: Environ, sqlite_databases: Databases) -> None:
    change(sqlite_databases.data, "CREATE INDEX mine ON delivery (as_of)")
    assert told(sound)[0] == 0
