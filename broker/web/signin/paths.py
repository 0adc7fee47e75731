"""Where a sign-in may lead: our own pages only (RFC 9700 section 4.11: no open redirector)."""

import re
from typing import Final

from broker.web.i18n import Language, language_of_path

# One slash, a language, then plain path characters. No `//`, no backslash, no control character, no `..`.
_OWN_PAGE: Final = re.compile(r"/(?:ko|en)(?:/[A-Za-z0-9_~.-]+)*(?:\?[A-Za-z0-9_~.&=%-]*)?")
_LONGEST: Final = 500
# Leading back to these would sign in again, or out.
_NEVER: Final = frozenset({"signin", "signout"})


def safe_next(raw_target: str | None) -> str | None:
    """The target if it is one of our own pages; None for anything else."""
    if raw_target is None or len(raw_target) > _LONGEST or _OWN_PAGE.fullmatch(raw_target) is None:
        return None
    segments = raw_target.partition("?")[0].split("/")
    if any(segment in {".", ".."} for segment in segments) or _NEVER.intersection(segments):
        return None
    return raw_target


def home_of(language: Language, role: str) -> str:
    """The first page of a role."""
    return {"auditor": f"/{language}/audit", "operator": f"/{language}/operate"}.get(role, f"/{language}")


def in_language(path: str, language: Language) -> str:
    """The same page in a language: `/ko/consents` becomes `/en/consents`."""
    current = language_of_path(path)
    return path if current is None else f"/{language}{path.removeprefix(f'/{current}')}"
