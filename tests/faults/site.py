"""A broker in processes of its own, with a person, many consents and clients that pull in a loop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from sqlmodel import select

from broker.db import transaction
from broker.demo.processes import free_port
from broker.installation import Installation, open_installation
from broker.jobs.publishing import log_key, publish
from broker.oauth.confirmation import of_key
from broker.oauth.tokens import Binding, Grant, issue_access
from broker.service_keys import SERVICE_KEYS
from broker.settings import load_settings
from broker.web.signin.accounts import NewAccount, create_account
from broker.web.signin.passwords import hash_password
from consent.ledger.export import export_log
from consent.ledger.models import LedgerEntry
from consent.ledger.verify import VerifyReport, verify_export
from consent.models import Consent, Delivery
from tests.consent.details import BILL, POLICY, terms_with
from tests.consent.office import CLIENT, Office, open_office
from tests.databases import Databases
from tests.installation import PASSPHRASE, Clock, environment
from tests.lane.world import furnish
from vault.jose import Jwk, generate_private_jwk, thumbprint
from vault.keys.keyring import Keyring
from vault.keys.local import Argon2Cost, LocalProvider, create_root_file

ROOT: Final = Path(__file__).parents[2]
USERNAME: Final = "haneul"
PASSWORD: Final = "haneul-blue-sky"
MOST_PULLS: Final = 1000
_START_SECONDS: Final = 180
_STOP_SECONDS: Final = 120
_TOKEN_SECONDS: Final = 3600
_RELEASES: Final = {"delivery.released", "delivery.repeated"}


class WallClock(Clock):
    """The real time: processes of their own know no other."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class Attempt:
    """One pull as its client saw it. Instants are nanoseconds of the machine's one monotonic clock."""

    started_at: int
    ended_at: int
    status: int
    code: str | None
    grant_id: str
    key: str
    delivery_id: str | None
    payload_digest: str | None


@dataclass(frozen=True)
class Chronicle:
    """What the log says of one consent: its entries' indexes and leaves, in order."""

    entries: tuple[tuple[int, Mapping[str, Any]], ...]

    def index_of(self, event: str) -> int:
        (index,) = [index for index, leaf in self.entries if leaf["type"] == event]
        return index

    def releases(self) -> list[tuple[int, str]]:
        """Index and payload digest of every release."""
        return [
            (index, leaf["facts"]["payload"]) for index, leaf in self.entries if leaf["type"] in _RELEASES
        ]


