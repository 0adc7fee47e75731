"""What can be an address of a person's own: a mailbox, or an endpoint in the internet. Pure."""

import ipaddress
from email.errors import MessageError
from email.headerregistry import Address
from typing import Final
from urllib.parse import urlsplit

from broker.setting_rules import is_loopback
from connectors.host_names import is_host_name
from connectors.http import is_public

_LONGEST_MAILBOX: Final = 254  # RFC 5321 section 4.5.3.1.3, without its angle brackets
_LONGEST_LOCAL_PART: Final = 64  # RFC 5321 section 4.5.3.1.1
_LONGEST_ENDPOINT: Final = 508


def is_mail_address(address: str) -> bool:
    """Whether it is a mailbox (RFC 5321 section 4.1.2) at a host with a full name."""
    if len(address) > _LONGEST_MAILBOX or not _is_plain(address):
        return False
    try:
        parsed = Address(addr_spec=address)
    except (MessageError, ValueError, IndexError):
        return False
    local, _, host = address.rpartition("@")
    return parsed.addr_spec == address and 0 < len(local) <= _LONGEST_LOCAL_PART and is_host_name(host)


def is_endpoint(address: str, *, is_demo: bool) -> bool:
    """Whether it is https to a host that is not plainly private; a name is looked up at each push."""
    if len(address) > _LONGEST_ENDPOINT or not _is_plain(address):
        return False
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return False
    if parts.username is not None or parts.fragment:
        return False
    if is_loopback(host):
        return is_demo and parts.scheme in {"http", "https"}
    return parts.scheme == "https" and _is_open(host)


def _is_open(host: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(host))
    except ValueError:
        return is_host_name(host)


def _is_plain(address: str) -> bool:
    return address.isascii() and address.isprintable()
