"""Making the demo's installation: configuration, keys, databases, people, their records, the insurer."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import make_url

from broker.db import Database, Transaction, transaction
from broker.demo.hospital.installing import install_hospital
from broker.demo.lease.service import demo_contracts
from broker.demo.lending.bank import demo_bank
from broker.demo.people import (
    AUDITOR,
    HOSPITAL,
    INSTITUTION,
    INSURER,
    OPERATOR,
    ORGANISATIONS,
    PERSONAS,
    PURPOSE,
    REGISTER,
    Patient,
    Persona,
)
from broker.demo.recipients import InstalledRecipient, install_recipient
from broker.demo.registers import link_registers, write_registers
from broker.installation import Installation, open_installation
from broker.jobs.importing import import_files
from broker.oauth import clients
from broker.oauth.clients import ClientRegistration
from broker.service_keys import ensure_service_keys
from broker.settings import load_settings
from broker.web.signin.accounts import NewAccount, create_account
from broker.web.signin.passwords import hash_password
from connectors.services.indemnity.recipient.configuration import asked_terms
from connectors.sources.demo_hospital import write_exports
from consent.collection import NewLink, add_subject, link
from consent.organisations import register
from consent.progress import connect
from migrations.run import current, upgrade
from vault.jose import generate_private_jwk, public_jwk
from vault.keys.keyring import Keyring
from vault.keys.local import LocalProvider, create_root_file

CLIENT_ID: Final = "hanbit-claims"
_PRIVATE: Final = 0o600


class DemoRefusedError(Exception):
    """The demo does not touch what is not its own; `remedy` says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}. {remedy}.")


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """Where the demo goes and where it listens.

    Without a port for it, the hospital delivers by file, and there is no bank, no contract service, nor what
    they ask.
    """

    directory: Path
    database_url: str
    keyring_url: str
    port: int
    insurer_port: int
    client_port: int
    acknowledge: str
    hospital_port: int | None = None
    bank_port: int | None = None
    contracts_port: int | None = None

    @property
    def has_registers(self) -> bool:
        """Whether any recipient asks the public registers, the bank or the bureau."""
        return self.bank_port is not None or self.contracts_port is not None

    @property
    def issuer(self) -> str:
        """The broker's name for the world."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def insurer_url(self) -> str:
        """The insurer's address."""
        return f"http://127.0.0.1:{self.insurer_port}"

    @property
    def hospital_url(self) -> str:
        """The hospital's address."""
        return f"http://127.0.0.1:{self.hospital_port}"

    @property
    def hospital_config(self) -> Path:
        """The hospital's configuration, if it is a process."""
        return self.directory / "hospital" / "config.json"

    @property
    def client_url(self) -> str:
        """A redirect address on a free port, for whoever drives the demo's client with other software."""
        return f"http://127.0.0.1:{self.client_port}/callback"


@dataclass(frozen=True, slots=True)
class Demo:
    """An installation that is ready to run, and what its people need to know."""

    plan: DemoPlan
    config: Path
    insurer_config: Path
    private_jwks: Path
    password: str = field(repr=False)
    staff_token: str = field(repr=False)
    terms: dict[str, Any] = field(repr=False)
    recipients: tuple[InstalledRecipient, ...] = ()

    def announcement(self) -> dict[str, Any]:
        """What `mydata demo --json` prints once it listens."""
        issuer = self.plan.issuer
        return {
            "issuer": issuer,
            "pages": {
                "citizen": f"{issuer}/ko",
                "citizen_en": f"{issuer}/en",
                "auditor": f"{issuer}/ko/audit",
                "insurer": self.plan.insurer_url,
                **({} if self.plan.hospital_port is None else {"hospital": self.plan.hospital_url}),
                **{one.recipient.key: one.recipient.url for one in self.recipients},
            },
            "personas": [self._persona(persona) for persona in PERSONAS],
            "operators": [{"username": OPERATOR, "password": self.password}],
            "auditors": [{"username": AUDITOR, "password": self.password}],
            "clients": [
                {
                    "client_id": CLIENT_ID,
                    "organisation": INSURER,
                    "private_jwks": str(self.private_jwks),
                    "redirect_uris": [f"{self.plan.insurer_url}/callback", self.plan.client_url],
                    "scope": clients_scope(),
                    "authorization_details": [self.terms],
                },
                *(one.client() for one in self.recipients if one.recipient.authorization_details),
            ],
            "deals": [deal for one in self.recipients for deal in one.deals()],
        }

    def _persona(self, persona: Persona) -> dict[str, str]:
        return {
            "username": persona.username,
            "password": self.password,
            "name": persona.name,
            "story": persona.story,
        }