@dataclass
class Site:
    """The installation that server and clients share, and what was prepared in it."""

    installation: Installation
    office: Office
    folder: Path
    variables: dict[str, str]
    key: Jwk = field(default_factory=lambda: generate_private_jwk("ES256"))
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return self.installation.settings.server.issuer

    def prepare(self, consents: int) -> list[str]:
        """Give so many consents, each with a token and room for a thousand pulls; their grant ids."""
        now = self.office.clock()
        terms = terms_with(
            {
                "access.max_pulls": MOST_PULLS,
                "access.valid_from": (now - timedelta(hours=1)).isoformat(),
                "access.valid_until": (now + timedelta(days=10)).isoformat(),
            }
        )
        for _ in range(consents):
            given = self.office.agree(terms, (BILL, POLICY))
            grant = Grant(
                given.grant_id, given.version_id, self.office.subject_id, now + timedelta(days=10), terms
            )
            binding = Binding(CLIENT, "records.read", of_key(thumbprint(self.key)), grant)
            with transaction(self.installation.data) as work:
                token, _ = issue_access(work.session, binding, seconds=_TOKEN_SECONDS, now=now)
            self.tokens[given.grant_id] = token
        return list(self.tokens)

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[bytes]"]:
        """`mydata serve` in a process group of its own, which ends with this, whatever happens."""
        with (self.folder / "server.log").open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "broker", "serve"],
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_for(server)
            yield server
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
                try:
                    server.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    kill_group(server)

    @contextmanager
    def pulling(self, processes: int, threads: int = 4) -> Iterator[list[Path]]:
        """Client processes that pull all the time, until the end of this; the files they write to."""
        stop = self.folder / "stop"
        stop.unlink(missing_ok=True)
        plan = self.folder / "plan.json"
        plan.write_text(
            json.dumps({"issuer": self.issuer, "key": self.key, "tokens": self.tokens, "threads": threads})
        )
        outputs = [self.folder / f"attempts-{time.monotonic_ns()}-{number}" for number in range(processes)]
        clients = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.faults.puller", str(plan), str(output), str(stop)],
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
            )
            for output in outputs
        ]
        try:
            yield outputs
        finally:
            stop.touch()
            for client in clients:
                try:
                    client.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    client.kill()
                    client.wait()
        assert [client.returncode for client in clients] == [0] * processes

    def chronicle(self, grant_id: str) -> Chronicle:
        with self.installation.data.read() as session:
            handle = session.get_one(Consent, grant_id).handle
            rows = session.exec(select(LedgerEntry).where(LedgerEntry.handle == handle))
            entries = sorted((row.idx, json.loads(row.leaf)) for row in rows)
        return Chronicle(tuple(entries))

    def delivered(self, grant_id: str) -> dict[str, str]:
        """Payload digest by delivery id, of every delivery row of a consent."""
        with self.installation.data.read() as session:
            rows = session.exec(select(Delivery).where(Delivery.grant_id == grant_id))
            return {row.delivery_id: row.payload_digest.hex() for row in rows}

    def verified_log(self) -> VerifyReport:
        """Sign the head, export the log, and have the verifier for strangers read it."""
        publish(self.installation, self.office.clock())
        key = log_key(self.installation)
        target = self.folder / f"log-{time.monotonic_ns()}"
        with self.installation.data.read() as session:
            export_log(session, target, vkey=key.vkey)
        return verify_export(target, key.vkey)

    def _wait_for(self, server: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if httpx.get(f"{self.issuer}/readyz", timeout=5).is_success:
                    return
            except httpx.TransportError:
                pass
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "server.log").read_text())
            time.sleep(0.1)


@contextmanager
def prepared(databases: Databases, folder: Path, *, workers: int) -> Iterator[Site]:
    """An installation for real processes: the wall clock, a free port, one citizen who can sign in."""
    clock = WallClock()
    root_file = folder / "root.key"
    create_root_file(root_file, PASSPHRASE, cost=Argon2Cost(iterations=1, memory_kib=64, lanes=1))
    keyring = Keyring(databases.keyring, LocalProvider(root_file, PASSPHRASE))
    keyring.create(clock())
    port = free_port()
    settings = environment(databases, root_file) | {
        "MYDATA__SERVER__ISSUER": f"http://127.0.0.1:{port}",
        "MYDATA__SERVER__PORT": str(port),
        "MYDATA__SERVER__WORKERS": str(workers),
        "MYDATA__LOG__LEVEL": "error",
    }
    installation = open_installation(load_settings(None, settings), clock)
    try:
        for name, kind in SERVICE_KEYS.items():
            installation.keyring.ensure_service_key(name, kind, clock())
        office = open_office(installation, clock)
        furnish(office)
        account = NewAccount("citizen", USERNAME, hash_password(PASSWORD), office.subject_id, "김하늘")
        with transaction(installation.data) as work:
            create_account(work.session, installation.keyring, account, clock())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MYDATA")}
        yield Site(installation, office, folder, inherited | settings | {"PYTHONPATH": str(ROOT)})
    finally:
        installation.close()


def kill_group(server: "subprocess.Popen[bytes]") -> None:
    """`kill -9` of the server and its workers: the group that this test started, and nothing else."""
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def attempts_in(outputs: Sequence[Path]) -> list[Attempt]:
    """What the clients wrote down, in the order of starting."""
    lines = [line for output in outputs for line in output.read_text().splitlines()]
    return sorted((Attempt(**json.loads(line)) for line in lines), key=lambda attempt: attempt.started_at)
