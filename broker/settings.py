"""Settings: the only reader of config.toml, the environment and secret files.

Three sources, each stronger than the one before: config.toml, environment variables
`MYDATA__SECTION__KEY`, secret files named `section.key` in `secrets.directory`. An unknown name in
any of them is a fault, and all faults are told at once.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import PrivateAttr, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from sqlalchemy.engine import URL, make_url

from broker.setting_rules import is_loopback
from broker.setting_sections import (
    CollectionSection,
    DatabaseSection,
    DealsSection,
    DeliverySection,
    DeploymentSection,
    EventsSection,
    InactivitySection,
    KeyringSection,
    KeysSection,
    LedgerSection,
    LimitsSection,
    LogSection,
    MailSection,
    NotificationsSection,
    OAuthSection,
    ObligationsSection,
    PeopleSection,
    RightsSection,
    SecretsSection,
    Section,
    Server,
    SessionSection,
    StatisticsSection,
    TlsSection,
)

ENVIRONMENT_PREFIX: Final = "MYDATA__"
MASK: Final = "**********"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: which setting, what about it, what to do. Never its value."""

    key: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}. {self.remedy}"


class ConfigurationError(Exception):
    """The configuration cannot be used; `faults` holds everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class Settings(Section):
    """Everything that can be set, validated and frozen."""

    server: Server
    tls: TlsSection
    database: DatabaseSection
    keyring: KeyringSection
    keys: KeysSection
    ledger: LedgerSection
    oauth: OAuthSection
    session: SessionSection
    delivery: DeliverySection
    collection: CollectionSection
    deals: DealsSection
    events: EventsSection
    obligations: ObligationsSection
    rights: RightsSection
    people: PeopleSection
    inactivity: InactivitySection
    statistics: StatisticsSection
    deployment: DeploymentSection
    notifications: NotificationsSection
    mail: MailSection
    limits: LimitsSection
    log: LogSection
    secrets: SecretsSection

    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def sources(self) -> Mapping[str, str]:
        """Where each `section.key` came from: `default`, `config.toml`, `environment` or `secret file`."""
        return {key: self._sources.get(key, "default") for key in self.shown()}

    def shown(self) -> dict[str, str | int | None]:
        """Every `section.key` with its value, secrets and passwords masked: fit for a terminal."""
        shown: dict[str, str | int | None] = {}
        for section_name in type(self).model_fields:
            section: Section = getattr(self, section_name)
            for name in type(section).model_fields:
                shown[f"{section_name}.{name}"] = _shown(name, getattr(section, name))
        return shown

    def _with_sources(self, sources: Mapping[str, str]) -> Self:
        self._sources = dict(sources)
        return self


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read `path` (a TOML file), the environment and secret files, in that order of strength.

    Raises ConfigurationError with every fault at once. Relative paths are relative to the file's directory.
    """
    environ = os.environ if environ is None else environ
    directory = path.parent.absolute() if path else Path.cwd()
    gathering = _Gathering()
    gathering.add("config.toml", _from_toml(path, gathering))
    gathering.add("environment", _from_environment(environ, gathering))
    secrets_directory = gathering.values.get("secrets.directory")
    if isinstance(secrets_directory, str) and secrets_directory:
        gathering.add("secret file", _from_secret_files(directory / secrets_directory, gathering))
    sections = _validated(gathering, directory)
    gathering.faults.extend(_contradictions(sections))
    if gathering.faults:
        raise ConfigurationError(gathering.faults)
    return Settings.model_construct(**_derived(sections, gathering.values))._with_sources(gathering.sources)  # noqa: SLF001 - its own class