def clients_scope() -> str:
    """What the demo's client may ask for."""
    return "openid records.read deliveries obligations grant_management_query grant_management_revoke"


def install(plan: DemoPlan, now: Callable[[], datetime]) -> Demo:
    """Make everything from nothing. Raises DemoRefusedError if there is something already."""
    _require_empty(plan)
    plan.directory.mkdir(parents=True, exist_ok=True)
    passphrase, password = secrets.token_urlsafe(24), secrets.token_urlsafe(9)
    config = _write_configuration(plan, passphrase)
    upgrade(plan.database_url, "data")
    upgrade(plan.keyring_url, "keyring")
    settings = load_settings(config, {})
    create_root_file(settings.keyring.root_file, passphrase)
    _create_keys(plan.keyring_url, settings.keyring.root_file, passphrase, now())
    installation = open_installation(settings, now)
    try:
        demo = _write_insurer(plan, config, password, now())
        demo = replace(demo, recipients=_install_recipients(plan, now()))
        _populate(installation, demo, now)
        _bring_records(plan, installation, now)
    finally:
        installation.close()
    return demo


def _install_recipients(plan: DemoPlan, now: datetime) -> tuple[InstalledRecipient, ...]:
    """The recipients that are to run beside the insurer."""
    wanted = []
    if plan.bank_port is not None:
        wanted.append(demo_bank(issuer=plan.issuer, port=plan.bank_port, now=now))
    if plan.contracts_port is not None:
        wanted.append(demo_contracts(issuer=plan.issuer, port=plan.contracts_port, now=now))
    return tuple(
        install_recipient(
            one,
            plan.directory,
            issuer=plan.issuer,
            acknowledge=plan.acknowledge,
            client_url=plan.client_url,
        )
        for one in wanted
    )


def _bring_records(plan: DemoPlan, installation: Installation, now: Callable[[], datetime]) -> None:
    """The register delivers by file; the hospital too, unless it is a process that is asked."""
    paths = write_exports(plan.directory / "exports", today=now().date())
    files = [paths.policies]
    if plan.has_registers:
        files += write_registers(plan.directory / "exports", now().date())
    if plan.hospital_port is None:
        files.append(paths.hospital)
    else:
        registration = install_hospital(
            plan.hospital_config.parent,
            issuer=plan.issuer,
            holder_id=HOSPITAL,
            port=plan.hospital_port,
            exports=[paths.hospital, paths.details, paths.prescriptions],
        )
        with transaction(installation.data) as work:
            clients.add(work.session, registration, is_loopback_allowed=True, now=now())
            connect(work.session, HOSPITAL, f"{plan.hospital_url}/transmissions", now())
    if not import_files(installation, files, now).is_clean:
        raise DemoRefusedError("The demo's own records were refused", "Please report this")


def _require_empty(plan: DemoPlan) -> None:
    if plan.directory.exists() and any(plan.directory.iterdir()):
        raise DemoRefusedError(f"{plan.directory} is not empty", "Name a new directory with --dir")
    for option, url in (("--database", plan.database_url), ("--keyring", plan.keyring_url)):
        if _is_there(url) and current(url) is not None:
            raise DemoRefusedError(
                f"The database of {option} holds a broker already, whose keys the demo does not have",
                "Give it an empty database",
            )


def _is_there(url: str) -> bool:
    """A SQLite file that is not there is not looked at: looking would make it."""
    parsed = make_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").is_file()


def _write_configuration(plan: DemoPlan, passphrase: str) -> Path:
    secret_files = plan.directory / "secrets"
    secret_files.mkdir(mode=0o700)
    _write_private(secret_files / "keyring.passphrase", passphrase)
    _write_private(secret_files / "database.url", plan.database_url)
    _write_private(secret_files / "keyring.url", plan.keyring_url)
    config = plan.directory / "config.toml"
    config.write_text(
        f"""# Made by `mydata demo`: for this machine only.
[server]
issuer = "{plan.issuer}"
profile = "demo"
port = {plan.port}

[keyring]
root_file = "root.key"

[deployment]
special_manager = true

[events]
longest_wait_seconds = 5

[ledger]
anchor_file = "log.anchor"
checkpoint_interval_seconds = 5

[limits]
# All people and clients of the demo have one address, and those who try it out fail often.
unproven_per_minute = 3000

[log]
level = "warning"

[secrets]
directory = "secrets"
""",
        encoding="utf-8",
    )
    return config


