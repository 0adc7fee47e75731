"""The canary test's stage: a demo's installation with one more person in it, whose data is all canaries."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlmodel import select

from broker.db import transaction
from broker.demo import installing, processes
from broker.demo.citizen import Citizen
from broker.demo.hospital.configuration import Configuration, load_configuration
from broker.demo.hospital.pushing import Pusher
from broker.demo.hospital.store import Store
from broker.demo.installing import Demo, DemoPlan
from broker.demo.people import HOSPITAL, REGISTER
from broker.demo.processes import free_port
from broker.demo.story import Staff
from broker.installation import Installation, open_installation
from broker.settings import load_settings
from broker.web.signin.accounts import NewAccount, create_account
from broker.web.signin.passwords import hash_password
from connectors.http import OutboundClient
from connectors.services.indemnity.recipient.configuration import load_configuration as load_insurer
from connectors.services.relying_party.broker_client import BrokerClient
from consent.collection import NewLink, add_subject, link
from consent.organisations import NewOrganisation, register
from tests.cli.conftest import Ran, run
from tests.faults.canaries import ASKED, MEMBER_NO, NAME, PASSWORD, PATIENT_NO, USERNAME, documents, header
from tests.faults.searching import files_in
from tests.postgres import Cluster
from vault.keys.local import Argon2Cost, create_root_file
from vault.store import Record, open_record, versions

ROOT: Final = Path(__file__).parents[2]
WATCHING: Final = Path(__file__).parent / "watching"
PATIENCE: Final = 120
CLINIC_HOLDER: Final = "hanbit-clinic"
_ACCESS_TOKEN: Final = re.compile(rb"mda_[A-Za-z0-9_-]{43}")
_HOSPITAL_TYPES: Final = ("health.medical_bill", "health.medical_bill_detail", "health.prescription")


@dataclass(frozen=True)
class Folders:
    """Where everything goes: the broker's own, its temporary files, what its commands print, our inputs."""

    broker: Path
    temporary: Path
    printed: Path
    inputs: Path
    written: Path

    @classmethod
    def below(cls, folder: Path) -> "Folders":
        """All of them, made if need be."""
        temporary, printed = folder / "temporary", folder / "printed"
        temporary.mkdir()
        printed.mkdir()
        return cls(folder / "broker", temporary, printed, folder / "inputs", folder / "written")

    @property
    def of_others(self) -> tuple[Path, ...]:
        """What belongs to recipient and holders, whose data it is too; and their files as they came."""
        return tuple(self.broker / name for name in ("insurer", "hospital", "exports"))