class _Gathering:
    """The raw values so far, who gave each, and the faults: a stronger source overwrites."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.sources: dict[str, str] = {}
        self.faults: list[Fault] = []

    def add(self, source: str, raw: Iterator[tuple[str, str, object]]) -> None:
        """Take `(key, name as written, value)`; names that no setting has are faults."""
        for key, written, value in raw:
            if key in _known_keys():
                self.values[key] = value
                self.sources[key] = source
            else:
                self.faults.append(Fault(written, f"no such setting ({source})", _guess(key)))


def _from_toml(path: Path | None, gathering: _Gathering) -> Iterator[tuple[str, str, object]]:
    if path is None:
        return
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "Copy config.example.toml there, or name another file with --config"
        gathering.faults.append(Fault(str(path), "no such file", remedy))
        return
    except (OSError, UnicodeDecodeError):
        gathering.faults.append(Fault(str(path), "cannot be read", "It must be readable, and UTF-8"))
        return
    except tomllib.TOMLDecodeError as fault:
        # The parser's message quotes single characters of the file at most; the line is what helps.
        gathering.faults.append(Fault(str(path), "is not TOML", f"{fault}"))
        return
    for section, members in document.items():
        if not isinstance(members, dict):
            yield section, section, members
            continue
        for name, value in members.items():
            yield f"{section}.{name}", f"{section}.{name}", value


def _from_environment(environ: Mapping[str, str], gathering: _Gathering) -> Iterator[tuple[str, str, object]]:
    del gathering
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX):
            key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            yield key, variable, environ[variable]


def _from_secret_files(directory: Path, gathering: _Gathering) -> Iterator[tuple[str, str, object]]:
    try:
        # Names that begin with a dot belong to whoever mounted the directory (Kubernetes: ..data).
        files = sorted(file for file in directory.iterdir() if not file.name.startswith("."))
    except OSError:
        remedy = "Make the directory, or take the setting away"
        gathering.faults.append(Fault("secrets.directory", "cannot be read", remedy))
        return
    for file in files:
        try:
            # One line break at the end comes from the editor; anything else is part of the secret.
            text = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError):
            gathering.faults.append(Fault(file.name, "secret file cannot be read", "It must be UTF-8 text"))
            continue
        yield file.name, f"secret file {file.name}", text


def _sections() -> dict[str, type[Section]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }


def _known_keys() -> list[str]:
    return [f"{section}.{name}" for section, model in _sections().items() for name in model.model_fields]


def _guess(key: str) -> str:
    near = difflib.get_close_matches(key, _known_keys(), n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else "Take it out; config.example.toml names every setting"


def _validated(gathering: _Gathering, directory: Path) -> dict[str, Any]:
    """Every section that is right; faults of the others are gathered."""
    sections: dict[str, Any] = {}
    for name, model in _sections().items():
        raw = {
            key.partition(".")[2]: value
            for key, value in gathering.values.items()
            if key.startswith(f"{name}.")
        }
        try:
            sections[name] = model.model_validate(raw, context={"directory": directory})
        except ValidationError as error:
            gathering.faults.extend(_plain(name, details) for details in error.errors(include_input=False))
    return sections


def _plain(section: str, details: ErrorDetails) -> Fault:
    """Say a validator's finding in plain words, without the value."""
    key = ".".join([section, *(str(part) for part in details["loc"][:1])])
    variable = ENVIRONMENT_PREFIX + key.upper().replace(".", "__")
    if details["type"] == "missing":
        remedy = f"Set {variable}, put it into a secret file named {key}, or into the configuration file"
        return Fault(key, "is required and not set; there is no default", remedy)
    if details["type"] == "value_error":
        return Fault(key, str(details["ctx"]["error"]), "config.example.toml shows an example")
    message = details["msg"].removeprefix("Input ")
    return Fault(key, message[:1].lower() + message[1:], "config.example.toml shows an example")


def _contradictions(sections: Mapping[str, Any]) -> Iterator[Fault]:
    """Name what is wrong between settings that are right by themselves."""
    server, database, keyring = (sections.get(name) for name in ("server", "database", "keyring"))
    if database and keyring and _place(database.url) == _place(keyring.url):
        remedy = "Give the keyring a database of its own: shared backups would undo every erasure"
        yield Fault("keyring.url", "is the same database as database.url", remedy)
    if server and server.profile == "demo" and not is_loopback(urlsplit(server.issuer).hostname or ""):
        remedy = "Set server.profile to production; the demo has passwords that everybody knows"
        yield Fault("server.profile", "demo is for this machine only", remedy)
    tls = sections.get("tls")
    if server and tls and server.socket and tls.certificate_file:
        yield Fault("server.socket", "goes without [tls]", "The proxy behind a socket speaks TLS")
    mail = sections.get("mail")
    if mail and mail.host:
        if not mail.sender:
            yield Fault("mail.sender", "is required with mail.host", "Set the address that mail comes from")
        if not mail.starttls and not is_loopback(mail.host):
            yield Fault("mail.starttls", "is off for another machine", "Only loopback may go without TLS")
    session = sections.get("session")
    if session and session.idle_minutes > session.absolute_hours * 60:
        yield Fault("session.idle_minutes", "is longer than session.absolute_hours", "Make it shorter")


def _place(raw_url: str) -> tuple[str | None, int | None, str | None]:
    url: URL = make_url(raw_url)
    return url.host, url.port, url.database


def _derived(sections: dict[str, Any], values: Mapping[str, object]) -> dict[str, Any]:
    """Defaults that follow from other settings."""
    if not sections["ledger"].origin:
        origin = f"{urlsplit(sections['server'].issuer).netloc}/log"
        sections["ledger"] = sections["ledger"].model_copy(update={"origin": origin})
    if "database.pool_size" not in values:
        # A handler holds one connection at most, so threads and connections are one number.
        pool_size = sections["server"].threads
        sections["database"] = sections["database"].model_copy(update={"pool_size": pool_size})
    return sections


def _shown(name: str, value: object) -> str | int | None:
    if isinstance(value, SecretStr):
        return MASK
    if name == "url":
        return make_url(str(value)).render_as_string(hide_password=True)
    if isinstance(value, tuple):
        return ", ".join(value)
    return value if isinstance(value, int) or value is None else str(value)
