"""Pages from templates: one Jinja environment for each language, and what every page is given.

`Pages` is read once when the app is created; `Page` belongs to one request.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from broker.deps import Installed
from broker.web.csrf import TOKEN_FIELD, form_token
from broker.web.i18n import (
    LANGUAGES,
    Language,
    Words,
    language_of_path,
    load_words,
    other_language,
    preferred_language,
)
from broker.web.security_headers import content_security_policy
from broker.web.signin.paths import home_of, in_language
from broker.web.signin.sessions import cookie_name
from broker.web.static_files import StaticFiles

SEE_OTHER: Final = 303


class Pages:
    """Templates, texts and static files: loaded once, then only read."""

    def __init__(self, words: dict[Language, Words], static: StaticFiles) -> None:
        self._words = words
        self.static = static
        self._environments = {language: _environment(words[language], static) for language in LANGUAGES}

    @classmethod
    def load(cls) -> "Pages":
        """Everything from the package's own files."""
        return cls(load_words(), StaticFiles.load())

    def compile(self) -> None:
        """Read every template in every language. Raises jinja2.TemplateError for one that is none."""
        for environment in self._environments.values():
            for name in environment.list_templates():
                environment.get_template(name)

    def words(self, language: Language) -> Words:
        """The texts of a language."""
        return self._words[language]

    def render(self, language: Language, template: str, context: dict[str, Any]) -> str:
        """A template's text; names that it does not get are errors."""
        return self._environments[language].get_template(template).render(context)


@dataclass(frozen=True, slots=True)
class Page:
    """One request for a page: its language, and how to answer it."""

    pages: Pages
    request: Request
    language: Language
    raw_cookie: str | None
    is_demo: bool

    @property
    def words(self) -> Words:
        """The texts of the page's language."""
        return self.pages.words(self.language)

    def answer(
        self, template: str, *, status: int = 200, form_target: str | None = None, **context: object
    ) -> HTMLResponse:
        """Render a template as the answer. `form_target` is one further origin that its form may lead to."""
        content = self.pages.render(self.language, template, {**self._frame(), **context})
        headers: dict[str, str] = {"Content-Language": self.language}
        if form_target is not None:
            headers["Content-Security-Policy"] = content_security_policy(form_target=form_target)
        return HTMLResponse(content, status_code=status, headers=headers)

    def with_cookie(self, raw_cookie: str) -> "Page":
        """The same page for a browser that gets its cookie with this very answer."""
        return replace(self, raw_cookie=raw_cookie)

    def redirect(self, path: str) -> RedirectResponse:
        """POST-redirect-GET: a page of ours, in this page's language."""
        return RedirectResponse(f"/{self.language}{path}", status_code=SEE_OTHER)

    def _frame(self) -> dict[str, object]:
        """What the layout shows around every page."""
        visitor = getattr(self.request.state, "visitor", None)
        other = other_language(self.language)
        switch = in_language(self.request.url.path, other)
        if self.request.url.query:
            switch = f"{switch}?{self.request.url.query}"
        return {
            "language": self.language,
            "base": f"/{self.language}",
            "path": self.request.url.path,
            "visitor": visitor,
            "home": home_of(self.language, visitor.role if visitor else "citizen"),
            "other_language": other,
            "switch_path": switch,
            "token_field": TOKEN_FIELD,
            "form_token": form_token(self.raw_cookie) if self.raw_cookie else "",
            "is_demo": self.is_demo,
        }


def get_page(request: Request, installation: Installed) -> Page:
    """The page of this request, in the language of its path; the browser's own where the path has none."""
    settings = installation.settings
    return Page(
        pages=request.app.state.pages,
        request=request,
        language=language_of_path(request.url.path)
        or preferred_language(request.headers.get("accept-language")),
        raw_cookie=request.cookies.get(cookie_name(settings.server.issuer)),
        is_demo=settings.server.profile == "demo",
    )


PageOf = Annotated[Page, Depends(get_page)]


def _environment(words: Words, static: StaticFiles) -> Environment:
    environment = Environment(
        loader=PackageLoader("broker.web", "templates"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.policies["ext.i18n.trimmed"] = True
    # jinja2.ext.i18n adds these at run time.
    environment.install_gettext_translations(words.translations, newstyle=True)  # type: ignore[attr-defined] # added by the extension
    environment.filters |= {
        "moment": words.moment,
        "day": words.day,
        "won": words.won,
        "number": words.number,
        "iso": _iso,
    }
    environment.globals |= {"static": static.address, "choose": words.choose}
    return environment


def _iso(instant: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