@dataclass(frozen=True)
class Stage:
    """A running demo, and whoever acts on it."""

    demo: Demo
    folders: Folders
    installation: Installation
    subject_id: str

    @property
    def issuer(self) -> str:
        return self.demo.plan.issuer

    @property
    def insurer(self) -> Staff:
        return Staff(self.demo.plan.insurer_url, self.demo.staff_token)

    @property
    def access_token(self) -> str:
        """The one that the insurer keeps, wherever it keeps it."""
        files = files_in(self.folders.broker / "insurer")
        (token,) = {token for file in files for token in _ACCESS_TOKEN.findall(file.read_bytes())}
        return str(token.decode())

    @property
    def hospital(self) -> Configuration:
        return load_configuration(self.demo.plan.hospital_config)

    @contextmanager
    def citizen(self) -> Iterator[Citizen]:
        """A browser of the person's."""
        citizen = Citizen(self.issuer, USERNAME, PASSWORD)
        try:
            yield citizen
        finally:
            citizen.close()

    @contextmanager
    def recipient(self) -> Iterator[BrokerClient]:
        """The insurer's own client, for what the insurer would not do."""
        with OutboundClient(allow_loopback=True) as http:
            yield BrokerClient(load_insurer(self.demo.insurer_config), http)

    def push(self, content: bytes) -> httpx.Response:
        """Deliver a body as the hospital, with its token and a proof."""
        with OutboundClient(allow_loopback=True) as http:
            pusher = Pusher(self.hospital, Store(self.hospital.store), http, lambda: datetime.now(UTC))
            token = pusher._token()
            proof = pusher._proof("/v1/holders/records", access_token=token)
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof, "Content-Type": "application/json"}
        address = f"{self.issuer}/v1/holders/records"
        return httpx.post(address, content=content, headers=headers, timeout=PATIENCE)

    def mydata(self, *arguments: str | Path, is_kept: bool = True) -> Ran:
        """A command; what it prints is searched too, unless it is meant to tell."""
        ran = run({}, "--config", str(self.demo.config), *map(str, arguments))
        self._keep(arguments[0], ran.out + ran.err if is_kept else "")
        return ran

    def mydata_as_a_process(self, *arguments: str | Path) -> Ran:
        """The same, in a process of its own, which is watched."""
        command = [sys.executable, "-m", "broker", "--config", str(self.demo.config), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=self.folders.temporary,
            env={name: value for name, value in os.environ.items() if not name.startswith("MYDATA")},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        self._keep(arguments[0], done.stdout + done.stderr)
        return Ran(done.returncode, done.stdout, done.stderr)

    def _keep(self, command: str | Path, printed: str) -> None:
        name = f"{len(list(self.folders.printed.iterdir())):03}-{command}"
        (self.folders.printed / name).write_text(printed, encoding="utf-8")

    def opened(self) -> list[dict[str, Any]]:
        """Every record of the person in the vault, every version of it, opened."""
        keyring = self.installation.keyring
        with self.installation.data.read() as session:
            record_ids = session.exec(select(Record.record_id).where(Record.subject_id == self.subject_id))
            sealed = [one for found in record_ids for one in versions(session, self.subject_id, found)]
        return [
            open_record(
                keyring.compartment_key(self.subject_id, one.identity.compartment_id),
                one.identity,
                one.ciphertext,
            )
            for one in sealed
        ]


@contextmanager
def staged(folder: Path, cluster: Cluster | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """An installation with the person in it, not running yet. Its processes are watched and log all they can.

    With a cluster both databases are there, otherwise on SQLite.
    """
    folders = Folders.below(folder)
    for name in ("TMPDIR", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, str(folders.temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(folders.temporary))
    monkeypatch.setenv("CANARY_WRITTEN", str(folders.written))
    monkeypatch.setenv("PYTHONPATH", f"{WATCHING}{os.pathsep}{ROOT}")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    # Deriving the root key is slow on purpose; here many processes do it.
    cost = Argon2Cost(iterations=1, memory_kib=64, lanes=1)
    monkeypatch.setattr(installing, "create_root_file", partial(create_root_file, cost=cost))
    monkeypatch.setattr(processes, "_START_SECONDS", 2 * PATIENCE)
    demo = installing.install(_plan(folders, cluster), lambda: datetime.now(UTC))
    config = demo.config.read_text(encoding="utf-8")
    assert 'level = "warning"' in config
    demo.config.write_text(config.replace('level = "warning"', 'level = "debug"'), encoding="utf-8")
    installation = open_installation(load_settings(demo.config, {}), lambda: datetime.now(UTC))
    try:
        yield Stage(demo, folders, installation, _add_person(installation, demo))
    finally:
        installation.close()


def _plan(folders: Folders, cluster: Cluster | None) -> DemoPlan:
    if cluster is None:
        urls = [f"sqlite:///{folders.broker / name}" for name in ("data.db", "keyring.db")]
    else:
        urls = [cluster.create_database(name) for name in ("data", "keyring")]
    return DemoPlan(
        directory=folders.broker,
        database_url=urls[0],
        keyring_url=urls[1],
        port=free_port(),
        insurer_port=free_port(),
        client_port=free_port(),
        hospital_port=free_port(),
        acknowledge="when_told",
    )


def _add_person(installation: Installation, demo: Demo) -> str:
    """The person with an account and two links, the clinic, and what the hospital has when it is asked."""
    keyring, now = installation.keyring, datetime.now(UTC)
    password_hash = hash_password(PASSWORD)
    clinic = NewOrganisation(
        organisation_id=CLINIC_HOLDER,
        name_ko="한빛의원",
        name_en="Hanbit Clinic",
        registration_number="120-90-10083",
        contact="privacy@clinic.example",
        is_recipient=False,
        is_holder=True,
    )
    with transaction(installation.data) as work:
        register(work.session, clinic, now)
        subject_id = add_subject(work, keyring, now)
        account = NewAccount("citizen", USERNAME, password_hash, subject_id, NAME)
        create_account(work.session, keyring, account, now)
        for holder_id, number, record_types in (
            (HOSPITAL, PATIENT_NO, _HOSPITAL_TYPES),
            (REGISTER, MEMBER_NO, ("insurance.indemnity_policy",)),
        ):
            link(work, keyring, NewLink(subject_id, holder_id, number, record_types, "ko", NAME), now)
    store = Store(load_configuration(demo.plan.hospital_config).store)
    for document_format, body in documents(ASKED).items():
        store.load(header(document_format), [body])
    return subject_id
