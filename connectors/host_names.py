"""Names of hosts in the internet: what can be one, before anything is sent there."""

import re
from typing import Final

import httpx

_LONGEST_NAME: Final = 253  # RFC 1035 section 2.3.4, as text and without the root's dot
_FEWEST_LABELS: Final = 2
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ENCODED: Final = "xn--"


def is_host_name(name: str) -> bool:
    """Whether a name has the form of a host's under some domain (RFC 1123 section 2.1); no address has it.

    A label that begins with `xn--` must stand for something (RFC 5890 section 2.3.2.1).
    """
    labels = name.split(".")
    if len(name) > _LONGEST_NAME or len(labels) < _FEWEST_LABELS:
        return False
    return all(map(_is_label, labels)) and labels[-1][0].isalpha()


def _is_label(label: str) -> bool:
    if _LABEL.fullmatch(label) is None:
        return False
    if not label.lower().startswith(_ENCODED):
        return True
    try:
        return bool(httpx.URL(f"https://{label.lower()}").host)
    except (httpx.InvalidURL, UnicodeError):
        return False
