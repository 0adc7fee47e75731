"""What single settings must look like. Raised texts name the rule and never the value."""

import ipaddress
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

_LEAST_STEP_UP_SECONDS: Final = 60

UNIX_SOCKET: Final = "unix"


def is_loopback(host: str) -> bool:
    """Whether a host name of a URL can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_issuer(value: str) -> str:
    """An issuer: scheme, host and port."""
    # RFC 8414 section 2: https, no query, no fragment. Plain http only where nobody can listen in.
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        message = "is not a URL"
        raise ValueError(message) from None
    is_allowed = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not is_allowed or not parts.hostname:
        message = "must be an https URL (http only for 127.0.0.1, ::1 or localhost)"
        raise ValueError(message)
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        message = "must be scheme, host and port only, without a slash at the end"
        raise ValueError(message)
    return value


def check_database_url(value: str, info: ValidationInfo) -> str:
    """A SQLite file or a PostgreSQL database."""
    try:
        url = make_url(value)
    except ArgumentError:
        message = "is not a database URL"
        raise ValueError(message) from None
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            message = "needs a file: a database in memory is lost, and the two lanes would see two of them"
            raise ValueError(message)
        file = beside_configuration(Path(url.database), info)
        return url.set(database=str(file)).render_as_string(hide_password=False)
    if url.get_backend_name() in {"postgresql", "postgres"}:
        return value
    message = "must begin with sqlite:/// or postgresql://"
    raise ValueError(message)


def beside_configuration(value: Path, info: ValidationInfo) -> Path:
    """A relative path is relative to the configuration file, wherever the program is started from."""
    directory: Path = (info.context or {}).get("directory", Path())
    return value if value.is_absolute() else directory / value


def check_origin(value: str) -> str:
    """The name of the log."""
    # C2SP tlog-checkpoint: the first line of the note; C2SP signed-note forbids spaces and plus in key names.
    if not value.isprintable() or any(character.isspace() or character == "+" for character in value):
        message = "must not contain spaces, line breaks or a plus sign"
        raise ValueError(message)
    return value


def check_present(value: SecretStr) -> SecretStr:
    """A secret that is not the empty string."""
    if not value.get_secret_value():
        message = "is empty"
        raise ValueError(message)
    return value


def check_proxies(value: object) -> tuple[str, ...]:
    """Addresses and networks of reverse proxies, or "unix"; as a list, or in one text with commas."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        message = "must be a list of addresses and networks, or unix"
        raise ValueError(message)
    stripped = tuple(name.strip() for name in names if name.strip())
    for name in stripped:
        if name == UNIX_SOCKET:
            continue
        try:
            ipaddress.ip_network(name)
        except ValueError:
            message = "must be addresses like 10.0.0.7, networks like 10.0.0.0/8, or unix"
            raise ValueError(message) from None
    return stripped


def check_header(value: str) -> str:
    """The name of a header that a proxy sets (RFC 9110 section 5.1), or nothing."""
    # Underscores: many servers take `Client_Cert` for `Client-Cert`, so a stranger could send it.
    if value and not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)+", value):
        message = "must be the name of a header of two words or more, like Client-Cert"
        raise ValueError(message)
    return value


def check_optional_issuer(value: str) -> str:
    """As an issuer, or nothing."""
    return check_issuer(value) if value else value


def check_sender(value: str) -> str:
    """A mail address without a name, or nothing."""
    if value and not re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", value):
        message = "must be a mail address, without a name"
        raise ValueError(message)
    return value


def check_step_up(seconds: int) -> int:
    """Between signing in and the pull a person reads and decides, and the client redeems its code."""
    if 0 < seconds < _LEAST_STEP_UP_SECONDS:
        message = f"must be 0, or at least {_LEAST_STEP_UP_SECONDS}"
        raise ValueError(message)
    return seconds