def _create_keys(keyring_url: str, root_file: Path, passphrase: str, now: datetime) -> None:

    database = Database(keyring_url)
    try:
        keyring = Keyring(database, LocalProvider(root_file, passphrase))
        keyring.create(now)
        keyring.unlock()
        ensure_service_keys(keyring, now)
    finally:
        database.close()


def _write_insurer(plan: DemoPlan, config: Path, password: str, now: datetime) -> Demo:
    folder = plan.directory / "insurer"
    folder.mkdir()
    private_jwks = folder / "private.jwks.json"
    _write_private(private_jwks, _key_set())
    _write_private(folder / "proof.jwks.json", _key_set())
    staff_token = secrets.token_urlsafe(24)
    holders = (HOSPITAL, REGISTER)
    insurer_config = folder / "config.json"
    _write_private(
        insurer_config,
        orjson.dumps(
            {
                "issuer": plan.issuer,
                "client_id": CLIENT_ID,
                "name": "한빛손해보험",
                "purpose": PURPOSE,
                "host": "127.0.0.1",
                "port": plan.insurer_port,
                "redirect_uri": f"{plan.insurer_url}/callback",
                "institution": INSTITUTION,
                "holders": holders,
                "store": "insurer.db",
                "staff_token": staff_token,
                "acknowledge": plan.acknowledge,
                "private_jwks": private_jwks.name,
                "proof_jwks": "proof.jwks.json",
            },
            option=orjson.OPT_INDENT_2,
        ).decode(),
    )
    terms = asked_terms(
        issuer=plan.issuer, purpose=PURPOSE, institution=INSTITUTION, holders=holders, now=now
    )
    return Demo(plan, config, insurer_config, private_jwks, password, staff_token, terms)


def _populate(installation: Installation, demo: Demo, now: Callable[[], datetime]) -> None:
    keyring = installation.keyring
    password_hash = hash_password(demo.password)
    public = {"keys": [public_jwk(orjson.loads(demo.private_jwks.read_bytes())["keys"][0])]}
    with transaction(installation.data) as work:
        for organisation in ORGANISATIONS:
            register(work.session, organisation, now())
        work.session.flush()
        registration = ClientRegistration(
            client_id=CLIENT_ID,
            organisation_id=INSURER,
            name="Hanbit claims",
            jwks=public,
            redirect_uris=tuple(demo.announcement()["clients"][0]["redirect_uris"]),
            scope=clients_scope(),
            purposes=(PURPOSE,),
            events_endpoint=f"{demo.plan.insurer_url}/events",
        )
        for client in (registration, *(one.registration for one in demo.recipients)):
            clients.add(work.session, client, is_loopback_allowed=True, now=now())
        create_account(work.session, keyring, NewAccount("auditor", AUDITOR, password_hash), now())
        create_account(work.session, keyring, NewAccount("operator", OPERATOR, password_hash), now())
    for persona in PERSONAS:
        with transaction(installation.data) as work:
            subject_id = add_subject(work, keyring, now())
            account = NewAccount("citizen", persona.username, password_hash, subject_id, persona.name)
            create_account(work.session, keyring, account, now())
            if isinstance(persona, Patient):
                _link_care(work, keyring, persona, subject_id, now)
            if demo.plan.has_registers:
                link_registers(work, keyring, persona, subject_id, now)


def _link_care(
    work: Transaction, keyring: Keyring, patient: Patient, subject_id: str, now: Callable[[], datetime]
) -> None:
    """Hospital and insurance register."""
    for holder_id, number, record_types in (
        (HOSPITAL, patient.person.patient_no, ("health.medical_bill", "health.medical_bill_detail")),
        (REGISTER, patient.person.member_no, ("insurance.indemnity_policy",)),
    ):
        link(work, keyring, NewLink(subject_id, holder_id, number, record_types, "ko", patient.name), now())


def _key_set() -> str:
    return orjson.dumps({"keys": [generate_private_jwk("ES256")]}).decode()


def _write_private(path: Path, content: str) -> None:
    path.touch(mode=_PRIVATE)
    path.write_text(content, encoding="utf-8")
