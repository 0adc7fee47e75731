"""What single settings must look like. Raised texts name the rule and never the value."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


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
