"""What every recipient's site keeps to: headers, the staff's token, the browser that asked."""

import hashlib
from collections.abc import Mapping
from hmac import compare_digest
from types import MappingProxyType
from typing import Final

SECURITY_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
)


def is_staff(authorization: str, staff_token: str) -> bool:
    """Whether an Authorization header bears the staff's token (RFC 6750)."""
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and compare_digest(token.encode(), staff_token.encode())


def browser_digest(browser: str) -> str:
    """How the cookie of a browser is kept."""
    return hashlib.sha256(browser.encode()).hexdigest()


def is_same_browser(kept_digest: str | None, browser: str | None) -> bool:
    """RFC 9700 section 4.7: an answer counts only in the browser that asked, where a browser did."""
    return kept_digest is None or compare_digest(kept_digest, browser_digest(browser or ""))
