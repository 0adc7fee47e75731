"""Security headers on every answer, as plain ASGI.

What a route has set itself stays: the consent page widens form-action.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers without frame-ancestors (RFC 9700 section 4.16)
    # Not no-referrer: Chromium would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}
_YEAR: Final = 31_536_000


def content_security_policy(*, form_target: str | None = None) -> str:
    """The policy of a page (CSP Level 3). `form_target` is one further origin that its form may end up at."""
    form_action = "'self'" if form_target is None else f"'self' {form_target}"
    return (
        "default-src 'none'; script-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; "
        f"form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, fit for a policy; ValueError for anything that is not http(s)."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    is_plain = parts.scheme in {"https", "http"} and parts.hostname and "@" not in parts.netloc
    # A quote, comma or semicolon would end the directive.
    if not is_plain or not origin.isascii() or any(character in " ;,'\"" for character in origin):
        message = "not an http(s) origin"
        raise ValueError(message)
    return origin


class SecurityHeaders:
    """Puts the headers on every HTTP answer that does not bear them already."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._defaults = dict(_ALWAYS)
        self._defaults["Content-Security-Policy"] = content_security_policy()
        if is_https:
            self._defaults["Strict-Transport-Security"] = f"max-age={_YEAR}; includeSubDomains"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and complete the headers of the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._defaults.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
